"""A whole run on a tiny BTLM: prepared, packed, trained, merged, asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from axolotl import api
from axolotl.models.native import btlm
from axolotl.models.native.btlm.model import BTLMLMHeadModel
from tests.models.native.btlm.folders import write_folder

LORA: dict[str, Any] = {
    "adapter": "lora",
    "lora_r": 8,
    "lora_alpha": 16,
    "lora_target_linear": True,
}


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    btlm.step_back()
    yield
    btlm.step_back()


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """Options of a run on a tiny BTLM, with code beside it that must not run."""
    base = write_folder(
        tmp_path / "base", code="raise SystemExit('the code was run')", initializer_range=0.3
    )
    rows = tmp_path / "rows.jsonl"
    with rows.open("w") as out:
        for i in range(40):
            row = {"instruction": f"Colour {i}?", "input": "", "output": "red " * (1 + i % 7)}
            out.write(json.dumps(row) + "\n")
    return {
        "base_model": str(base),
        "datasets": [{"path": str(rows), "type": "alpaca"}],
        "dataset_prepared_path": str(tmp_path / "store"),
        "val_set_size": 4,
        "sequence_len": 256,
        "sample_packing": True,
        "micro_batch_size": 1,
        "max_steps": 6,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "output_dir": str(tmp_path / "out"),
    }


def losses(result: Any) -> list[float]:
    lines = (Path(result.output_dir) / "metrics.jsonl").read_text().splitlines()
    return [row["loss"] for line in lines if "loss" in (row := json.loads(line))]


def test_lora_is_trained_on_packed_rows_merged_and_asked(
    options: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = options | LORA | {"learning_rate": 5e-2}
    found = losses(api.train(file))
    assert found[-1] < found[0] - 0.2
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("btlm: the code that comes with the model is not run") == 1
    assert "not packed" not in said
    adapter = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in adapter} == {"c_attn", "c_fc", "c_fc2", "c_proj"}
    api.merge(file)
    merged = tmp_path / "out" / "merged"
    base = load_file(tmp_path / "base" / "model.safetensors")
    after = load_file(merged / "model.safetensors")
    assert base.keys() == after.keys()
    name = "transformer.h.1.mlp.c_fc2.weight"
    low = adapter[f"base_model.model.{name[:-7]}.lora_A.weight"]
    high = adapter[f"base_model.model.{name[:-7]}.lora_B.weight"]
    torch.testing.assert_close(after[name], base[name] + 2 * (high @ low).T)
    assert torch.equal(after["transformer.wte.weight"], base["transformer.wte.weight"])
    assert "auto_map" not in json.loads((merged / "config.json").read_text()), "no code lies there"
    assert type(AutoModelForCausalLM.from_pretrained(merged)) is BTLMLMHeadModel
    answer = api.generate(file, ["Colour 3?"], max_new_tokens=5)
    assert len(answer) == 1


def test_all_weights_are_trained_but_the_slopes(options: dict[str, Any], tmp_path: Path) -> None:
    found = losses(api.train(options | {"gradient_checkpointing": True}))
    assert found[-1] < found[0] - 0.2
    base = load_file(tmp_path / "base" / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert base.keys() == after.keys()
    same = {name for name, weight in base.items() if torch.equal(weight, after[name])}
    assert same == {"transformer.relative_pe.slopes"}
