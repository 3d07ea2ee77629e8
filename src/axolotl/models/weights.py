"""How many weights a model has and what they take, those held in few bits counted as what they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Weights:
    """The weights of a model.

    Args:
        parameters: How many there are; of a packed one, as many as it stands for.
        trainable: How many of them are trained.
        frozen_bytes: What those take that are not trained, with the scales of quantised ones.
        frozen_bytes_whole: The same if none were quantised.
        packed: How many are quantised.
        double: Whether scales of 4-bit weights are quantised, too.
    """

    parameters: int
    trainable: int
    frozen_bytes: int
    frozen_bytes_whole: int
    packed: int
    double: bool


def count_weights(model: nn.Module, *, whole: torch.dtype) -> Weights:
    """Count the weights of a model, shared ones once.

    Args:
        model: The model, with or without an adapter.
        whole: dtype in which its quantised weights would be held otherwise.
    """
    parts = list(_parts(model))
    frozen = [part for part in parts if not part.trains]
    return Weights(
        parameters=sum(part.count for part in parts),
        trainable=sum(part.count for part in parts if part.trains),
        frozen_bytes=sum(part.held for part in frozen),
        frozen_bytes_whole=sum(
            part.count * whole.itemsize if part.packed else part.held for part in frozen
        ),
        packed=sum(part.count for part in parts if part.packed),
        double=any(part.double for part in parts),
    )


@dataclass(frozen=True)
class _Part:
    count: int
    held: int
    trains: bool
    packed: bool
    double: bool = False


def _parts(model: nn.Module) -> Iterator[_Part]:
    seen: set[int] = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield _part(module, parameter)
        own = {name for name, _ in module.named_parameters(recurse=False)}
        if isinstance(module, nn.Linear) and "weight" not in own:
            # The weight is made of buffers whenever it is needed.
            held = sum(buffer.nbytes for buffer in module.buffers(recurse=False))
            yield _Part(module.in_features * module.out_features, held, trains=False, packed=True)


def _part(module: Any, parameter: Any) -> _Part:
    state = getattr(parameter, "quant_state", None)
    if state is not None:  # 4 bits, two weights in a byte
        held = parameter.nbytes + sum(tensor.nbytes for tensor in _scales(state))
        return _Part(state.shape.numel(), held, trains=False, packed=True, double=state.nested)
    if parameter.dtype == torch.int8:
        scales = getattr(parameter, "SCB", None)
        if scales is None:  # the first forward pass hands them to the layer
            scales = module.state.SCB
        return _Part(parameter.numel(), parameter.nbytes + scales.nbytes, False, packed=True)
    return _Part(parameter.numel(), parameter.nbytes, parameter.requires_grad, packed=False)


def _scales(state: Any) -> Iterator[Tensor]:
    """All that is needed to read a 4-bit weight: scales, and the scales of those if there are any."""
    yield from (state.absmax, state.code)
    if state.nested:
        yield state.offset
        yield from _scales(state.state2)
