"""A training whose numbers have left the range of floats: nothing after that can be used."""

from __future__ import annotations

from collections.abc import Sequence

from axolotl.errors import AxolotlError

_NAMED = 12
"""How many source rows are named; a packed row may hold hundreds."""


class Diverged(AxolotlError):
    """The training has come to numbers of no use.

    The way out is filled in where the options of the run are known; see
    `axolotl.training.last_good`.

    Args:
        what: What is wrong, such as `the loss is nan at step 3`.
        good_until: Checkpoints of later steps are not to be gone on from.
        where: The option that has most to do with it.
        first: What is to be tried before all else.
    """

    def __init__(
        self, what: str, *, good_until: int, where: str = "learning_rate", first: str | None = None
    ) -> None:
        self.good_until = good_until
        self.first = first
        super().__init__(f"the training has diverged: {what}", where=where)


def diverged(what: str, *, step: int, rows: Sequence[str] = ()) -> Diverged:
    """The error that ends such a training.

    A checkpoint of the step before has the weights that led to this, and would lead to it again.

    Args:
        what: What is not finite, such as `the loss is nan`.
        step: The optimizer step, from 1.
        rows: The source rows that it happened with.
    """
    return Diverged(f"{what} at step {step}{with_rows(rows)}", good_until=step - 2)


def diverged_on_held_out(what: str, *, step: int, rows: Sequence[str] = ()) -> Diverged:
    """The error that ends a training whose evaluation gives no number.

    Args:
        what: What is not finite, such as `the held-out loss is nan`.
        step: The optimizer steps done.
        rows: The source rows that it happened with.
    """
    return Diverged(
        f"{what} at step {step}{with_rows(rows)}",
        good_until=step - 1,
        first="look at these rows" if rows else None,
    )


def with_rows(rows: Sequence[str]) -> str:
    """The source rows, to be put behind a message.

    >>> with_rows(["a.jsonl row 3", "a.jsonl row 9"])
    ', with a.jsonl row 3, a.jsonl row 9'
    """
    if not rows:
        return ""
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return f", with {', '.join(rows[:_NAMED])}{more}"
