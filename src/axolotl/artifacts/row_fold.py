"""A large matrix with the adapter in it, a few of its rows at a time.

A matrix of 128,000 words times 8,192 takes 4 GB in fp32, and three times that while peft merges into
it. Its rows do not depend on each other: what is there in fp32 at a time is `SLICE_BYTES`, however
large it is. peft itself merges each slice, so that no formula of it is repeated here.

N rows of a matrix, C columns, R rank.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners import lora
from peft.tuners.lora.dora import DoraLinearLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from axolotl.core.console import note
from axolotl.errors import ModelError

SLICE_BYTES = 4 << 20
"""What a slice takes in fp32."""
_BASES = {
    nn.Linear: (lora.Linear, False),
    Conv1D: (lora.Linear, True),
    nn.Embedding: (lora.Embedding, True),
}
"""Class of a layer → that of the adapter on it, and whether the rows of its matrix are those of Aᵀ."""


def slices(shape: torch.Size | tuple[int, ...]) -> Iterator[slice]:
    """Cut a tensor into slices of rows of `SLICE_BYTES` in fp32 at most, or of one row.

    Args:
        shape: The tensor's; without dimensions it is one row.
    """
    rows = shape[0] if shape else 1
    each = max(1, SLICE_BYTES // 4 // max(1, torch.Size(shape[1:]).numel()))
    yield from (slice(start, min(start + each, rows)) for start in range(0, rows, each))


def is_large(weight: Tensor) -> bool:
    """Whether a matrix is worth to be computed by rows: it is more than a fourth of a slice."""
    return weight.dim() == 2 and weight.numel() * 16 > SLICE_BYTES


class RowFold:
    """A layer of LoRA whose rows can be merged by themselves.

    Args:
        layer: One that `of` takes.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.base: Any = layer.get_base_layer()
        self._of_words = type(layer) is lora.Embedding
        self._by_a = _BASES[type(self.base)][1]

    @classmethod
    def of(cls, module: Any) -> RowFold | None:
        """The layer as one that is merged by rows; None if it is another module, or cannot be.

        LoRA, rsLoRA, PiSSA and other starts can, and DoRA of linear layers; not the adapters of
        experts, of biases, and of layers that are stored in few bits.
        """
        layer: Any = module
        if type(layer) not in (lora.Linear, lora.Embedding):
            return None
        kind, by_a = _BASES.get(type(layer.get_base_layer()), (None, False))
        if type(layer) is not kind or any(layer.lora_bias.values()):
            return None
        if getattr(layer, "fan_in_fan_out", False) is not (by_a and kind is lora.Linear):
            return None
        magnitudes = layer.lora_magnitude_vector
        variants = layer.lora_variant
        sliced = all(
            name in magnitudes and type(magnitudes[name]) is DoraLinearLayer for name in variants
        )
        return cls(layer) if not variants or (sliced and not by_a) else None

    @property
    def is_plain(self) -> bool:
        """Whether base and adapter are two sums: not so with DoRA."""
        return not self.layer.lora_variant

    @property
    def weight(self) -> Tensor:
        """The matrix of the base, (N, C)."""
        return self.base.weight

    @torch.no_grad()
    def rows(self, which: slice | Tensor) -> Tensor:
        """Some rows with the adapter in them, fp32, (n, C).

        Args:
            which: The rows.

        Raises:
            ModelError: the adapter holds numbers that are none.
        """
        with self._cut(which):
            merge_into(self.layer)
            return self.base.weight.data

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        """First row of each slice, and its rows."""
        for part in slices(self.weight.shape):
            yield part.start, self.rows(part)

    @contextmanager
    def _cut(self, which: slice | Tensor) -> Iterator[None]:
        """Let the layer consist of some of its rows, in fp32."""
        held = [(tensor, tensor.data) for tensor in (self.weight, *self._adapters())]
        cut = [self.weight, *self._with_rows()]
        try:
            for tensor, data in held:
                is_cut = any(tensor is one for one in cut)
                across = self._by_a and tensor is not self.weight
                part = (data[:, which] if across else data[which]) if is_cut else data
                tensor.data = part.float()
            yield
        finally:
            self.layer.merged_adapters.clear()
            for tensor, data in held:
                tensor.data = data

    def _adapters(self) -> Iterator[Tensor]:
        layer = self.layer
        for name in layer.active_adapters:
            if self._of_words:
                yield from (layer.lora_embedding_A[name], layer.lora_embedding_B[name])
            else:
                yield from (layer.lora_A[name].weight, layer.lora_B[name].weight)
            if name in layer.lora_magnitude_vector:
                yield layer.lora_magnitude_vector[name].weight

    def _with_rows(self) -> Iterator[Tensor]:
        """What of the adapters has as many rows, or in Aᵀ columns, as the matrix."""
        layer = self.layer
        for name in layer.active_adapters:
            if self._of_words:
                yield layer.lora_embedding_A[name]
                continue
            yield (layer.lora_A if self._by_a else layer.lora_B)[name].weight
            if name in layer.lora_magnitude_vector:
                yield layer.lora_magnitude_vector[name].weight


def merge_into(layer: Any) -> None:
    """Let peft add the adapter into the weight of a layer.

    Raises:
        ModelError: the adapter holds numbers that are none.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            layer.merge(safe_merge=True)
        except ValueError as error:
            raise ModelError(
                f"the adapter cannot be merged: {str(error).splitlines()[0]}",
                hint="if it holds numbers that are none, the training diverged: lower learning_rate",
            ) from error
    for warning in said:
        note(f"while merging: {warning.message}")
