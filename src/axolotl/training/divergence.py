"""A training whose numbers have left the range of floats: nothing after that can be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from axolotl.errors import AxolotlError, EnvironmentFault
from axolotl.training.checkpoint_files import damage, step_of
from axolotl.training.checkpoints import list_checkpoints

_NAMED = 12
"""How many source rows are named; a packed row may hold hundreds."""


class Diverged(AxolotlError):
    """The training has come to numbers of no use.

    Args:
        what: What is wrong, such as `the loss is nan at step 3`.
        good_until: Checkpoints of later steps are not to be gone on from; None if all are good.
    """

    def __init__(self, what: str, *, good_until: int | None = None) -> None:
        self.good_until = good_until
        super().__init__(
            f"the training has diverged: {what}",
            where="learning_rate",
            hint="lower learning_rate, warm up longer, set max_grad_norm, or use bf16 instead of fp16",
        )


def diverged(what: str, *, step: int, rows: Sequence[str] = ()) -> Diverged:
    """The error that ends such a training.

    Args:
        what: What is not finite, such as `the loss is nan`.
        step: The optimizer step, from 1.
        rows: The source rows that it happened with.
    """
    return Diverged(f"{what} at step {step}{with_rows(rows)}")


def with_rows(rows: Sequence[str]) -> str:
    """The source rows, to be put behind a message.

    >>> with_rows(["a.jsonl row 3", "a.jsonl row 9"])
    ', with a.jsonl row 3, a.jsonl row 9'
    """
    if not rows:
        return ""
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return f", with {', '.join(rows[:_NAMED])}{more}"


@contextmanager
def naming_last_checkpoint(run_folder: Path) -> Iterator[None]:
    """Tell of what can be gone on from, where a run ends because it diverged or the disk failed.

    Args:
        run_folder: The run's output folder.
    """
    try:
        yield
    except (Diverged, EnvironmentFault) as error:
        until = error.good_until if isinstance(error, Diverged) else None
        known = reversed(list_checkpoints(run_folder))
        good = next((path for path in known if _is_good(path, until)), None)
        said = f"{good} is whole" if good else "there is no checkpoint yet"
        error.hint = f"{error.hint}; {said}" if error.hint else said
        raise


def _is_good(checkpoint: Path, until: int | None) -> bool:
    return damage(checkpoint) is None and (until is None or step_of(checkpoint) <= until)
