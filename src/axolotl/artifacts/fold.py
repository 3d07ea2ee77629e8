"""An adapter added into the weights of its base, in memory."""

from __future__ import annotations

import re
import warnings
from typing import Any

import torch

from axolotl.core.console import note
from axolotl.errors import ModelError


def fold(adapted: Any) -> Any:
    """Add the adapter into the weights, in place, and take it off.

    Args:
        adapted: The model of peft.

    Returns:
        The model without adapter, in evaluation mode.

    Raises:
        ModelError: such an adapter is no sum of weights, or it holds numbers that are none.
    """
    if not hasattr(adapted.base_model, "merge_and_unload"):
        kind = adapted.peft_config[adapted.active_adapter].peft_type.value
        raise ModelError(
            f"an adapter of the kind {kind} cannot be merged",
            hint="it changes the model's inputs, not its weights; use it beside the base model",
        )
    _unshare(adapted)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            merged = adapted.merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise ModelError(
                f"the adapter cannot be merged: {str(error).splitlines()[0]}",
                hint="if it holds numbers that are none, the training diverged: lower learning_rate",
            ) from error
    for warning in said:
        if "no longer tied" in str(warning.message):
            note("embeddings and output head were trained apart; the merged model keeps both")
        else:
            note(f"while merging: {warning.message}")
    return merged.eval()


def _unshare(adapted: Any) -> None:
    """Give copies of a layer, which share their weights, weights of their own: each gets another sum."""
    if not getattr(adapted.peft_config[adapted.active_adapter], "layer_replication", None):
        return
    seen: set[int] = set()
    for path, module in adapted.named_modules():
        if not re.search(r"\.\d+\.", path):  # no layer: embeddings and head stay tied
            continue
        for name, weight in list(module.named_parameters(recurse=False)):
            if id(weight) in seen:
                copy = torch.nn.Parameter(weight.detach().clone(), requires_grad=False)
                setattr(module, name, copy)
            seen.add(id(weight))
