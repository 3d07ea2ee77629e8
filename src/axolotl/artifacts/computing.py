"""A model computed in fp32, whatever its weights are held in.

P positions, V words, C width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from axolotl.artifacts.fold import blocks, in_fp32
from axolotl.artifacts.row_fold import RowFold, is_large, slices

Forward = Callable[[Tensor], Tensor]


@contextmanager
def computing_in_fp32(model: Any, *, merged: bool) -> Iterator[None]:
    """Let a model compute every block as `in_fp32` holds it.

    Embeddings, output head and other large matrices are not turned as a whole: of the first only the
    rows of the tokens that are there, of the others a few rows at a time.

    Args:
        model: The model below peft's outermost wrapper.
        merged: See `in_fp32`.
    """
    open_blocks: list[ExitStack] = []

    def enter(block: nn.Module, *_: Any) -> None:
        open_blocks.append(ExitStack())
        open_blocks[-1].enter_context(in_fp32(block, merged=merged, apart=apart))

    def leave(*_: Any) -> None:
        open_blocks.pop().close()

    apart: set[nn.Module] = set()
    with ExitStack() as hooks:
        for module in _outside_adapters(model):
            for part, forward in _by_rows(model, module, merged=merged):
                part.forward = forward
                hooks.callback(delattr, part, "forward")
                apart.add(part)
        for _, block in blocks(model):
            if block not in apart:
                hooks.callback(block.register_forward_pre_hook(enter).remove)
                hooks.callback(block.register_forward_hook(leave, always_call=True).remove)
        yield


def _outside_adapters(module: nn.Module) -> Iterator[nn.Module]:
    """A module and its parts, but for those of a layer with an adapter."""
    yield module
    if not isinstance(module, BaseTunerLayer):
        for child in module.children():
            yield from _outside_adapters(child)


@contextmanager
def head_by_rows(model: Any) -> Iterator[None]:
    """Let a model compute its output head a few rows at a time: libraries copy half precision ones."""
    head: Any = model.get_output_embeddings()
    if head.__class__ is not nn.Linear:
        yield
        return
    dtype = head.weight.dtype
    head.forward = lambda hidden: _project(hidden, head, lambda part: head.weight[part], dtype)
    try:
        yield
    finally:
        del head.forward


def _by_rows(model: Any, module: Any, *, merged: bool) -> Iterator[tuple[Any, Forward]]:
    """What of a module is computed by rows, and how; nothing of one that is small or of another kind."""
    fold = RowFold.of(module)
    if fold is not None and is_large(fold.weight):
        base = fold.base
        if not merged and fold.is_plain and type(base) in (nn.Linear, nn.Embedding):
            yield base, _plain(base)
        elif merged and type(base) is nn.Linear:
            yield module, lambda hidden, *_, **__: _project(hidden, base, fold.rows, torch.float32)
        elif merged and type(base) is nn.Embedding:
            yield module, lambda ids, *_, **__: _embed(ids, base, fold.rows)
        return
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    large = type(module) is nn.Linear and is_large(module.weight)
    if (
        (module in ends and isinstance(module, nn.Embedding))
        or large
        or (module is ends[1] and type(module) is nn.Linear)
    ):
        yield module, _plain(module)


def _plain(layer: Any) -> Forward:
    """A linear layer or embeddings without adapter, in fp32."""
    if isinstance(layer, nn.Embedding):
        return lambda ids: _embed(ids, layer, lambda used: layer.weight.data[used].float())
    return lambda hidden: _project(
        hidden, layer, lambda part: layer.weight[part].float(), torch.float32
    )


def _embed(ids: Tensor, layer: Any, rows: Callable[[Tensor], Tensor]) -> Tensor:
    """Embeddings, of which only the rows that are used are taken."""
    used, places = ids.unique(return_inverse=True)
    weight, padding = layer.weight.data, layer.padding_idx
    taken = rows(used)
    try:
        layer.padding_idx = None  # matters to gradients alone
        layer.weight.data = taken
        return type(layer).forward(layer, places)
    finally:
        layer.weight.data, layer.padding_idx = weight, padding


def _project(
    hidden: Tensor, layer: Any, rows: Callable[[slice], Tensor], dtype: torch.dtype
) -> Tensor:
    """A linear layer, a few of its rows at a time.

    Args:
        hidden: (…, C).
        layer: Has the bias, and the number of rows.
        rows: Some rows of its matrix.
        dtype: Of the result, (…, V).
    """
    shape = layer.weight.shape
    made = torch.empty(*hidden.shape[:-1], shape[0], dtype=dtype, device=hidden.device)
    hidden = hidden.to(dtype)
    for part in slices(shape):
        bias = None if layer.bias is None else layer.bias[part].to(dtype)
        made[..., part] = nn.functional.linear(hidden, rows(part).to(dtype), bias)
    return made
