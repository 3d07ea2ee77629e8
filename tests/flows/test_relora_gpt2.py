"""ReLoRA on a quantised GPT-2, whose weights lie transposed in its files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from axolotl import api
from axolotl.training.relora.relora import Relora
from tests.flows.test_relora import ERROR, IDS, INT8, NF4, RELORA, assert_same_run

Options = Callable[..., dict[str, Any]]
C_ATTN = "transformer.h.0.attn.c_attn.weight"


@pytest.fixture
def gpt2(tmp_path: Path, tiny_model: Path) -> Path:
    folder = tmp_path / "gpt2"
    torch.manual_seed(0)
    settings: dict[str, Any] = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}
    GPT2LMHeadModel(GPT2Config(vocab_size=512, **settings)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found = model.eval()(IDS).logits
    model.train()
    return found


@pytest.mark.parametrize("base", [NF4, INT8], ids=["nf4", "int8"])
def test_transposed_weights_are_merged_and_resumed(
    tiny_options: Options,
    tmp_path: Path,
    gpt2: Path,
    base: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restart = Relora.restart

    def watched(relora: Relora, step: int, optimizer: Any) -> None:
        before = logits(relora.model)
        restart(relora, step, optimizer)
        # Square weights would take a transposed update without a word.
        assert (logits(relora.model) - before).norm() < ERROR[base is INT8] * before.norm()

    monkeypatch.setattr(Relora, "restart", watched)
    one, two = tmp_path / "one", tmp_path / "two"
    options = RELORA | base | {"base_model": str(gpt2)}
    api.train(tiny_options(**options, output_dir=str(one)))
    before, after = (load_file(at / "model.safetensors") for at in (gpt2, one))
    assert {n: v.shape for n, v in after.items()} == {n: v.shape for n, v in before.items()}
    moved = after[C_ATTN] - before[C_ATTN]
    # Three adapters of rank 4 were added, so no more than rank 12; of 64.
    assert moved.any()
    assert torch.linalg.matrix_rank(moved, rtol=1e-4) <= 12
    shutil.copytree(one, two, ignore=shutil.ignore_patterns("checkpoint-8", ".relora"))
    resumed = tiny_options(**options, output_dir=str(two))
    api.train(resumed | {"resume_from_checkpoint": str(two / "checkpoint-4")})
    assert_same_run(one, two)
