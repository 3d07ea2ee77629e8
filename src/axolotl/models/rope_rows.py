"""Rotary positions that depend on the length of a sample, for rows that hold several.

With `dynamic` and `longrope`, samples longer than the model's own length are turned otherwise than
short ones. The library asks for that length once for a whole row, and `dynamic` remembers the
longest row it has seen: a sample would be turned by what shares its row, or by what came before it,
and a resumed run, whose memory is empty, would go on with other numbers. Here each document of a row
is turned by its own length, as the library turns it alone in a fresh model.

B rows, T tokens, D width of cosine and sine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

BY_LENGTH = ("dynamic", "longrope")
"""The kinds that look at the length of a sample."""
_MARK = "turns_each_alone"


Turned = Tensor | tuple[Tensor, Tensor]
"""What a rotary module gives: cosine and sine, or one complex tensor of both, as DeepSeek 2 has it."""


def parts_of(turned: Turned) -> tuple[Tensor, Tensor]:
    """Cosine and sine."""
    return (turned.real, turned.imag) if isinstance(turned, Tensor) else turned


def changed(turned: Turned, change: Callable[[Tensor], Tensor]) -> Turned:
    """The same layout, with each tensor changed."""
    if isinstance(turned, Tensor):
        return change(turned)
    return change(turned[0]), change(turned[1])


def rotary_modules(model: nn.Module) -> Iterator[nn.Module]:
    """The modules that hold the frequencies of rotary positions, as transformers builds them."""
    for module in model.modules():
        buffers = dict(module.named_buffers(recurse=False))
        if any(name.endswith("inv_freq") for name in buffers) and hasattr(module, "rope_type"):
            yield module


def kinds_of(module: Any) -> Mapping[str | None, str]:
    """Kind of attention layer → kind of scaling; one entry under None where all layers share one."""
    kinds = module.rope_type
    return kinds if isinstance(kinds, dict) else {None: kinds}


def turn_each_alone(model: nn.Module) -> bool:
    """Have each document of a row turned by its own length; whether the model asks for that.

    Args:
        model: A loaded model; forward hooks are put on its rotary modules, once.
    """
    found = [
        module
        for module in rotary_modules(model)
        if any(kind in BY_LENGTH for kind in kinds_of(module).values())
    ]
    for module in found:
        if _MARK not in vars(module):
            module.register_forward_pre_hook(_forget, with_kwargs=True)
            module.register_forward_hook(_each_document, with_kwargs=True)
            vars(module)[_MARK] = True
    return bool(found)


def document_lengths(position_ids: Tensor) -> Tensor:
    """For each token, the length of its document up to the last token of it in the row.

    A document ends where the next position is not one more.

    Args:
        position_ids: int64, (B, T).

    Returns:
        int64, (B, T).

    >>> document_lengths(torch.tensor([[0, 1, 2, 0, 1]])).tolist()
    [[3, 3, 3, 2, 2]]
    """
    width = position_ids.shape[1]
    follows = position_ids[:, 1:] == position_ids[:, :-1] + 1
    place = torch.arange(width, device=position_ids.device).expand_as(position_ids)
    last = place.clone()
    last[:, :-1] = torch.where(follows, width - 1, place[:, :-1])
    return position_ids.gather(1, last.flip(1).cummin(1).values.flip(1)) + 1


def _forget(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Before a row: as if it were the first."""
    _reset(module, _layer_kind(args, kwargs))


def _reset(module: Any, layer_kind: str | None) -> None:
    prefix = f"{layer_kind}_" if layer_kind else ""
    if kinds_of(module)[layer_kind] == "dynamic":
        name, first = f"{prefix}inv_freq", getattr(module, f"{prefix}original_inv_freq")
        setattr(module, name, first.to(getattr(module, name).device))
        setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)


def _each_document(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Turned
) -> Turned | None:
    """Behind a row, which the library turned by its longest document: turn the others anew."""
    layer_kind, positions = _layer_kind(args, kwargs), _positions(args, kwargs)
    if kinds_of(module)[layer_kind] not in BY_LENGTH or positions.ndim != 2:
        return None
    classes = _classes(module, layer_kind, document_lengths(positions))
    others = classes.unique().tolist()[:-1]
    more = {"layer_type": layer_kind} if layer_kind else {}
    for one in others:
        mine = classes == one
        _reset(module, layer_kind)
        anew = module.forward(_input(args, kwargs), torch.where(mine, positions, 0), **more)
        output = _joined(mine[..., None], anew, output)
    return output


def _joined(mine: Tensor, anew: Turned, others: Turned) -> Turned:
    """Of each token, what was turned anew where it is meant, and what there was elsewhere."""
    if isinstance(anew, Tensor) or isinstance(others, Tensor):
        return torch.where(mine, cast("Tensor", anew), cast("Tensor", others))
    return torch.where(mine, anew[0], others[0]), torch.where(mine, anew[1], others[1])


def _classes(module: Any, layer_kind: str | None, lengths: Tensor) -> Tensor:
    """The same number for documents that are turned alike, a larger one for longer documents."""
    if kinds_of(module)[layer_kind] == "dynamic":
        return torch.where(lengths > module.original_max_seq_len, lengths, 0)
    given = module.config.rope_parameters
    own = (given[layer_kind] if layer_kind else given)["original_max_position_embeddings"]
    return (lengths > own).long()


def _input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return args[0] if args else kwargs["x"]


def _positions(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return kwargs["position_ids"] if "position_ids" in kwargs else args[1]


def _layer_kind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    return kwargs.get("layer_type", args[2] if len(args) > 2 else None)
