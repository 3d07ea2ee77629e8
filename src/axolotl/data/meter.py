"""A progress bar for long preparations; short ones pass in silence."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from axolotl.core.console import progress

QUIET_S = 2.0


class Meter:
    """A progress bar that appears when a preparation takes longer than a moment.

    Args:
        weights: Size of each part.
        rows: Rows that were read by an earlier run.
    """

    def __init__(self, weights: Sequence[float], rows: int = 0) -> None:
        self.part = 0
        self._weights = weights
        self._began = time.perf_counter()
        self._rows = self._rows_before = rows
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.update(self._task, total=self._rows)
            self._bar.stop()

    def update(self, rows: int, done: float) -> None:
        """Count rows; `done` is the share of the current part that has been read."""
        self._rows += rows
        seconds = time.perf_counter() - self._began
        if seconds < QUIET_S:
            return
        if self._bar is None:
            self._bar = progress("rows")
            self._task = self._bar.add_task(
                "Tokenizing", completed=self._rows_before, total=None, info=""
            )
            self._bar.start()
        read = sum(self._weights[: self.part]) + self._weights[self.part] * done
        share = max(read / max(sum(self._weights), 1.0), 1e-6)
        self._bar.update(
            self._task,
            completed=self._rows,
            total=max(self._rows, round(self._rows / share)),
            info=f"{(self._rows - self._rows_before) / seconds:,.0f} rows/s",
        )
