"""The loss of one flattened row: summed cross entropy over its labels."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from axolotl.core.console import note_once
from axolotl.models.fused_losses import Kernel, fitting_kernel
from axolotl.models.head_trial import Head, examine_head
from axolotl.models.isolation import row_arguments
from axolotl.models.loss_head import (
    MAX_LOGITS,
    fused_loss,
    in_chunks,
    labelled_positions,
    values_of_logits,
)
from axolotl.records import IGNORE_INDEX


class RowLoss:
    """Computes the loss inside the model's head where it can, else from its logits.

    Args:
        model: The model as built, not wrapped; with or without adapter.
        autocast: Opens the precision context of a forward pass.
        kernel: A file of `axolotl.models.fused_losses` that is to compute the loss of a training
            where it can; None for chunks in plain torch.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        kernel: str | None = None,
    ) -> None:
        self.autocast = autocast
        with autocast():
            found = examine_head(model)
            self.head = found if isinstance(found, Head) else None
            self.kernel = self._kernel(kernel) if kernel else None
        self.why_not_fused = found if isinstance(found, str) else None
        if self.why_not_fused:
            note_once(f"full logits are computed for the loss: {self.why_not_fused}")
        self.base: Any = getattr(model, "get_base_model", lambda: model)()
        self.keeps_logits = "logits_to_keep" in inspect.signature(self.base.forward).parameters

    def _kernel(self, name: str) -> Kernel | None:
        if self.head is None:
            return None
        found = fitting_kernel(name, self.head.module, self.head.after)
        if not isinstance(found, str):
            note_once(f"loss: computed by the kernels of {found.PACKAGE}")
            return found
        note_once(f"loss: computed in chunks in plain torch, not by {name}: {found}")
        return None

    def __call__(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Sum of the cross entropies, a scalar in fp32.

        Args:
            model: The same model, possibly wrapped for several processes.
            inputs: `input_ids`, `position_ids`, `labels`: int64, (1, T).
        """
        positions, targets = labelled_positions(inputs["labels"])
        arguments = self._arguments(inputs, positions)
        with self.autocast():
            if self.why_not_fused is None and self.head is not None:
                after, kernel = self.head.after, self.kernel
                with fused_loss(
                    self.head.module, positions, targets, after=after, kernel=kernel
                ) as loss_of:
                    return loss_of(model(**arguments).logits)
            logits = model(**arguments).logits[0]
            logits = logits if self.keeps_logits else logits[positions]
            return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")

    def of_labels(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Cross entropy of each label, fp32, shape (P,), without gradients.

        Args:
            model: As in a call.
            inputs: The same.
        """
        positions, targets = labelled_positions(inputs["labels"])

        def values(logits: Tensor, span: slice) -> Tensor:
            return cross_entropies(logits, targets[span])[:, None]

        return self.at(model, inputs, positions, values)[:, 0]

    def at(
        self,
        model: Any,
        inputs: dict[str, Any],
        positions: Tensor,
        values: Callable[[Tensor, slice], Tensor],
    ) -> Tensor:
        """Some values of the logits at each of some positions, shape (P, R), without gradients.

        Args:
            model: As in a call.
            inputs: The same; labels are not looked at.
            positions: int64, (P,).
            values: Maps logits, (n, V), and which of the positions they are of, to (n, R).
        """
        arguments = self._arguments(inputs, positions)
        with torch.no_grad(), self.autocast():
            if self.why_not_fused is None and self.head is not None:
                head, after = self.head.module, self.head.after
                with values_of_logits(head, positions, values, after=after) as found:
                    model(**arguments)
                    return found()
            logits = model(**arguments).logits[0]
            logits = logits if self.keeps_logits else logits[positions]
            return in_chunks(logits, max(1, MAX_LOGITS // logits.shape[-1]), values)

    def _arguments(self, inputs: dict[str, Any], positions: Tensor) -> dict[str, Any]:
        arguments = row_arguments(self.base, inputs["input_ids"], inputs["position_ids"])
        return arguments | ({"logits_to_keep": positions} if self.keeps_logits else {})


def cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of each target, fp32, shape (P,)."""
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")


def label_count(inputs: dict[str, Any]) -> int:
    """Number of labels of a row."""
    return int((inputs["labels"] != IGNORE_INDEX).sum())
