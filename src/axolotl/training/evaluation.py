"""The loss on held-out rows: one number, the same however the rows are batched, and one per set."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from axolotl.data.eval_sets import EvalSets
from axolotl.packing.loader import RowLoader
from axolotl.records import IGNORE_INDEX
from axolotl.training.bench.figures import bench_record
from axolotl.training.loss import RowLoss


@dataclass(frozen=True)
class MeanLoss:
    """A loss over some tokens.

    Args:
        loss: Mean over trained tokens, nats per token.
        trained_tokens: How many tokens that was.
    """

    loss: float
    trained_tokens: int

    @property
    def perplexity(self) -> float:
        """E to the loss; infinite where that is beyond a float."""
        return math.inf if self.loss >= 700 else math.exp(self.loss)


@dataclass(frozen=True)
class EvalResult(MeanLoss):
    """Result of an evaluation.

    Args:
        seconds: Wall clock time.
        sets: The same for each set, where there are several, by name.
        bench: Accuracies and loss on multiple-choice questions, where some are asked.
        broken: Numbers of the samples of this process whose loss is not finite.
    """

    seconds: float
    sets: Mapping[str, MeanLoss] = field(default_factory=dict)
    bench: Mapping[str, float] = field(default_factory=dict)
    broken: Sequence[int] = ()

    @property
    def not_finite(self) -> str | None:
        """What is no number, such as `the held-out loss is nan`; None where all is well."""
        if not math.isfinite(self.loss):
            return f"the held-out loss is {self.loss}"
        asked = self.bench.get("bench_loss", 0.0)
        return None if math.isfinite(asked) else f"the loss on the questions is {asked}"

    def metrics(self, prefix: str = "eval") -> dict[str, float]:
        """All figures under the names that they have in `metrics.jsonl`.

        The loss over all rows is `eval_loss`; that of a set, `eval_<set>_loss`.
        """
        found: dict[str, float] = {}
        for name, part in {
            prefix: self,
            **{f"{prefix}_{n}": p for n, p in self.sets.items()},
        }.items():
            found[f"{name}_loss"] = part.loss
            found[f"{name}_perplexity"] = part.perplexity
            found[f"{name}_tokens"] = part.trained_tokens
        return {**found, **self.bench, f"{prefix}_seconds": self.seconds}

    def record(self) -> dict[str, Any]:
        """All figures as `axolotl evaluate --json` prints them; null for what is infinite."""
        return {
            "eval_loss": _finite(self.loss),
            **self._of(self),
            "sets": {
                name: {"loss": _finite(part.loss), **self._of(part)}
                for name, part in self.sets.items()
            },
            **({"bench": bench_record(self.bench)} if self.bench else {}),
        }

    @staticmethod
    def _of(part: MeanLoss) -> dict[str, float | None]:
        return {"perplexity": _finite(part.perplexity), "trained_tokens": part.trained_tokens}


def _finite(value: float) -> float | None:
    """JSON has no number for infinity."""
    return value if math.isfinite(value) else None


def recorded(line: Mapping[str, float], sets: EvalSets | None) -> dict[str, Any]:
    """What `run.json` says of an evaluation besides the loss over all rows.

    Args:
        line: Its figures, as `EvalResult.metrics` names them; empty for none.
        sets: The sets of the rows, where there are several.

    >>> recorded({"eval_loss": 1.0, "bench_accuracy": 0.5}, None)
    {'bench': {'accuracy': 0.5, 'subjects': {}}}
    """
    found: dict[str, Any] = {}
    if sets is not None and line:
        keys = {"loss": "loss", "perplexity": "perplexity", "trained_tokens": "tokens"}
        found["sets"] = {
            name: {key: line[f"eval_{name}_{what}"] for key, what in keys.items()}
            for name in sets.names
        }
    if bench := bench_record(line):
        found["bench"] = bench
    return found


class GivenUp(Exception):
    """An evaluation did not come to its end, because it was not to."""


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Dropout and the like off while the body runs; each part then has the mode that it had."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


def evaluate_loss(
    model: Any,
    batches: Iterable[dict[str, Any]],
    row_loss: RowLoss,
    *,
    device: torch.device,
    sum_over_ranks: Callable[[Tensor], Tensor] = lambda total: total,
    give_up: Callable[[], bool] = lambda: False,
) -> EvalResult:
    """Sum the loss over all rows, in one pass for all sets; the model is left in the mode it had.

    The loss of a row is had label by label, because its documents may be of several sets.

    Args:
        model: The model, possibly wrapped.
        batches: Flattened rows of this process. Where they are a loader of rows that know their
            sets, the result has a loss for each set.
        row_loss: The loss of one row.
        device: Where the model is.
        sum_over_ranks: Adds a tensor up over all processes.
        give_up: Asked before each row whether to go on.

    Raises:
        GivenUp: it was not to go on.
    """
    start = time.perf_counter()
    sets: EvalSets | None = getattr(getattr(batches, "dataset", None), "sets", None)
    names = sets.names if sets else ("",)
    sums = np.zeros((2, len(names)))
    broken: list[int] = []
    with evaluating(model):
        for samples, batch in _with_samples(batches):
            if give_up():
                raise GivenUp
            inputs = {name: value.to(device) for name, value in batch.items()}
            losses = row_loss.of_labels(model, inputs).double().cpu().numpy()
            of_labels = np.zeros(losses.size, np.int64)
            if sets is not None and samples:
                of_labels = sets.numbers[samples][_documents_of_labels(batch)]
            broken += _broken(samples, batch, losses)
            sums[0] += np.bincount(of_labels, losses, len(names))
            sums[1] += np.bincount(of_labels, minlength=len(names))
    found = sum_over_ranks(torch.from_numpy(sums).to(device)).cpu()
    means = [_mean(*column) for column in found.T.tolist()]
    whole = _mean(*found.sum(dim=1).tolist())
    return EvalResult(
        whole.loss,
        whole.trained_tokens,
        time.perf_counter() - start,
        dict(zip(names, means, strict=True)) if sets else {},
        broken=sorted(broken),
    )


def _mean(total: float, tokens: float) -> MeanLoss:
    return MeanLoss(total / max(1.0, tokens), int(tokens))


def _with_samples(
    batches: Iterable[dict[str, Any]],
) -> Iterator[tuple[Sequence[int], dict[str, Any]]]:
    """Rows, with the numbers of their samples where the loader knows them."""
    if isinstance(batches, RowLoader):
        yield from zip(batches.batch_sampler, batches, strict=True)
        return
    yield from (((), batch) for batch in batches)


def _broken(samples: Sequence[int], batch: Mapping[str, Tensor], losses: np.ndarray) -> list[int]:
    """Samples of a row with a loss that is not finite."""
    finite = np.isfinite(losses)
    if finite.all() or not samples:
        return []
    documents = np.unique(_documents_of_labels(batch)[~finite])
    return [samples[document] for document in documents.tolist()]


def _documents_of_labels(batch: Mapping[str, Tensor]) -> np.ndarray:
    """For each label of a row the number of its document in the row; a document begins at position 0.

    >>> positions = torch.tensor([[0, 1, 2, 0, 1]])
    >>> labels = torch.tensor([[-100, -100, 12, -100, 22]])
    >>> _documents_of_labels({"position_ids": positions, "labels": labels})
    array([0, 1])
    """
    documents = (batch["position_ids"][0] == 0).cumsum(0) - 1
    return documents[1:][batch["labels"][0, 1:] != IGNORE_INDEX].numpy()
