"""Whether documents that share a row see each other: tried on the model itself, as it was loaded.

A model keeps its documents apart only if every layer of it does: a convolution, a state-space
layer, positions counted over the row, or attention code that drops `position_ids` all leak, and no
class attribute tells. So a few tokens are sent through the model: two documents in a row must give
the logits that each gives alone, and changing the first must leave the second as it was.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_FIRST, _SECOND = 5, 7
"""Lengths in tokens of the two documents."""
_LONGEST = 64
"""A sliding window up to this many tokens is tried with a document that is longer."""
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a forward pass raises that an attention function does not fit into."""


def why_not_served(model: Any, *, computes_in: torch.dtype = torch.float32) -> str | None:
    """Why the attention now set on `model` does not compute what the model's own eager code does.

    Tried with one document in a row. Where the code of the model has no other attention to compare
    with, it is enough that the forward pass works.

    Args:
        model: A loaded model without adapter; its mode and attention are put back.
        computes_in: The coarsest number format inside it, where that is not one of its weights'.
    """
    with _quietly(model):
        ids = _documents(model)[1]
        try:
            got = _logits(model, ids, [len(ids)])
        except _FAULTS as error:
            return f"its forward pass fails: {_first_line(error)}"
        want = _eager_logits(model, ids)
    if want is not None and not _close(got, want, _tolerance(got.dtype, computes_in)):
        return f"logits differ from eager attention's by {_difference(got, want):.1%}"
    return None


def why_not_isolated(model: Any, *, computes_in: torch.dtype = torch.float32) -> str | None:
    """Why documents may not share a row of `model` with the attention now set; None if they may.

    Args:
        model: A loaded model without adapter; its mode is put back.
        computes_in: As in `why_not_served`.
    """
    with _quietly(model):
        first, second = _documents(model)
        border = len(first)
        lengths = [len(first), len(second)]
        try:
            together = _logits(model, first + second, lengths)
            changed = _logits(model, _others(model, first) + second, lengths)
            alone = torch.cat([_logits(model, ids, [len(ids)]) for ids in (first, second)])
        except _FAULTS as error:
            return f"its forward pass fails: {_first_line(error)}"
    if not _close(
        changed[border:], together[border:], _tolerance(together.dtype, computes_in) / 10
    ):
        share = _difference(changed[border:], together[border:])
        return f"documents of a row see each other (logits change by {share:.2%})"
    if not _close(together, alone, _tolerance(together.dtype, computes_in)):
        share = _difference(together, alone)
        return f"documents of a row differ from documents alone (logits by {share:.2%})"
    return None


def row_arguments(model: Any, input_ids: Tensor, position_ids: Tensor) -> dict[str, Any]:
    """Arguments of a forward pass over one row, without those that the model does not take.

    Args:
        model: The model; with an adapter, its base model is asked.
        input_ids: int64, (1, T).
        position_ids: int64, (1, T); 0 where a document begins.
    """
    base = getattr(model, "get_base_model", lambda: model)()
    known = inspect.signature(base.forward).parameters
    free = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    optional = {"position_ids": position_ids, "use_cache": False}
    return {"input_ids": input_ids} | {k: v for k, v in optional.items() if free or k in known}


def _logits(model: Any, ids: list[int], lengths: list[int]) -> Tensor:
    """(T, V), in the dtype of the weights."""
    device = model.get_input_embeddings().weight.device
    positions = torch.cat([torch.arange(n, device=device) for n in lengths])[None]
    row = torch.tensor([ids], device=device)
    return model(**row_arguments(model, row, positions)).logits[0]


def _eager_logits(model: Any, ids: list[int]) -> Tensor | None:
    """Logits of a document by the model's eager attention; None where it cannot be set or fails."""
    present = model.config._attn_implementation
    if present == "eager" or not getattr(model, "_supports_attention_backend", False):
        return None
    try:
        model.set_attn_implementation("eager")
        return _logits(model, ids, [len(ids)])
    except _FAULTS:
        return None
    finally:
        model.set_attn_implementation(present)


def _documents(model: Any) -> tuple[list[int], list[int]]:
    """Two documents of different tokens, the second longer than the window if that is short."""
    window = getattr(model.config.get_text_config(), "sliding_window", None)
    short = isinstance(window, int) and window < _LONGEST
    length = max(_SECOND, window + 3) if short and window else _SECOND
    usable = _usable(model)
    picked = [usable[(7 * i + 3) % len(usable)] for i in range(_FIRST + length)]
    return picked[:_FIRST], picked[_FIRST:]


def _others(model: Any, ids: list[int]) -> list[int]:
    usable = _usable(model)
    return [usable[(usable.index(token) + len(usable) // 2) % len(usable)] for token in ids]


def _usable(model: Any) -> list[int]:
    """Up to 1000 tokens from the middle of the vocabulary, where no special ones are."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    start = vocabulary // 4
    return list(range(start, min(max(start + 2, vocabulary * 3 // 4), start + 1000)))


def _tolerance(*dtypes: torch.dtype) -> float:
    """What rounding to the coarsest of these may change, as a share of the logits' range."""
    return 1e-4 if {torch.float32, torch.float64}.issuperset(dtypes) else 0.05


def _close(got: Tensor, want: Tensor, tolerance: float) -> bool:
    return _difference(got, want) <= tolerance  # not true for NaN either


def _difference(got: Tensor, want: Tensor) -> float:
    got, want = got.float(), want.float()
    scale = (want - want.mean(dim=-1, keepdim=True)).abs().max()
    return ((got - want).abs().max() / scale).item()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def _quietly(model: Any) -> Iterator[None]:
    """No gradients, no dropout; the mode of the model is put back."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
