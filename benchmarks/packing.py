"""Plans for a million samples with lengths like alpaca's: how full the rows are, and how fast.

Plain is first-fit-decreasing as one would write it: each sample looks through the open rows. It is
too slow for a million, so both are timed on a smaller number.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from axolotl.packing.plan import plan_packed

SAMPLES, FEW = 1_000_000, 20_000
CAPACITY_TOKENS = 4 * 1024
REPEATS = 3


def alpaca_like_lengths(count: int, *, longest: int = 1024) -> np.ndarray:
    """Mean 144 tokens, median 127."""
    lengths = np.random.default_rng(0).lognormal(np.log(127), 0.5, count)
    return np.clip(lengths, 8, longest).astype(np.int32)


def first_fit_decreasing(lengths: np.ndarray) -> int:
    """Number of rows of the plain way."""
    room: list[int] = []
    for length in sorted(lengths.tolist(), reverse=True):
        for row, left in enumerate(room):
            if left >= length:
                room[row] = left - length
                break
        else:
            room.append(CAPACITY_TOKENS - length)
    return len(room)


def ours(lengths: np.ndarray, **changes: Any) -> Any:
    """A plan of one epoch."""
    options = {"capacity_tokens": CAPACITY_TOKENS, "seed": 0, "epoch": 0, "world_size": 1}
    return plan_packed(lengths, **(options | changes))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Its result, and the median of its seconds."""
    result, seconds = None, []
    for _ in range(REPEATS):
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    return result, statistics.median(seconds)


def main() -> None:
    many, few = alpaca_like_lengths(SAMPLES), alpaca_like_lengths(FEW)
    least = -(-int(many.sum()) // CAPACITY_TOKENS)
    plan, seconds = timed(lambda: ours(many))
    eight = ours(many, world_size=8)
    print(f"{SAMPLES:,} samples, {plan.bins:,} rows of {CAPACITY_TOKENS:,}: {seconds:.2f} s")
    wide = np.random.default_rng(0).integers(1, 32_769, SAMPLES)
    long, long_s = timed(lambda: ours(wide, capacity_tokens=32_768))
    print(f"the same with 1 to 32,768 tokens: {long_s:.2f} s, {long.efficiency:.2%} filled")
    plain_rows, plain_s = timed(lambda: first_fit_decreasing(few))
    few_plan, few_s = timed(lambda: ours(few))
    print(f"{FEW:,} samples: plain {plain_s:.2f} s, ours {few_s * 1000:.1f} ms")
    print(f"packing, share of the rows filled: {plan.efficiency:.4f} (>= 0.98)")
    print(f"packing, rows over the fewest possible: {plan.bins / least:.5f} (<= 1.01)")
    print(f"packing, rows for eight processes over one: {eight.bins / plan.bins:.5f} (<= 1.01)")
    print(f"packing, rows over plain: {few_plan.bins / plain_rows:.4f} (<= 1.0)")
    print(f"packing, plain's seconds over ours: {plain_s / few_s:.1f} (>= 10)")


if __name__ == "__main__":
    main()
