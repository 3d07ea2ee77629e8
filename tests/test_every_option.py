"""A file with every option at once: all of them are read together, and each value has its place."""

from __future__ import annotations

import json
import re
from functools import reduce
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner

from axolotl.cli.check import main as check
from axolotl.config import load_config
from axolotl.config.model import SpecialTokenName
from axolotl.resolve import examine
from axolotl.resolve.machine import Machine
from tests.option_keys import option_keys

FIXTURES = Path(__file__).parent / "fixtures"
EVERY, ELSE = FIXTURES / "every_option.yml", FIXTURES / "every_option_else.yml"
FSDP, DEEPSPEED = FIXTURES / "every_option_fsdp.yml", FIXTURES / "every_option_deepspeed.yml"
MACHINES = [Machine(gpu=False, bf16=False), Machine(gpu=True, bf16=True)]
OFF = set(re.findall(r"^(\w+):.*# off: ", EVERY.read_text(encoding="utf-8"), re.MULTILINE))
"""What the file says to be off, because others exclude it."""
FILES = pytest.mark.parametrize(
    "file", [EVERY, ELSE, FSDP, DEEPSPEED], ids=["every", "else", "fsdp", "deepspeed"]
)


def keys_in(file: Path) -> set[str]:
    """Every key that has a value in the file, without the numbers of list items."""
    config = load_config(file)
    values = config.as_dict()
    return {
        re.sub(r"\.\d+(?=\.|$)", "", path)
        for path in config.places
        if reduce(_part, path.split("."), values) is not None
    }


def _part(value: Any, name: str) -> Any:
    return value[int(name)] if isinstance(value, list) else value[name]


def checked(file: Path) -> dict[str, Any]:
    result = CliRunner().invoke(check, ["--json", str(file)])
    return json.loads(result.stdout)


def test_no_option_is_missing() -> None:
    wanted = {*option_keys(), *(f"special_tokens.{n}" for n in get_args(SpecialTokenName))}
    assert {"datasets.type.format", "fsdp_config.fsdp_offload_params"} < wanted
    # Each kind of rope scaling has parameters of its own; resolve/test_rope_rules.py has them all.
    wanted = {k for k in wanted if not k.startswith("rope_scaling.") or k in keys_in(EVERY)}
    missing = wanted - keys_in(EVERY)
    assert sorted(key for key in missing if key.split(".")[0] not in OFF) == [], (
        "write it in every_option.yml, with a value that asks for it"
    )
    elsewhere = keys_in(ELSE) | keys_in(FSDP) | keys_in(DEEPSPEED)
    assert sorted(missing - elsewhere) == [], "write it in every_option_else.yml"


def test_only_what_is_said_to_be_off_is_off() -> None:
    values = load_config(EVERY).as_dict()
    assert {key for key, value in values.items() if not value} == OFF


@FILES
def test_it_is_accepted(file: Path) -> None:
    document = checked(file)
    assert [f for f in document["findings"] if f["level"] == "error"] == []
    assert document["ok"] is True


@FILES
@pytest.mark.parametrize("machine", MACHINES, ids=["cpu", "gpu"])
def test_it_is_accepted_on_any_machine(file: Path, machine: Machine) -> None:
    assert examine(load_config(file), machine=machine).errors == ()


def test_every_value_comes_from_the_file() -> None:
    lines = EVERY.read_text(encoding="utf-8").splitlines()
    for key, origin in checked(EVERY)["origins"].items():
        name, _, line = origin.rpartition(":")
        assert name == str(EVERY), f"{key}: {origin}"
        assert lines[int(line) - 1].startswith(f"{key}:"), f"{key}: {origin}"


def test_the_other_file_lies_over_it() -> None:
    config = load_config(ELSE)
    assert config.origin("max_packed_sequence_len").startswith(f"{ELSE}:")
    assert config.origin("lora_r").startswith(f"{EVERY}:")
    assert config.distributed.fsdp is None
