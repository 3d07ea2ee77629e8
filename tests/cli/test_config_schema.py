"""`axolotl config-schema`, and that the schema takes and refuses what the reader does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from axolotl.cli.config_schema import main
from axolotl.config import options
from axolotl.config.json_schema import json_schema
from axolotl.config.tree import to_python
from axolotl.config.yaml_text import read_yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = [*sorted((ROOT / "examples").rglob("*.yml")), ROOT / "tests/fixtures/every_option.yml"]
CHECK = jsonschema.Draft7Validator(json_schema())
SMALL: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d", "type": "alpaca"}]}


def test_it_is_a_schema_with_every_option_and_its_description() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema())
    properties = json_schema()["properties"]
    assert set(properties) == {*options(), "base"}
    assert all(option["description"] for option in properties.values())
    assert "Needs the package" in properties["deepspeed"]["description"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_real_files_are_valid(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    # As YAML 1.2 has it, which editors read: `2e-4` is a number.
    content = to_python(read_yaml(text, "f.yml")[0])
    assert [error.message for error in CHECK.iter_errors(content)] == []


@pytest.mark.parametrize(
    "change",
    [
        {"lora_rr": 8},
        {"lora_r": "eight"},
        {"lora_r": 0},
        {"lora_dropout": 1},
        {"lora_dropout": -0.1},
        {"bf16": "half"},
        {"adapter": "laro"},
        {"datasets": [{"pth": "d"}]},
        {"datasets": [{"type": "alpaca"}]},
        {"datasets": {"path": "d"}},
        {"datasets": [{"path": "d", "type": {"formt": "x"}}]},
        {"special_tokens": {"pad": "<pad>"}},
        {"fsdp_config": {"offload": True}},
        {"rope_scaling": {"type": "linear", "factor": 1}},
        {"base_model": ""},
        {"tokens": "x"},
    ],
    ids=str,
)
def test_what_the_reader_refuses_is_invalid(change: dict[str, Any]) -> None:
    assert CHECK.is_valid(SMALL)
    assert not CHECK.is_valid({**SMALL, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"lora_r": None},
        {"bf16": "auto"},
        {"bf16": True},
        {"datasets": [{"path": "d", "type": {"format": "x"}, "name": ["a", "b"]}]},
        {"special_tokens": {"pad_token": "<pad>", "eos_token": None}},
        {"val_set_size": 0.1},
        {"val_set_size": 4},
        {"lr_scheduler_kwargs": {"anything": 1}},
        {"lora_target_modules": "regular.*expression"},
    ],
    ids=str,
)
def test_what_the_reader_takes_is_valid(change: dict[str, Any]) -> None:
    assert CHECK.is_valid({**SMALL, **change})


def test_a_file_over_another_needs_no_model() -> None:
    assert CHECK.is_valid({"base": "other.yml", "lora_r": 4})
    assert not CHECK.is_valid({"lora_r": 4})


def test_the_command_prints_or_writes_it(tmp_path: Path) -> None:
    printed = CliRunner().invoke(main, [])
    assert json.loads(printed.stdout) == json_schema()
    file = tmp_path / "axolotl.schema.json"
    written = CliRunner().invoke(main, ["-o", str(file)])
    assert (written.exit_code, written.stdout) == (0, "")
    assert json.loads(file.read_text(encoding="utf-8")) == json_schema()
