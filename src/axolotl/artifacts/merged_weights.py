"""The weights of a merged model, as its files hold them, piece after piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, revert_weight_conversion

from axolotl.artifacts.fold import (
    blocks,
    in_fp32,
    merged_pieces,
    plain_weights,
    tied_after,
    untie,
)
from axolotl.artifacts.memory import give_back
from axolotl.artifacts.shards import Entry
from axolotl.models.patches.deepspeed_if_loaded import deepspeed_if_loaded


class MergedWeights:
    """What a merge writes: one pass over it holds one module at a time.

    Args:
        base: The base model with the layers of the adapter in it, below peft's outermost wrapper.
        dtype: dtype to write in; what the model's code keeps in fp32 stays so.
    """

    def __init__(self, base: Any, dtype: torch.dtype) -> None:
        self.base = base
        self.dtype = dtype
        self.cut_anew = _cut_anew(base)
        """Whether the files hold tensors in other cuts than the model's code."""
        self.left_out = {*tied_after(base), *(base._keys_to_ignore_on_save or ())}
        """Names of weights that are not written."""
        self._exact = set(getattr(base, "_keep_in_fp32_modules_strict", None) or ())
        if base.config.get_text_config().tie_word_embeddings and self._is_apart():
            untie(base)
        self.entries = [
            Entry(name, tuple(value.shape), value.dtype)
            for path, block in blocks(base)
            for name, value in self._published(path, block, meta=True)
        ]

    @property
    def size_bytes(self) -> int:
        """What all of them take."""
        return sum(entry.size_bytes for entry in self.entries)

    @torch.no_grad()
    def __iter__(self) -> Iterator[tuple[str, int, Tensor]]:
        """Names, first rows, and rows: large matrices come in slices.

        What comes must be used before the next is asked for.
        """
        for path, block in blocks(self.base):
            if self.cut_anew:
                yield from self._whole(path, block)
            else:
                for name, module in blocks(block, path):
                    yield from self._pieces(name, module)
            give_back()

    def write_settings(self, folder: Path) -> None:
        """Write all but weights and tokenizer: configurations, and code that the model brings."""
        with deepspeed_if_loaded():
            self.base.save_pretrained(folder, state_dict={})
        self.base.config.dtype = self.dtype
        self.base.config.save_pretrained(folder)

    def _pieces(self, path: str, module: Any) -> Iterator[tuple[str, int, Tensor]]:
        """What the files hold of a module, in slices."""
        names: dict[str, str] = {}
        for name, first, rows in merged_pieces(module, path):
            if name in self.left_out:
                continue
            if name not in names:
                [names[name]] = revert_weight_conversion(self.base, {name: rows})
            yield names[name], first, self._cast(name, rows)

    def _whole(self, path: str, block: Any) -> Iterator[tuple[str, int, Tensor]]:
        """What the files hold of a block whose tensors are put together of others, as experts are."""
        changed = any(isinstance(module, BaseTunerLayer) for module in block.modules())
        with in_fp32(block, merged=True) if changed else nullcontext():
            for name, value in self._published(path, block):
                yield name, 0, value

    def _published(
        self, path: str, block: Any, *, meta: bool = False
    ) -> Iterator[tuple[str, Tensor]]:
        """What the files hold of a block: some models' have other names and cuts than the code."""
        state: Mapping[str, Tensor] = {
            name: self._cast(name, value.detach(), meta=meta)
            for name, value in plain_weights(block, path)
            if name not in self.left_out
        }
        yield from revert_weight_conversion(self.base, dict(state)).items()

    def _cast(self, name: str, value: Tensor, *, meta: bool = False) -> Tensor:
        dtype = value.dtype
        if value.is_floating_point():
            dtype = torch.float32 if self._exact & set(name.split(".")) else self.dtype
        return torch.empty(value.shape, dtype=dtype, device="meta") if meta else value.to(dtype)

    def _is_apart(self) -> bool:
        """Whether the output head is written beside the embeddings that it was tied to."""
        known = getattr(self.base, "all_tied_weights_keys", None) or {}
        head = self.base.get_output_embeddings()
        return head is not None and bool(known) and not self.left_out & set(known)


def _cut_anew(base: Any) -> bool:
    """Whether files of the model hold its tensors in other cuts, and not only under other names."""
    known = getattr(base, "_weight_conversions", None)
    if known is None:
        known = get_model_conversion_mapping(base, add_legacy=False)
    return any(isinstance(conversion, WeightConverter) for conversion in known)
