"""Merged a few rows at a time, a matrix is the same as merged in one go, and takes little room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GPT2Config, GPT2LMHeadModel

from axolotl.artifacts import row_fold
from axolotl.artifacts.computing import computing_in_fp32
from axolotl.artifacts.fold import blocks, in_fp32, merged_pieces, plain_weights
from axolotl.artifacts.logits import compare, logits_of
from axolotl.artifacts.merged_weights import MergedWeights
from axolotl.artifacts.row_fold import SLICE_BYTES, RowFold, slices
from tests.artifacts.made import random_adapter
from tests.conftest import build_llama

ROWS = [list(range(5, 25)), list(range(40, 47))]
EVERY = ["q_proj", "v_proj", "down_proj", "embed_tokens", "lm_head"]
KINDS: dict[str, dict[str, Any]] = {
    "lora": {"target_modules": EVERY},
    "rslora": {"target_modules": EVERY, "use_rslora": True},
    "dora": {"target_modules": ["q_proj", "down_proj", "lm_head"], "use_dora": True},
    "dora of embeddings": {"target_modules": ["embed_tokens"], "use_dora": True},
    "biases": {"target_modules": ["q_proj"], "lora_bias": True},
    "whole": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "single tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [3, 7]},
}
SLICED = {"lora": 8, "rslora": 8, "dora": 5, "whole": 2, "single tokens": 2}


def adapted(kind: str, folder: Path, dtype: torch.dtype = torch.bfloat16) -> Any:
    """A model in half precision with an adapter in fp32."""
    if kind == "conv1d":
        torch.manual_seed(0)
        sizes: dict[str, Any] = {"n_positions": 64, "n_embd": 48, "n_layer": 2, "n_head": 2}
        base: Any = GPT2LMHeadModel(GPT2Config(vocab_size=512, **sizes, bos_token_id=1))
        base = base.to(dtype)
        given: dict[str, Any] = {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True}
    else:
        base, given = (
            build_llama(tie_word_embeddings=False, attention_bias=True).to(dtype),
            KINDS[kind],
        )
    model = random_adapter(base, folder, **given)
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter.data = parameter.data.float()
    return model


def assert_same_but_for_sums(got: torch.Tensor, want: torch.Tensor) -> None:
    """The same bits, but for where a processor adds the products of a slice in another order.

    That moves a float32 by its last bits, and a bfloat16 only where it lies between two of them.
    """
    assert got.dtype == want.dtype
    if want.dtype == torch.bfloat16:
        assert (got != want).float().mean() < 0.01
        torch.testing.assert_close(got, want, rtol=2**-7, atol=1e-6)
    else:
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("kind", [*KINDS, "conv1d"])
def test_sliced_it_is_the_same_as_in_one_go(
    kind: str, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_fold, "SLICE_BYTES", 60 * 64 * 4)
    base = adapted(kind, tmp_path).get_base_model()
    before = {name: value.clone() for name, value in plain_weights(base)}
    want: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for path, block in blocks(base):
            with in_fp32(block, merged=True):
                want |= {n: value.to(dtype).clone() for n, value in plain_weights(block, path)}
    folds = [fold for module in base.modules() if (fold := RowFold.of(module))]
    assert len(folds) == SLICED.get(kind, 4 if kind == "conv1d" else 0)
    got: dict[str, list[torch.Tensor]] = {}
    for name, first, rows in MergedWeights(base, dtype):
        assert first == sum(len(piece) for piece in got.get(name, []))
        got.setdefault(name, []).append(rows.clone())
    assert max(len(pieces) for pieces in got.values()) > 5
    assert got.keys() == want.keys() - ({"lm_head.weight"} if kind == "conv1d" else set())
    for name, pieces in got.items():
        assert_same_but_for_sums(torch.cat(pieces), want[name])
    assert any(not torch.equal(want[name], before[name].to(dtype)) for name in got)
    assert all(torch.equal(value, before[name]) for name, value in plain_weights(base))


@pytest.mark.parametrize("kind", [*KINDS, "conv1d"])
def test_computed_by_rows_it_gives_the_same_logits(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = adapted(kind, tmp_path)
    base = model.get_base_model()
    found: list[list[torch.Tensor]] = []
    for size in (SLICE_BYTES, 30 * 64 * 4):
        monkeypatch.setattr(row_fold, "SLICE_BYTES", size)
        for merged in (False, True):
            with computing_in_fp32(base, merged=merged):
                found.append(list(logits_of(model, ROWS)))
    assert all(compare(found[0], other).relative < 1e-5 for other in found[1:])
    with torch.no_grad(), model.disable_adapter():
        assert compare(found[0], logits_of(model.float(), ROWS)).relative > 1e-3


class Largest(TorchDispatchMode):
    """The largest tensor that is made while it watches, in bytes; views are none."""

    def __init__(self) -> None:
        super().__init__()
        self.nbytes = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for given in args:
            if isinstance(given, torch.Tensor):
                self._known.add(given.untyped_storage().data_ptr())
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self._known:
                    self.nbytes = max(self.nbytes, storage.nbytes())
        return made


def test_slices_cover_every_row_and_are_bounded() -> None:
    for shape in ((128_256, 8192), (8192, 28_672), (3,), (), (1, 10**8), (7, 0), (0, 4)):
        parts = list(slices(shape))
        rows = shape[0] if shape else 1
        assert [i for part in parts for i in range(part.start, part.stop)] == list(range(rows))
        columns = torch.Size(shape[1:]).numel()
        assert all(
            (part.stop - part.start) * columns * 4 <= SLICE_BYTES or part.stop - part.start == 1
            for part in parts
        )


@pytest.mark.slow
def test_the_head_of_70_billion_is_merged_in_the_room_of_a_slice() -> None:
    """128,256 words times 8,192: 2.1 GB in bf16, of which no more than a slice is there in fp32."""
    head = torch.nn.Linear(8192, 128_256, bias=False, dtype=torch.bfloat16, device="meta")
    model: Any = torch.nn.Sequential(head.to_empty(device="cpu"))
    model[0].weight.data.fill_(0.5)
    peft: Any = get_peft_model(model, LoraConfig(r=16, target_modules=["0"]))
    layer = peft.get_base_model()[0]
    for part in (layer.lora_A, layer.lora_B):
        part["default"].weight.data = torch.full_like(part["default"].weight, 0.25).float()
    seen = 0
    with Largest() as watch:
        for _, first, rows in merged_pieces(layer, "lm_head"):
            assert first == seen
            seen += len(rows)
            assert float(rows[0, 0]) == 0.5 + 16 * 0.25 * 0.25 * layer.scaling["default"]
    assert seen == 128_256
    assert SLICE_BYTES // 2 < watch.nbytes <= SLICE_BYTES
