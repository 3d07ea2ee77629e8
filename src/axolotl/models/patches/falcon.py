"""Falcon with ALiBi, whose bias is built by a function of its module from the mask.

That function takes masks of two dimensions only, and counts positions over the whole row in
bfloat16: above 256 they are off, and a document far down a row is another one than alone. So it is
replaced by one that also knows the mask of a row. For all that the library's own takes, and so for
every other model, it calls the library's own.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.models.falcon import modeling_falcon

from axolotl.models.patches.bloom import at_positions
from axolotl.models.patches.row_mask import positions_in

_OWN = modeling_falcon.build_alibi_tensor
_patched: WeakSet[Any] = WeakSet()
"""Models for which the function is replaced."""


def count_positions(model: Any) -> ExitStack:
    """Replace the function while there is a Falcon with ALiBi that needs it.

    Returns:
        What takes this model out, and puts the library's function back after the last one.
    """
    undo = ExitStack()
    if model.config.alibi:
        _replace(model)
        undo.callback(_release, model)
        # A copy of the model, or one unpickled in another process, replaces it for itself.
        undo.callback(model.register_forward_pre_hook(_replace).remove)
    return undo


def why_not_served(config: PreTrainedConfig, attention: str) -> str | None:
    """What the library's code computes wrongly, which no comparison of ours can show.

    Its eager attention adds the bias to the scores although the mask has it already
    (transformers 5.23); sdpa adds it once, as the model was trained.
    """
    if config.model_type == "falcon" and getattr(config, "alibi", False) and attention == "eager":
        return "the library's eager code adds Falcon's ALiBi twice"
    return None


def _replace(model: Any, _args: Any = None) -> None:
    _patched.add(model)
    modeling_falcon.build_alibi_tensor = _bias


def _release(model: Any) -> None:
    _patched.discard(model)
    if not _patched:
        modeling_falcon.build_alibi_tensor = _OWN


def _bias(attention_mask: Tensor, num_heads: int, dtype: torch.dtype) -> Tensor:
    """(B * heads, 1, T)."""
    if attention_mask.ndim != 4:
        return _OWN(attention_mask, num_heads=num_heads, dtype=dtype)
    return at_positions(_OWN, positions_in(attention_mask), num_heads, dtype)
