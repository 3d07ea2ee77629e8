"""Which rows of a store are trained and which evaluated, how often and in which order.

Numbers of rows on top of a store; nothing of it is stored:

    order ─▶ part ─▶ split ─▶ rows that are equal go ─▶ rows to train on are weighted

One data set is not shuffled, so the held-out rows are its last ones, and its author decides them by
their place. Several data sets are shuffled together first, or else only the last of them would be
evaluated. Weights come last: they never change which rows are held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from axolotl.config import Sections
from axolotl.data.equal_rows import first_equals
from axolotl.data.split import split_rows
from axolotl.data.store import StoreFiles
from axolotl.errors import DataError

REPEATED = "equal to another row to train on"
REPEATED_HELD_OUT = "equal to another row to evaluate on"
EVALUATED = "to train on, and equal to a row to evaluate on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the file says of the choice of rows and their order.

    Args:
        seed: Seed of every shuffle and of the rows of a weight.
        val_set_size: Share or number of the rows that is held out.
        part: Which part of the rows, from 0, and of how many.
        shuffle_each: Shuffle the rows of each data set.
        shuffle_all: Shuffle the rows of all data sets together.
        deduplicate: Drop rows that are equal.
        weights: How often the rows of each data set are trained.
    """

    seed: int
    val_set_size: float = 0
    part: tuple[int, int] = (0, 1)
    shuffle_each: bool = False
    shuffle_all: bool = False
    deduplicate: bool = False
    weights: tuple[float, ...] = ()

    @classmethod
    def of(cls, options: Sections) -> Choices:
        """The choices that a file makes."""
        data, rows = options.data, options.rows
        together = rows.shuffle_merged_datasets
        if together is None:
            together = data.has_several and not rows.curriculum_sampling
        return cls(
            seed=options.training.seed,
            val_set_size=data.val_set_size or 0,
            part=(data.dataset_shard_idx or 0, data.dataset_shard_num or 1),
            shuffle_each=rows.shuffle_before_merging_datasets,
            shuffle_all=together,
            deduplicate=rows.dataset_exact_deduplication,
            weights=tuple(entry.weight for entry in data.datasets),
        )


@dataclass(frozen=True, slots=True)
class Weighted:
    """A data set whose rows are not trained once each.

    Args:
        number: Number of the data set.
        weight: How often they are trained.
        rows: Its rows to train on.
        trained: How many rows an epoch has of them.
    """

    number: int
    weight: float
    rows: int
    trained: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The rows that are used.

    Args:
        train: Numbers of the rows to train on, in their order; a row that is trained twice is there
            twice.
        held_out: Numbers of the rows to evaluate on.
        unweighted_rows: How many rows to train on there are before weights.
        other_parts: How many rows are left to other parts.
        equal: Rows that are dropped because others are equal, by reason, ascending. Those of
            `REPEATED_HELD_OUT` are rows of the store that the held-out rows are of.
        weighted: The data sets that have a weight.
    """

    train: np.ndarray
    held_out: np.ndarray
    unweighted_rows: int
    other_parts: int = 0
    equal: Mapping[str, np.ndarray]
    weighted: tuple[Weighted, ...] = ()


def select_rows(
    choices: Choices, files: StoreFiles, sets: np.ndarray, *, tests: StoreFiles | None = None
) -> Selection:
    """Choose the rows.

    Args:
        choices: How.
        files: The store of the data sets.
        sets: Number of the data set of each of its rows, ascending.
        tests: The store of `test_datasets`, whose rows are all evaluated.

    Raises:
        DataError: no row would be left to train on.
    """
    order = order_rows(
        sets, seed=choices.seed, each=choices.shuffle_each, together=choices.shuffle_all
    )
    train, held_out = split_rows(order, val_set_size=choices.val_set_size, part=choices.part)
    other_parts = order.size - train.size - held_out.size
    if tests is not None:
        held_out = np.arange(len(tests.rows))
    equal: dict[str, np.ndarray] = {}
    if choices.deduplicate:
        equal = _equal_rows((files, train), (tests or files, held_out))
        train = train[~np.isin(train, np.concatenate([equal[REPEATED], equal[EVALUATED]]))]
        held_out = held_out[~np.isin(held_out, equal[REPEATED_HELD_OUT])]
        if not train.size:
            raise DataError(
                "every row to train on is equal to one to evaluate on",
                where="dataset_exact_deduplication",
                hint="give other rows to train on, or others to evaluate on",
            )
    weighted = _weighted(train, sets, choices.weights)
    return Selection(
        train=weigh(train, sets, weighted, seed=choices.seed, shuffle=choices.shuffle_all),
        held_out=held_out,
        unweighted_rows=train.size,
        other_parts=other_parts,
        equal={reason: rows for reason, rows in equal.items() if rows.size},
        weighted=weighted,
    )


def order_rows(sets: np.ndarray, *, seed: int, each: bool, together: bool) -> np.ndarray:
    """Numbers of all rows in the order in which they are dealt out, int64.

    Args:
        sets: Number of the data set of each row, ascending.
        seed: Seed of the shuffles.
        each: Shuffle the rows of each data set.
        together: Shuffle all rows.

    >>> order_rows(np.array([0, 0, 0, 1, 1]), seed=1, each=True, together=False)
    array([2, 0, 1, 4, 3])
    """
    order = np.arange(sets.size)
    if each:
        for mine in np.split(order, np.flatnonzero(np.diff(sets)) + 1):
            mine[:] = np.random.default_rng(seed).permutation(mine)
    return order[np.random.default_rng(seed).permutation(sets.size)] if together else order


def _equal_rows(
    train: tuple[StoreFiles, np.ndarray], held_out: tuple[StoreFiles, np.ndarray]
) -> dict[str, np.ndarray]:
    """The rows that are dropped: of those that are equal, the first in the data stays.

    A row that is both trained and evaluated stays among those to evaluate on.
    """
    numbers, tests = np.sort(train[1]), np.sort(held_out[1])
    first = first_equals([(held_out[0], tests), (train[0], numbers)])
    again = first < np.arange(first.size)
    of_train = first[tests.size :]
    return {
        REPEATED: numbers[again[tests.size :] & (of_train >= tests.size)],
        EVALUATED: numbers[of_train < tests.size],
        REPEATED_HELD_OUT: tests[again[: tests.size]],
    }


def _weighted(
    train: np.ndarray, sets: np.ndarray, weights: Sequence[float]
) -> tuple[Weighted, ...]:
    counts = np.bincount(sets[train], minlength=len(weights)).tolist()
    found = tuple(
        Weighted(number, weight, rows, round(rows * weight))
        for number, (weight, rows) in enumerate(zip(weights, counts, strict=False))
        if weight != 1
    )
    untouched = train.size - sum(entry.rows for entry in found)
    if not untouched + sum(entry.trained for entry in found):
        raise DataError(
            f"{found[0].weight:g} of {found[0].rows} rows is less than one, so none is trained",
            where=f"datasets.{found[0].number}.weight",
            hint="raise it",
        )
    return found


def weigh(
    train: np.ndarray, sets: np.ndarray, weighted: Sequence[Weighted], *, seed: int, shuffle: bool
) -> np.ndarray:
    """Take the rows of some data sets several times, or only some of them.

    Each data set is gone through as often as its weight says, and the last time only in part: 2.5 is
    twice all of its rows and then a random half, in the same order.

    Args:
        train: Numbers of the rows to train on, in their order.
        sets: Number of the data set of each row of the store.
        weighted: The data sets and their weights.
        seed: Seed of the shuffle, and of what is taken in part.
        shuffle: Shuffle the result; otherwise the data sets come one after the other.

    >>> twice = Weighted(0, 2.0, rows=2, trained=4)
    >>> weigh(np.arange(3), np.array([0, 0, 1]), [twice], seed=0, shuffle=False)
    array([0, 1, 0, 1, 2])
    """
    if not weighted:
        return train
    mine = sets[train]
    by_set = {entry.number: entry for entry in weighted}
    taken: list[np.ndarray] = []
    for number in np.unique(mine).tolist():
        rows = train[mine == number]
        entry = by_set.get(number)
        if entry is None:
            taken.append(rows)
            continue
        whole, rest = divmod(entry.trained, rows.size)
        taken += [rows] * whole
        some = np.random.default_rng([seed, number]).permutation(rows.size)[:rest]
        taken.append(rows[np.sort(some)])
    together = np.concatenate(taken)
    return np.random.default_rng([seed, 1]).permutation(together) if shuffle else together
