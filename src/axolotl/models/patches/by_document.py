"""Attention layers that know nothing but masks are called once for each document of a row.

Some models compute all scores of a row and mask those between documents (transformers 5.23: MPT,
GPT-J, Bloom, Falcon, CodeGen, GPT-Neo, XGLM, StableLM and others): a row costs the square of its
tokens, in time and in memory, though its documents cost far less. Nothing passes between documents
in a layer but through those scores, so each may be sent through it alone, with its own block of the
mask. Where the blocks are is read off the mask, so the layer needs to be told nothing.
"""

from __future__ import annotations

import inspect
from contextlib import ExitStack
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from axolotl.core.last_read import LastRead

_ALONG: dict[str, tuple[int, ...]] = {
    "hidden_states": (1,),
    "residual": (1,),
    "position_ids": (1,),
    "position_embeddings": (1,),
    "alibi": (-1,),
    "position_bias": (-1,),
    "attention_mask": (-2, -1),
}
"""Arguments of attention layers, and which of their dimensions run along the row."""
_ROW = ("hidden_states", "attention_mask")
_FLAGS = (bool, int, float, str, type(None))


def attend_by_document(model: Any) -> ExitStack:
    """Let the attention layers of `model` take the documents of a row one after another.

    A call without mask, with a cache, with several rows, with one document, or with anything that is
    not known to run along the row, is left as it is. So are models whose layers cannot be told.

    Args:
        model: A loaded model without adapter; it can be wrapped, copied and pickled afterwards.

    Returns:
        What gives the layers their own way back.
    """
    undo = ExitStack()
    for layer in attention_layers(model):
        layer.forward = _ByDocument(layer)
        undo.callback(delattr, layer, "forward")
    return undo


def attention_layers(model: Any) -> list[nn.Module]:
    """The innermost modules that are called attention and take a row and its mask."""
    found = [part for part in model.modules() if _takes_mask(type(part))]
    outer = {
        id(part)
        for part in found
        if any(_takes_mask(type(inner)) for inner in part.modules() if inner is not part)
    }
    return [part for part in found if id(part) not in outer]


def split_all(model: Any) -> bool:
    """Whether each of its attention layers has taken the documents of some row one by one."""
    ways = [vars(layer).get("forward") for layer in attention_layers(model)]
    return bool(ways) and all(isinstance(way, _ByDocument) and way.has_split for way in ways)


class _ByDocument:
    """In place of the `forward` of one attention layer."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        self.has_split = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        own = type(self.layer).forward
        given = _named(type(self.layer), args, kwargs)
        lengths = _documents(given)
        if lengths is None:
            return own(self.layer, *args, **kwargs)
        self.has_split = True
        found: list[Any] = []
        begin = 0
        for length in lengths:
            taken = {name: _part(name, value, begin, length) for name, value in given.items()}
            found.append(own(self.layer, **taken))
            begin += length
        if not isinstance(found[0], tuple):
            return torch.cat(found, dim=1)
        return torch.cat([one[0] for one in found], dim=1), *[None] * (len(found[0]) - 1)


def _documents(given: dict[str, Any]) -> list[int] | None:
    """Lengths of the documents that may be taken one by one; None where the call must be left."""
    hidden, mask = (given.get(name) for name in _ROW)
    if mask is None or hidden is None or given.get("output_attentions"):
        return None
    tokens = hidden.shape[1]
    if len(hidden) != 1 or mask.ndim != 4 or len(mask) != 1 or mask.shape[-2:] != (tokens, tokens):
        return None
    known = (name in _ALONG or isinstance(value, _FLAGS) for name, value in given.items())
    return _blocks(mask) if all(known) else None


def diagonal_blocks(mask: Tensor) -> list[int] | None:
    """Lengths of the blocks along the diagonal of a mask, if they are several and all of it.

    Args:
        mask: (1, heads or 1, T, T), true where a token is seen (MPT: where it is not), or added to
            the scores.

    >>> whole = torch.ones(1, 1, 3, 3, dtype=torch.bool).tril()
    >>> diagonal_blocks(torch.block_diag(whole[0, 0], whole[0, 0, :2, :2])[None, None].bool())
    [3, 2]
    """
    # A mask with a bias in it has the lowest number, or less, where nothing is seen.
    seen = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
    if not seen[0, 0, 0, 0]:  # each token sees itself
        seen = ~seen
    seen = seen[0].any(dim=0)
    begins = ~torch.nn.functional.pad(seen.diagonal(-1), (1, 0), value=False)
    block = begins.cumsum(0)
    if block[-1] == 1 or (seen & (block[:, None] != block)).any():
        return None
    lengths: list[int] = torch.bincount(block)[1:].tolist()
    return lengths


_blocks = LastRead(diagonal_blocks)


def _part(name: str, value: Any, begin: int, length: int) -> Any:
    """What one document has of an argument."""
    if isinstance(value, tuple):
        return tuple(_part(name, one, begin, length) for one in value)
    if not isinstance(value, Tensor):
        return value
    for dim in _ALONG[name]:
        value = value.narrow(dim, begin, length)
    return value


@lru_cache(maxsize=64)
def _signature(kind: type[nn.Module]) -> inspect.Signature:
    """Of its `forward`, without `self`."""
    whole = inspect.signature(kind.forward)
    return whole.replace(parameters=list(whole.parameters.values())[1:])


def _named(kind: type[nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call, all by name."""
    names = [name for name, _ in zip(_signature(kind).parameters, args, strict=False)]
    return dict(zip(names, args, strict=True)) | kwargs


def _takes_mask(kind: type[nn.Module]) -> bool:
    """Whether a class is called attention, and its `forward` takes a row and its mask."""
    return "Attention" in kind.__name__ and all(
        name in _signature(kind).parameters for name in _ROW
    )
