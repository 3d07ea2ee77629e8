"""The mask of a row is made from its `position_ids` and handed to a model that does not make it.

Models of transformers build their masks with `create_causal_mask`, which sees where documents begin
if it is told the positions. Some models do not tell it (transformers 5.23: MPT, Falcon, Bloom,
BioGPT, XGLM). It returns a mask of four dimensions as it is, though, so it is called here instead,
with the positions, and its result is passed as the model's `attention_mask`.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import create_causal_mask


def hand_over_row_mask(model: Any) -> ExitStack:
    """Register a hook on `model` that makes the mask; wrappers of the model call it as ever.

    A call with an `attention_mask` or with `past_key_values`, such as one that generates text, is
    left as it is. So is one without `position_ids`.

    Returns:
        What removes the hook.
    """
    undo = ExitStack()
    handle = model.register_forward_pre_hook(_with_mask, with_kwargs=True)
    undo.callback(handle.remove)
    return undo


def is_row(arguments: dict[str, Any]) -> bool:
    """Whether these are the arguments of a row: positions, and neither mask nor cache."""
    return (
        arguments.get("position_ids") is not None
        and arguments.get("attention_mask") is None
        and arguments.get("past_key_values") is None
    )


def row_mask(model: Any, position_ids: Tensor) -> Tensor | None:
    """The mask that the library makes of these positions for the attention of `model`.

    Args:
        model: The model.
        position_ids: int64, (B, T).

    Returns:
        (B, 1, T, T), boolean or added to the scores; None where that attention takes none.
    """
    weight = model.get_input_embeddings().weight
    like = torch.empty((*position_ids.shape, 0), dtype=weight.dtype, device=position_ids.device)
    return create_causal_mask(
        config=model.config,
        inputs_embeds=like,
        attention_mask=None,
        past_key_values=None,
        position_ids=position_ids,
    )


def positions_in(mask: Tensor) -> Tensor:
    """Each token's place in its document, by how many tokens it sees besides itself.

    Args:
        mask: (B, 1, T, T), as `row_mask` gives it.

    Returns:
        int64, (B, T).
    """
    seen = mask if mask.dtype == torch.bool else mask == 0
    return seen.sum(dim=-1)[:, 0] - 1


def _with_mask(
    model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    if not is_row(kwargs):
        return None
    return args, kwargs | {"attention_mask": row_mask(model, kwargs["position_ids"])}
