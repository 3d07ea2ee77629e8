"""One batch, cut up in several ways: the gradient of the trained weights must be the same.

The samples that training begins with go through the training loop itself as they are laid out by the
file; then each in a row of its own, so that more rows are accumulated; and dealt out to several
processes, which exchange gradients. What is compared is what the optimizer would be given.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from axolotl.errors import ConfigError, EnvironmentFault
from axolotl.models.quantized import quantized_base
from axolotl.resolve import Resolved
from axolotl.training.precision import formats
from axolotl.verify import Proof
from axolotl.verify._one_step import Bench, Rows, Step
from axolotl.verify.packing import Tolerance, tolerance

RANKS = 2
"""Processes that are started where the caller does not say how many."""
FEWEST_SAMPLES = 4
MOST_WEIGHTS = 2_000_000_000
"""Larger models are not opened once more for each process unless it is asked for."""
_LAST_LINES = 8


@dataclass(frozen=True)
class Split:
    """A way to cut the batch up.

    Args:
        rows: Rows of each process.
    """

    rows: Sequence[Rows]

    @property
    def words(self) -> str:
        """How it is cut up."""
        ranks, each = len(self.rows), len(self.rows[0])
        sizes = sorted({len(row) for rank in self.rows for row in rank})
        samples = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        many = "process" if ranks == 1 else "processes"
        return f"micro-batch {samples}, accumulation {each}, {ranks} {many}"


@dataclass(frozen=True)
class Apart:
    """How far a split is from the batch as the file lays it out.

    Args:
        split: The split.
        loss: Its loss.
        loss_share: Difference of the losses, as a share.
        gradient_share: Norm of the difference of the gradients, as a share of the norm.
    """

    split: Split
    loss: float
    loss_share: float
    gradient_share: float


def prove(resolved: Resolved, *, ranks: int | None = None) -> Proof:
    """Compare the gradients of one batch, cut up in several ways.

    Args:
        resolved: The configuration.
        ranks: Processes to deal the batch out to; 1 leaves that out.

    Raises:
        AxolotlError: the data cannot be prepared, the model does not load, or there are too few
            samples.
    """
    given = resolved.config.given()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench.open(given, Path(folder))
        whole = _batch(bench, ranks or RANKS)
        base = bench.step(whole)
        found = [
            _apart(split, bench.step(split.rows[0]), base) for split in _alone(whole) if split.rows
        ]
        count, why_not = _ranks(bench, ranks)
        if count > 1:
            split = Split([whole[rank::count] for rank in range(count)])
            found.append(_apart(split, _on_ranks(split, given, Path(folder)), base))
        return _proof(bench, Split([whole]), base, found, why_not)


def _batch(bench: Bench, ranks: int) -> list[list[int]]:
    """The rows of the first step, or more: so many that each process gets as many, and one or more."""
    plan = bench.plan()
    rows = plan.first_epoch
    assert rows is not None
    wanted = max(plan.rows.accumulation, ranks)
    while wanted < rows.steps and (
        wanted % ranks or sum(rows.bin(0, step).size for step in range(wanted)) < FEWEST_SAMPLES
    ):
        wanted += 1
    found = [rows.bin(0, step).tolist() for step in range(min(wanted, rows.steps))]
    found = found[: len(found) - len(found) % ranks]
    if not found or sum(len(row) for row in found) < 2:
        raise ConfigError(
            "datasets",
            f"{len(bench.prepared.train):,} samples make too few rows to be cut up in several ways",
            where="datasets",
            hint=f"at least {ranks} rows of samples are needed",
        )
    return found


def _alone(whole: Sequence[Sequence[int]]) -> Iterator[Split]:
    """The batch cut up for one process: rows halved, and samples alone; what is no change is left out."""
    halves = [half for row in whole for half in _halved(row)]
    single = [[sample] for row in whole for sample in row]
    for rows in (halves, single):
        if len(rows) > len(whole) and (rows is halves or len(rows) > len(halves)):
            yield Split([rows])


def _halved(row: Sequence[int]) -> list[list[int]]:
    middle = (len(row) + 1) // 2
    return [list(part) for part in (row[:middle], row[middle:]) if part]


def _ranks(bench: Bench, asked: int | None) -> tuple[int, str | None]:
    """How many processes to start, and why no more than one."""
    weights = sum(weight.numel() for weight in bench.model.parameters())
    cards = torch.cuda.device_count()
    count = asked or RANKS
    if count == 1:
        return 1, "--ranks 1"
    if asked is None and weights > MOST_WEIGHTS:
        return 1, f"each process would open {weights:,} weights; --ranks {RANKS} does it"
    if torch.cuda.is_available() and cards < count:
        return 1, f"there are {cards} GPUs for {count} processes"
    return count, None


def _on_ranks(split: Split, given: Mapping[str, Any], folder: Path) -> Step:
    """The same by several processes."""
    out = folder / "ranks"
    out.mkdir()
    job = folder / "job.json"
    job.write_text(
        json.dumps({"given": given, "rows": split.rows, "out": str(out)}, default=str), "utf-8"
    )
    count = len(split.rows)
    launch = ["torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    threads = str(max(1, torch.get_num_threads() // count))
    ended = subprocess.run(
        [sys.executable, "-m", *launch, "-m", "axolotl.verify._one_step", str(job)],
        capture_output=True,
        text=True,
        env={"OMP_NUM_THREADS": threads} | os.environ,
        check=False,
    )
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()[-_LAST_LINES:]
        raise EnvironmentFault(
            f"{count} processes ended with exit code {ended.returncode}:\n    "
            + "\n    ".join(lines),
            hint="`--ranks 1` leaves them out",
        )
    return Step.read(out)


def _apart(split: Split, step: Step, base: Step) -> Apart:
    """How far a split is from the base, in fp64 over the weights."""
    assert step.gradients.keys() == base.gradients.keys(), "other weights have gradients"
    apart = norm = torch.zeros((), dtype=torch.float64)
    for name, want in base.gradients.items():
        apart = apart + (step.gradients[name] - want).double().pow(2).sum()
        norm = norm + want.double().pow(2).sum()
    share = float(apart.sqrt() / norm.sqrt().clamp(min=1e-30))
    return Apart(split, step.loss, abs(step.loss - base.loss) / max(abs(base.loss), 1e-12), share)


def _proof(
    bench: Bench, whole: Split, base: Step, found: Sequence[Apart], why_not: str | None
) -> Proof:
    """The worst of all splits, held against the tolerance."""
    resolved, gpu = bench.resolved, torch.cuda.is_available()
    half = formats(resolved.precision, gpu=gpu).autocast
    form = quantized_base(resolved)
    allowed = tolerance(bench.model, half, form, tf32=gpu and bool(resolved.precision.tf32))
    numbers = {
        "samples": sum(len(row) for row in whole.rows[0]),
        "splits": len(found) + 1,
        "processes": max([1, *(len(one.split.rows) for one in found)]),
        "loss": base.loss,
        "gradient_norm": _norm(base),
        "loss_share": max([0.0, *(one.loss_share for one in found)]),
        "gradient_share": max([0.0, *(one.gradient_share for one in found)]),
        "tolerance": allowed.share,
    }
    # Compared this way round, NaN does not hold.
    holds = bool(found) and all(
        one.loss_share <= allowed.share and one.gradient_share <= allowed.share for one in found
    )
    return Proof(
        "the gradient of a batch does not depend on how it is cut into micro-batches, accumulated rows "
        "and processes",
        holds=holds,
        numbers=numbers,
        lines=tuple(_lines(whole, base, found, allowed, why_not, numbers)),
    )


def _norm(step: Step) -> float:
    squares = [g.double().pow(2).sum() for g in step.gradients.values()]
    return float(torch.stack(squares).sum().sqrt())


def _lines(
    whole: Split,
    base: Step,
    found: Sequence[Apart],
    allowed: Tolerance,
    why_not: str | None,
    numbers: Mapping[str, float],
) -> Iterator[str]:
    """The numbers in words."""
    yield f"batch: {numbers['samples']:,} samples, those that training begins with"
    yield (
        f"as the file says: {whole.words}: loss {base.loss:.6f}, gradient of norm "
        f"{numbers['gradient_norm']:.6f}"
    )
    for one in found:
        yield (
            f"cut up: {one.split.words}: loss {one.loss:.6f} ({one.loss_share:.1e} apart), gradient "
            f"{one.gradient_share:.1e} of its norm apart"
        )
    if why_not:
        yield f"processes: one alone, for {why_not}"
    yield f"tolerance: {allowed.share:.1e}, {allowed.why}"
