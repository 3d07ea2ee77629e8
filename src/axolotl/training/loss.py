"""The loss of one flattened row: summed cross entropy over its labels."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from axolotl.core.console import note_once
from axolotl.models.isolation import row_arguments
from axolotl.models.loss_head import check_head, fused_loss, labelled_positions, output_head
from axolotl.records import IGNORE_INDEX


class RowLoss:
    """Computes the loss inside the model's head where it can, else from its logits.

    Args:
        model: The model as built, not wrapped; with or without adapter.
        autocast: Opens the precision context of a forward pass.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.autocast = autocast
        self.head = output_head(model)
        self.why_not_fused = check_head(model)
        if self.why_not_fused:
            note_once(f"full logits are computed for the loss: {self.why_not_fused}")
        self.base: Any = getattr(model, "get_base_model", lambda: model)()
        self.keeps_logits = "logits_to_keep" in inspect.signature(self.base.forward).parameters

    def __call__(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Sum of the cross entropies, a scalar in fp32.

        Args:
            model: The same model, possibly wrapped for several processes.
            inputs: `input_ids`, `position_ids`, `labels`: int64, (1, T).
        """
        positions, targets = labelled_positions(inputs["labels"])
        arguments = row_arguments(self.base, inputs["input_ids"], inputs["position_ids"])
        if self.keeps_logits:
            arguments["logits_to_keep"] = positions
        with self.autocast():
            if self.why_not_fused is None and self.head is not None:
                with fused_loss(self.head, positions, targets):
                    return model(**arguments).logits.sum()
            logits = model(**arguments).logits[0]
            logits = logits if self.keeps_logits else logits[positions]
            return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


def label_count(inputs: dict[str, Any]) -> int:
    """Number of labels of a row."""
    return int((inputs["labels"] != IGNORE_INDEX).sum())
