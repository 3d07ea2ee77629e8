"""A stretched model through a whole run: trained, resumed, answered, merged, evaluated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from axolotl import api
from axolotl.errors import ModelError
from tests.conftest import build_llama, build_tokenizer

DYNAMIC = {"type": "dynamic", "factor": 4}


def base(folder: Path) -> str:
    build_llama(max_position_embeddings=64).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return str(folder)


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (file,) = folder.glob("*model.safetensors")
    return load_file(file)


def test_an_adapter_is_trained_merged_and_evaluated_stretched(
    tiny_options: Any, tmp_path: Path
) -> None:
    options = tiny_options(
        base_model=base(tmp_path / "base"),
        rope_scaling={"type": "yarn", "factor": 4},
        adapter="lora",
        lora_target_linear=True,
        max_steps=2,
    )
    trained = api.train(options)
    out = Path(options["output_dir"])
    kept = json.loads((out / "base_config.json").read_text("utf-8"))
    assert kept["rope_parameters"]["rope_type"] == "yarn"
    silent = {**options, "rope_scaling": None}
    assert api.evaluate(silent).loss == pytest.approx(trained.eval_loss, abs=1e-6)
    with pytest.raises(ModelError, match="was trained with rope scaling yarn 4"):
        api.evaluate({**options, "rope_scaling": DYNAMIC})
    assert api.merge(silent).difference.relative < 1e-4
    merged = AutoModelForCausalLM.from_pretrained(out / "merged")
    assert merged.config.rope_parameters == kept["rope_parameters"]
    assert merged.config.max_position_embeddings == 256
    assert api.generate(silent, ["red? " * 20], max_new_tokens=4)


def test_a_resume_under_dynamic_scaling_gives_the_same_bits(
    tiny_options: Any, tmp_path: Path
) -> None:
    """Rows of many lengths on both sides of the model's own; nothing of them is remembered."""
    options = tiny_options(
        base_model=base(tmp_path / "base"),
        rope_scaling=DYNAMIC,
        max_steps=6,
        save_steps=3,
        val_set_size=0,
    )
    api.train(options)
    whole = weights(Path(options["output_dir"]))
    config = json.loads((Path(options["output_dir"]) / "config.json").read_text("utf-8"))
    assert config["max_position_embeddings"] == 64
    assert config["rope_parameters"]["rope_type"] == "dynamic"
    other = tmp_path / "other"
    other.mkdir()
    shutil.copytree(Path(options["output_dir"]) / "checkpoint-3", other / "checkpoint-3")
    again = {**options, "output_dir": str(other), "auto_resume_from_checkpoints": True}
    api.train(again)
    resumed = weights(other)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    shutil.rmtree(other / "checkpoint-6")
    with pytest.raises(ModelError, match="rope_scaling: then"):
        api.train({**again, "rope_scaling": {"type": "dynamic", "factor": 8}, "max_steps": 7})
