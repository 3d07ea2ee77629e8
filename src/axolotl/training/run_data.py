"""What a run has to know and to say of its data, prepared before it or read while it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from axolotl.data.origins import row_origins
from axolotl.data.prepare import Prepared
from axolotl.data.store import TokenStore
from axolotl.data.summary import PrepareSummary
from axolotl.packing.loader import SampleStore
from axolotl.packing.sampler import PlanSampler
from axolotl.training.processes import each_process

if TYPE_CHECKING:
    from axolotl.training.data import Plan


class RunData(Protocol):
    """The data of a run."""

    @property
    def eval(self) -> TokenStore | None:
        """Rows to evaluate on."""
        ...

    @property
    def shown(self) -> SampleStore:
        """Some samples, to be looked at."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What is worth a look."""
        ...

    def marks(self) -> Mapping[str, Any]:
        """What must be the same on a resume; under `sources` the files, where they were read."""
        ...

    def lines(self, plan: Plan) -> Mapping[str, str]:
        """What the table before the start says of it: rows, tokens, packing."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """What `run.json` says of it."""
        ...

    def sources(self, plan: Plan, row: int) -> Sequence[str]:
        """The source rows of a row of this process, counted over all epochs."""
        ...

    def closing(self) -> Sequence[str]:
        """What there is to say of it when the run is over."""
        ...


@dataclass(frozen=True)
class PreparedData:
    """Data that was prepared before the run.

    Args:
        prepared: The stores.
    """

    prepared: Prepared

    @property
    def eval(self) -> TokenStore | None:
        """Rows to evaluate on."""
        return self.prepared.eval

    @property
    def shown(self) -> SampleStore:
        """The rows to train on."""
        return self.prepared.train

    @property
    def warnings(self) -> Sequence[str]:
        """What is worth a look."""
        return self.prepared.summary.warnings

    def marks(self) -> Mapping[str, Any]:
        """The stores, and which of their rows are trained and evaluated, how often, in which order."""
        summary, held_out = self.prepared.summary, self.prepared.eval
        return {
            "data": summary.key,
            **({"part_of_data": summary.part} if summary.part[1] > 1 else {}),
            "train_rows": len(self.prepared.train),
            "eval_rows": len(held_out) if held_out is not None else 0,
            **({"test_data": summary.test_key} if summary.test_key else {}),
            "selected_rows": summary.selection,
            "sources": summary.contents,
        }

    def lines(self, plan: Plan) -> Mapping[str, str]:
        """Rows, tokens, packing."""
        summary, train = self.prepared.summary, self.prepared.train
        share = train.trained_tokens / max(1, train.tokens)
        return {
            "rows": f"{summary.train_rows:,} to train on, {summary.eval_rows:,} "
            f"{'to evaluate on' if summary.test_key else 'held out'}",
            "dropped": _dropped_words(summary),
            "tokens": f"{train.tokens:,} per epoch, {train.trained_tokens:,} ({share:.0%}) of them "
            "trained",
            "packing": packing_words(plan),
        }

    def as_dict(self) -> dict[str, Any]:
        """The summary."""
        return self.prepared.summary.as_dict()

    def sources(self, plan: Plan, row: int) -> list[str]:
        """The source rows of a row of this process, counted over all epochs."""
        sampler: PlanSampler = plan.train_loader.batch_sampler  # pyright: ignore[reportAssignmentType]
        epoch, at = divmod(row, plan.steps.rows_per_epoch)
        samples = sampler.make_plan(epoch).bin(sampler.rank, at).tolist()
        files = [source["file"] for source in self.prepared.summary.sources]
        return row_origins(self.prepared.train, samples, files)

    def closing(self) -> Sequence[str]:
        """Nothing: all was said before the run."""
        return ()


def _dropped_words(summary: PrepareSummary) -> str:
    """How many rows are not used, and why; of those that cannot be used not what each is wrong in."""
    reasons: Counter[str] = Counter()
    for why, rows in (*summary.dropped_rows.items(), *summary.equal_rows.items()):
        reasons[why.partition(": ")[0]] += rows.count
    if not reasons.total():
        return "none"
    counts = ", ".join(f"{count:,} {why}" for why, count in reasons.items() if count)
    return f"{counts} (`axolotl preprocess` names the rows)"


def packing_words(plan: Plan) -> str:
    """How samples share rows."""
    rows = plan.rows
    if not rows.packed:
        alike = " of similar length" if rows.grouped else ""
        return f"off: {rows.samples_per_row} samples{alike} a row, without padding"
    if plan.first_epoch is None:
        return f"rows of up to {rows.capacity_tokens:,} tokens"
    order = ", one sample after the other" if rows.sequential else ""
    return (
        f"{plan.first_epoch.efficiency:.1%} of {rows.capacity_tokens:,} tokens a row filled{order}, "
        f"{plan.steps.rows_per_epoch:,} rows an epoch{each_process()}"
    )
