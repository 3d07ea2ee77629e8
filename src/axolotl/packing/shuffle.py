"""Shuffles that depend on nothing but numbers: no global state, no random generator of a library.

numpy may change the streams of its generators from one version to the next; an order that a resumed
training has to find again must not depend on that. So a permutation is the sort order of hashes of
the positions. A million take a tenth of a second.
"""

from __future__ import annotations

import numpy as np

SAMPLES, ROWS = 0, 1
"""What is shuffled; the two orders of one epoch have nothing to do with each other."""

_MASK = 2**64 - 1
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def permutation(count: int, *, seed: int, epoch: int, what: int = SAMPLES) -> np.ndarray:
    """The numbers below `count` in an order drawn from (seed, epoch, what).

    Args:
        count: How many there are.
        seed: Any integer.
        epoch: Number of the epoch, from 0.
        what: `SAMPLES` or `ROWS`.

    Returns:
        int64, shape (count,).

    >>> permutation(6, seed=42, epoch=0), permutation(6, seed=42, epoch=1)
    (array([3, 2, 5, 0, 4, 1]), array([5, 1, 2, 0, 3, 4]))
    """
    state = np.zeros(1, np.uint64)
    for word in (seed & _MASK, epoch, what):
        state = _mix(state + _STEP + np.uint64(word))
    # The hash of distinct numbers is distinct, so the order never hangs on how ties are sorted.
    keys = _mix(state + np.arange(count, dtype=np.uint64) * _STEP)
    return np.argsort(keys).astype(np.int64, copy=False)


def _mix(values: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64: one to one, every bit of the input moves half of the output's."""
    values = (values ^ (values >> _SHIFTS[0])) * _FACTORS[0]
    values = (values ^ (values >> _SHIFTS[1])) * _FACTORS[1]
    return values ^ (values >> _SHIFTS[2])
