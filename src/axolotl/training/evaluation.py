"""The loss on held-out rows: one number, the same however the rows are batched."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from axolotl.training.loss import RowLoss, label_count


@dataclass(frozen=True)
class EvalResult:
    """Result of an evaluation.

    Args:
        loss: Mean over trained tokens, nats per token.
        trained_tokens: How many tokens that was.
        seconds: Wall clock time.
    """

    loss: float
    trained_tokens: int
    seconds: float

    @property
    def perplexity(self) -> float:
        """E to the loss; infinite where that is beyond a float."""
        return math.exp(self.loss) if self.loss < 700 else math.inf


def evaluate_loss(
    model: Any,
    batches: Iterable[dict[str, Any]],
    row_loss: RowLoss,
    *,
    device: torch.device,
    sum_over_ranks: Callable[[Tensor], Tensor] = lambda total: total,
) -> EvalResult:
    """Sum the loss over all rows; dropout off, the model left in the mode it had.

    Args:
        model: The model, possibly wrapped.
        batches: Flattened rows of this process.
        row_loss: The loss of one row.
        device: Where the model is.
        sum_over_ranks: Adds a tensor up over all processes.
    """
    start = time.perf_counter()
    was_training = model.training
    model.eval()
    total = torch.zeros(2, dtype=torch.float64, device=device)
    try:
        with torch.no_grad():
            for batch in batches:
                inputs = {name: value.to(device) for name, value in batch.items()}
                total[0] += row_loss(model, inputs).double()
                total[1] += label_count(inputs)
    finally:
        model.train(was_training)
    loss, tokens = sum_over_ranks(total).tolist()
    return EvalResult(loss / max(1.0, tokens), int(tokens), time.perf_counter() - start)
