"""Which row of the training is being computed, and which rows of the user's files are in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from axolotl.training.steps import Steps


class RowPlaces:
    """Follows the training row by row, so that a fault can name the data that it happened with.

    Nothing is looked up before it is asked for.

    Args:
        steps: The counts of the training.
        sources: From the number of a row of this process, counted from the beginning of the
            training over all epochs, to the source rows in it.
    """

    def __init__(self, steps: Steps, sources: Callable[[int], Sequence[str]]) -> None:
        self._steps = steps
        self._sources = sources
        self._step = -1
        self._rows = 0

    def advance(self, step: int) -> None:
        """The next row is begun.

        Args:
            step: Optimizer steps done before.
        """
        self._rows = self._rows + 1 if step == self._step else 1
        self._step = step

    def of_row(self) -> list[str]:
        """Source rows of the row that is being computed."""
        return list(self._sources(self._first + self._rows - 1)) if self._rows else []

    def of_step(self) -> list[str]:
        """Source rows of all rows of the optimizer step, as far as it has come."""
        rows = range(self._first, self._first + self._rows)
        return [place for row in rows for place in self._sources(row)]

    @property
    def _first(self) -> int:
        epoch, at = divmod(self._step, self._steps.per_epoch)
        return epoch * self._steps.rows_per_epoch + at * self._steps.accumulation
