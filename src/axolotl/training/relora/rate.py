"""The learning rate of a run with restarts: the schedule's, times a scale that rises after each."""

from __future__ import annotations

from collections.abc import Callable

from axolotl.config.relora import ReloraSection

LOWEST = 0.001
"""The scale at the step of a restart."""


def scale(
    step: int, *, every: int, warmup: int, anneal: int = 0, total: int | None = None
) -> float:
    """What the schedule's learning rate is multiplied by.

    Args:
        step: Optimizer steps done, from 0.
        every: Steps between two restarts.
        warmup: Steps in which it rises after a restart; the first steps of a run have none.
        anneal: Steps in which it falls before a restart.
        total: Optimizer steps of the training: before its end there is no restart to fall to.

    >>> [scale(step, every=4, warmup=2) for step in range(3, 8)]
    [1.0, 0.001, 0.5005, 1.0, 1.0]
    >>> [scale(step, every=4, warmup=0, anneal=2, total=5) for step in range(5)]
    [1.0, 1.0, 1.0, 0.5005, 1.0]
    """
    since, shares = step % every, [1.0]
    if step >= every and since < warmup:
        shares.append(since / warmup)
    is_followed = total is None or step - since + every < total
    if is_followed and every - since < anneal:
        shares.append((every - since) / anneal)
    return LOWEST + (1.0 - LOWEST) * min(shares) if len(shares) > 1 else 1.0


def with_restarts(
    factor: Callable[[int], float], options: ReloraSection, *, total: int
) -> Callable[[int], float]:
    """A schedule's factor per step, times the scale of the restarts; unchanged without ReLoRA.

    Args:
        factor: From the step (from 0) to the factor on the learning rate.
        options: When there are restarts.
        total: Optimizer steps of the training.
    """
    every = options.relora_steps
    if not every:
        return factor
    warmup, anneal = options.relora_warmup_steps, options.relora_anneal_steps

    def scaled(step: int) -> float:
        return factor(step) * scale(step, every=every, warmup=warmup, anneal=anneal, total=total)

    return scaled


def restarts_before(step: int, every: int) -> int:
    """How many restarts a run has behind it after `step` steps; one that is due then comes next.

    >>> [restarts_before(step, 4) for step in (0, 4, 5, 8, 9)]
    [0, 0, 1, 1, 2]
    """
    return max(0, step - 1) // every
