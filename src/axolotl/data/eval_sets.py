"""Which set each row to evaluate on is of, where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from axolotl.config.set_names import set_names
from axolotl.config.sources import DatasetSource


@dataclass(frozen=True, slots=True)
class EvalSets:
    """The sets of some rows.

    Args:
        names: What they are called in metrics.
        numbers: int64, for each row the place of its set in `names`.
    """

    names: tuple[str, ...]
    numbers: np.ndarray


def eval_sets(entries: Sequence[DatasetSource], of_rows: np.ndarray) -> EvalSets | None:
    """The sets that rows are of; None where all are of one.

    Args:
        entries: The entries that the rows come from.
        of_rows: Number of the entry of each row.

    >>> entries = [DatasetSource(path=path, type="alpaca") for path in ("a.json", "b.json", "c.json")]
    >>> eval_sets(entries, np.array([2, 0, 2]))
    EvalSets(names=('a', 'c'), numbers=array([1, 0, 1]))
    """
    present, numbers = np.unique(of_rows, return_inverse=True)
    if present.size < 2:
        return None
    names = set_names(entries)
    return EvalSets(tuple(names[number] for number in present.tolist()), numbers.reshape(-1))
