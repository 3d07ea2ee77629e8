"""The rows of one process, step by step, as a batch sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch.utils.data import Sampler

from axolotl.packing.plan import PackPlan


class PlanSampler(Sampler[list[int]]):
    """Yields the sample numbers of each row of one process; an empty list is a row without samples.

    A plan is made when its epoch is first asked for, and kept until another is. Nothing here reads a
    sample, so skipping steps costs no data, and nothing draws random numbers.

    Args:
        make_plan: Plan of an epoch; all must have the same number of steps.
        rank: Number of this process.

    >>> from axolotl.packing.plan import plan_rows
    >>> sampler = PlanSampler(
    ...     lambda epoch: plan_rows([5, 5, 5], rows_per_batch=2, seed=0, epoch=epoch, shuffle=False)
    ... )
    >>> list(sampler), len(sampler)
    ([[0, 1], [2]], 2)
    """

    def __init__(self, make_plan: Callable[[int], PackPlan], *, rank: int = 0) -> None:
        self.make_plan = make_plan
        self.rank = rank
        self._epoch = 0
        self._steps: int | None = None
        self._cached: tuple[int, PackPlan] | None = None

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration goes through."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self._epoch = epoch

    @property
    def plan(self) -> PackPlan:
        """Plan of the epoch that is set."""
        if self._cached is None or self._cached[0] != self._epoch:
            plan = self.make_plan(self._epoch)
            assert self._steps in (None, plan.steps), "epochs have different numbers of steps"
            self._steps = plan.steps
            self._cached = self._epoch, plan
        return self._cached[1]

    def __len__(self) -> int:
        return self.plan.steps if self._steps is None else self._steps

    def __iter__(self) -> Iterator[list[int]]:
        # Not a generator itself: what is iterated is settled here, not when the first row is asked
        # for, which may be after the next `set_epoch`.
        plan, rank = self.plan, self.rank
        return (plan.bin(rank, step).tolist() for step in range(plan.steps))
