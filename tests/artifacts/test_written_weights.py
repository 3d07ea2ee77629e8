"""Files of a merge in which one weight is not base + adapter are found, also after a light adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from axolotl import api
from axolotl.artifacts import merge, merged_weights, row_fold
from axolotl.artifacts.fold import plain_weights
from axolotl.artifacts.merged_weights import MergedWeights
from axolotl.artifacts.shards import ShardFiles
from axolotl.artifacts.written_weights import refuse_other_weights
from axolotl.errors import ModelError
from axolotl.models.quiet import no_library_bars
from axolotl.models.tiny import tiny_model
from tests.artifacts.made import random_adapter
from tests.artifacts.test_row_fold import KINDS, adapted

Options = Callable[..., dict[str, Any]]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
OTHER = "was not written as base"
LIGHT = 0.004
"""Size of an adapter that moves the logits by less than rounding to bfloat16 does."""


def written(base: Any, dtype: torch.dtype, folder: Path) -> MergedWeights:
    weights = MergedWeights(base, dtype)
    folder.mkdir()
    files = ShardFiles(folder, weights.entries, max_bytes=50_000)
    for name, first, rows in weights:
        files.put(name, rows, first)
    files.finish()
    return weights


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("kind", [*KINDS, "conv1d"])
def test_what_is_written_is_taken_for_what_it_is(
    kind: str, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = adapted(kind, tmp_path).get_base_model()
    refuse_other_weights(written(base, dtype, tmp_path / "whole"), tmp_path / "whole")
    monkeypatch.setattr(row_fold, "SLICE_BYTES", 60 * 64 * 4)
    weights = written(base, dtype, tmp_path / "sliced")
    refuse_other_weights(weights, tmp_path / "whole")
    refuse_other_weights(weights, tmp_path / "sliced")


@pytest.mark.parametrize("kind", ["bloom", "btlm", "falcon", "gemma3_text", "mixtral", "mpt"])
def test_it_is_so_of_every_architecture_and_no_weight_is_left_out(
    kind: str, tmp_path: Path
) -> None:
    with no_library_bars():
        tiny_model(kind, seed=0).save_pretrained(tmp_path / "base")
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.bfloat16)
    base = random_adapter(model, tmp_path / "adapter").get_base_model()
    weights = written(base, torch.bfloat16, tmp_path / "out")
    refuse_other_weights(weights, tmp_path / "out")
    for file in sorted((tmp_path / "out").glob("*.safetensors")):
        whole = file.read_bytes()
        # The upper byte of the last number: another exponent.
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 0x40]))
        with pytest.raises(ModelError, match=OTHER):
            refuse_other_weights(weights, tmp_path / "out")
        file.write_bytes(whole)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_weight_without_its_light_adapter_is_found(
    options: Options, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    random_adapter(AutoModelForCausalLM.from_pretrained(tiny_model), tmp_path / "out", scale=LIGHT)
    pieces = merged_weights.merged_pieces

    def forgetful(module: Any, path: str) -> Iterator[tuple[str, int, torch.Tensor]]:
        if path == "model.layers.1.self_attn.q_proj":
            return ((name, 0, weight.detach()) for name, weight in plain_weights(module, path))
        return pieces(module, path)

    monkeypatch.setattr(merged_weights, "merged_pieces", forgetful)
    with pytest.raises(ModelError, match=rf"'model\.layers\.1\.self_attn\.q_proj.*' {OTHER}"):
        api.merge(options(), dtype=dtype)
    assert not (tmp_path / "out" / "merged").exists()
    if dtype != "float32":  # its logits do not tell
        monkeypatch.setattr(merge, "refuse_other_weights", lambda *_: None)
        assert api.merge(options(), dtype=dtype).folder.is_dir()


def test_experts_without_their_light_adapter_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = random_adapter(
        tiny_model("mixtral"), tmp_path / "adapter", scale=LIGHT, target_modules=["q_proj"]
    ).get_base_model()
    monkeypatch.setattr(merged_weights, "in_fp32", lambda *_, **__: nullcontext())
    weights = written(base, torch.bfloat16, tmp_path / "out")
    with pytest.raises(ModelError, match=rf"q_proj\.weight' {OTHER}"):
        refuse_other_weights(weights, tmp_path / "out")
