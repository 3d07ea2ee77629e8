"""How many steps a training has, known before the model is loaded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from axolotl.core.console import note_once
from axolotl.schedules import short_warmup


@dataclass(frozen=True)
class Steps:
    """The length of a training.

    Args:
        rows_per_epoch: Flattened rows per epoch and process.
        accumulation: Rows per optimizer step and process.
        per_epoch: Optimizer steps per epoch; the last may have fewer rows.
        total: Optimizer steps of the whole training.
        warmup: Steps of rising learning rate.
        logging: Steps between two log lines.
    """

    rows_per_epoch: int
    accumulation: int
    per_epoch: int
    total: int
    warmup: int
    logging: int


def count_steps(
    rows_per_epoch: int,
    *,
    accumulation: int,
    num_epochs: float | None,
    max_steps: int | None = None,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    logging_steps: int | None = None,
    default_warmup: Callable[[int], int] = short_warmup,
) -> Steps:
    """Count the steps.

    Args:
        rows_per_epoch: Flattened rows per epoch and process.
        accumulation: Rows per optimizer step and process.
        num_epochs: Passes over the data; may be a fraction; None leaves it to `max_steps`.
        max_steps: Most steps, whatever `num_epochs` comes to.
        warmup_steps: As the file gives it.
        warmup_ratio: Warm-up as a share of all steps.
        logging_steps: As the file gives it; default half a percent of all, from 1 to 10.
        default_warmup: From all steps to those of the warm-up, where the file says nothing of it.

    >>> count_steps(10, accumulation=4, num_epochs=2.0).total
    6
    """
    per_epoch = math.ceil(rows_per_epoch / accumulation)
    bounds = [max_steps] if max_steps is not None else []
    if num_epochs is not None:
        bounds.append(max(1, math.ceil(num_epochs * per_epoch)))
    total = min(bounds)
    if warmup_steps is not None:
        warmup = warmup_steps
    elif warmup_ratio is not None:
        warmup = math.ceil(warmup_ratio * total)
    else:
        warmup = default_warmup(total)
    if warmup > total:
        note_once(
            f"warmup_steps {warmup} is more than all {total} steps: it ends with the training"
        )
    logging = logging_steps or max(min(int(0.005 * total), 10), 1)
    return Steps(rows_per_epoch, accumulation, per_epoch, total, min(warmup, total), logging)
