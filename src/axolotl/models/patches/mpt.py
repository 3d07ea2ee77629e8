"""MPT's ALiBi is counted from the end of each document, not of the row.

The library counts it from the end of the row, in a table as long as the longest sequence that the
model was made for. A row of several documents may be longer: the library fails then. And a bias of
thousands leaves few digits for the scores that it is added to.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from axolotl.models.patches.row_mask import is_row

_NAME = "build_mpt_alibi_tensor"


def count_positions(model: Any) -> ExitStack:
    """Give this MPT a way to build its bias from the positions of a row.

    Returns:
        What gives it its own one back.
    """
    bias = _Bias(model.base_model)
    setattr(model.base_model, _NAME, bias)
    before = model.register_forward_pre_hook(_Tell(bias), with_kwargs=True, prepend=True)
    after = model.register_forward_hook(_Forget(bias), always_call=True)
    undo = ExitStack()
    undo.callback(delattr, model.base_model, _NAME)
    undo.callback(after.remove)
    undo.callback(before.remove)
    return undo


class _Bias:
    """Builds the bias of a row while it knows its positions, else as the library does."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.positions: Tensor | None = None

    def __call__(
        self, num_heads: int, sequence_length: int, alibi_bias_max: int = 8, device: Any = None
    ) -> Tensor:
        """(heads, 1, T)."""
        own = getattr(type(self.inner), _NAME)
        if self.positions is None:
            return own(self.inner, num_heads, sequence_length, alibi_bias_max, device)
        tokens = self.positions.shape[1]
        table = own(self.inner, num_heads, tokens, alibi_bias_max, device)
        return table[:, :, tokens - 1 - _to_end(self.positions[0])]


class _Tell:
    """A hook that tells the bias of a row before the model is called."""

    def __init__(self, bias: _Bias) -> None:
        self.bias = bias

    def __call__(self, _model: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        positions = kwargs.get("position_ids") if is_row(kwargs) else None
        # The library has one bias for all rows of a batch.
        self.bias.positions = positions if positions is not None and len(positions) == 1 else None


class _Forget:
    """A hook that ends what `_Tell` began, also where the model has failed."""

    def __init__(self, bias: _Bias) -> None:
        self.bias = bias

    def __call__(self, _model: Any, _args: tuple[Any, ...], _output: Any) -> None:
        self.bias.positions = None


def _to_end(positions: Tensor) -> Tensor:
    """How many tokens of its document follow each token.

    Args:
        positions: int64, (T,).

    >>> _to_end(torch.tensor([0, 1, 2, 0, 1]))
    tensor([2, 1, 0, 1, 0])
    """
    place = torch.arange(len(positions), device=positions.device)
    last = torch.ones_like(positions, dtype=torch.bool)
    last[:-1] = positions[1:] != positions[:-1] + 1
    ends = torch.where(last, place, len(positions))
    return ends.flip(0).cummin(0).values.flip(0) - place
