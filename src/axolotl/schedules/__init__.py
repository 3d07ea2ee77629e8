"""Courses of the learning rate: one file each, named as in `lr_scheduler`. Pure Python.

A schedule says by what `learning_rate` is multiplied at a step. It knows nothing of optimizers.
"""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import BaseModel


class Schedule(Protocol):
    """What a file of this folder contains.

    Attributes:
        Options: Frozen pydantic model of `lr_scheduler_kwargs`; refuses keys that it does not know.
        WARMS_UP: Whether it begins with a warm-up where the file says nothing of one.
    """

    __name__: str
    Options: type[BaseModel]
    WARMS_UP: bool

    def factor(self, step: int, total_steps: int, warmup_steps: int, options: Any) -> float:
        """What `learning_rate` is multiplied by.

        Args:
            step: Optimizer steps done, from 0.
            total_steps: Optimizer steps of the whole training.
            warmup_steps: Steps of rising learning rate.
            options: The schedule's `Options`.
        """
        ...
