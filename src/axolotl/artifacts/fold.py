"""An adapter added into the weights of its base, in memory."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

from axolotl.core.console import note
from axolotl.errors import ModelError


def check_kind(folder: Path) -> None:
    """Refuse an adapter that changes the inputs of a model and not its weights, before anything is loaded.

    Args:
        folder: Folder of the adapter.

    Raises:
        ModelError: it cannot be merged.
    """
    kind = PeftConfig.from_pretrained(str(folder)).peft_type
    tuner = PEFT_TYPE_TO_TUNER_MAPPING.get(kind)  # pyright: ignore[reportArgumentType]
    if not hasattr(tuner, "merge_and_unload"):
        raise ModelError(
            f"an adapter of the kind {getattr(kind, 'value', kind)} cannot be merged",
            hint="it changes the model's inputs, not its weights; use it beside the base model",
        )


def fold(adapted: Any) -> Any:
    """Add the adapter into the weights, in place, and take it off.

    Args:
        adapted: The model of peft.

    Returns:
        The model without adapter, in evaluation mode.

    Raises:
        ModelError: it holds numbers that are none.
    """
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
