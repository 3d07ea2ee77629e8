"""One packed row against its samples alone: logits, loss, gradient, and what a changed sample moves.

Logits are those that the output head gives; what a model does with them afterwards, such as a cap,
it does to each by itself. Of a pass only the hidden states before the head are kept, (T, C), and
two passes are compared chunk by chunk, so that no more than `MAX_LOGITS` logits of each exist.

T tokens of the row, C hidden width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from axolotl.models.isolation import row_arguments
from axolotl.models.loss_head import MAX_LOGITS
from axolotl.records import IGNORE_INDEX
from axolotl.training.loss import RowLoss, label_count

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Measured:
    """What was measured of one row.

    Args:
        documents: Samples in it.
        tokens: Its tokens, without padding.
        labels: Trained ones among them.
        logits: Largest difference of a logit, packed against alone.
        logits_share: The same as a share of the logits' range.
        leak_share: How far logits of a sample move, as a share of their range, when the samples
            beside it are changed.
        moved_share: How far those of the changed samples move.
        loss: Mean over the labels, of the packed row.
        loss_alone: The token-weighted mean of the samples alone.
        gradient_share: Norm of the difference of the gradients, as a share of the norm.
        unmarked_share: How far the logits of the second sample move if it and the first are sent
            through as one; None where the model has not so many positions.
    """

    documents: int
    tokens: int
    labels: int
    logits: float
    logits_share: float
    leak_share: float
    moved_share: float
    loss: float
    loss_alone: float
    gradient_share: float
    unmarked_share: float | None

    @property
    def loss_share(self) -> float:
        """Difference of the losses, as a share of the loss."""
        return abs(self.loss - self.loss_alone) / max(abs(self.loss_alone), 1e-12)


def samples_of(row: Batch, *, padding: int | None = None) -> list[slice]:
    """Where the samples of a row are: one begins at every position 0.

    Args:
        row: `input_ids`, `position_ids`, `labels`: int64, (1, T).
        padding: The token that fills the row up, which is no sample; None where none does.

    >>> row = {"position_ids": torch.tensor([[0, 1, 2, 0, 1]])}
    >>> samples_of(row)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    starts = torch.nonzero(row["position_ids"][0] == 0).flatten().tolist()
    ends = [*starts[1:], row["position_ids"].shape[1]]
    found = [slice(a, b) for a, b in zip(starts, ends, strict=True)]
    while padding is not None and len(found) > 1 and _is_padding(row, found[-1], padding):
        found.pop()
    return found


def _is_padding(row: Batch, part: slice, token: int) -> bool:
    ids, labels = row["input_ids"][0, part], row["labels"][0, part]
    return bool((ids == token).all() and (labels == IGNORE_INDEX).all())


class RowComparison:
    """Compares packed rows of a model with their samples alone.

    Args:
        model: The model as it is trained, with its adapter, and without dropout.
        autocast: Opens the precision context of a forward pass.
        special: Tokens that a changed sample keeps, and does not get.
    """

    def __init__(
        self,
        model: Any,
        *,
        autocast: Callable[[], AbstractContextManager[Any]],
        special: Sequence[int] = (),
    ) -> None:
        self.model = model
        self.autocast = autocast
        self.special = torch.tensor(sorted(special), dtype=torch.int64)
        self.row_loss = RowLoss(model, autocast=autocast)
        self.head: Any = model.get_output_embeddings()
        self.by_head = self.head is not None
        self.vocabulary: int = self.row_loss.base.config.get_text_config().vocab_size

    def measure(self, row: Batch, samples: Sequence[slice]) -> Measured:
        """All that is measured of a row.

        Args:
            row: As the trainer gets it, on the device of the model.
            samples: Where its samples are; two of them at least.
        """
        packed = self._states(row)
        apart, widest = self._against_alone(row, packed, samples)
        leak, moved = self._changed(row, packed, samples)
        loss, loss_alone, gradient = self._losses(row, samples)
        return Measured(
            documents=len(samples),
            tokens=samples[-1].stop,
            labels=label_count(row),
            logits=apart,
            logits_share=apart / widest,
            leak_share=leak / widest,
            moved_share=moved / widest,
            loss=loss,
            loss_alone=loss_alone,
            gradient_share=gradient,
            unmarked_share=self._unmarked(row, packed, samples, widest),
        )

    def repeats(self, row: Batch) -> bool:
        """Whether two passes over the same row give the same: nothing in the model is by chance."""
        return bool(torch.equal(self._states(row), self._states(row)))

    def _states(self, row: Batch) -> Tensor:
        """What the output head is given, (T, C); the logits of a model without one, (T, V)."""
        arguments = row_arguments(self.row_loss.base, row["input_ids"], row["position_ids"])
        with torch.no_grad(), self.autocast(), _instead_of_head(self.head) as kept:
            logits = self.model(**arguments).logits
        self.by_head = bool(kept)
        return (kept[-1] if kept else logits)[0]

    def _logits(self, states: Tensor) -> Tensor:
        """(n, V), fp32."""
        if self.head is None or not self.by_head:
            return states.float()
        with torch.no_grad(), self.autocast():
            return self.head(states).float()

    def _apart(self, one: Tensor, other: Tensor) -> tuple[float, float]:
        """Largest difference of the logits of two passes, and the widest range of the second."""
        size = max(1, MAX_LOGITS // self.vocabulary)
        apart = widest = torch.zeros((), device=one.device)
        for a, b in zip(one.split(size), other.split(size), strict=True):
            got, want = self._logits(a), self._logits(b)
            # Not Python's max, which loses a NaN.
            apart = torch.maximum(apart, (got - want).abs().max())
            widest = torch.maximum(widest, (want - want.mean(-1, keepdim=True)).abs().max())
        return apart.item(), widest.item()

    def _against_alone(
        self, row: Batch, packed: Tensor, samples: Sequence[slice]
    ) -> tuple[float, float]:
        found = [self._apart(packed[s], self._states(_cut(row, s))) for s in samples]
        apart, widest = torch.tensor(found, dtype=torch.float64).max(dim=0).values.tolist()
        return apart, max(widest, 1e-12)

    def _changed(self, row: Batch, packed: Tensor, samples: Sequence[slice]) -> tuple[float, float]:
        """How far others move, and the changed themselves: every other sample is changed at a time."""
        others, own = [], []
        for first in (0, 1):
            touched = samples[first::2]
            states = self._states(self._with_other_tokens(row, touched))
            own += [self._apart(states[s], packed[s])[0] for s in touched]
            others += [self._apart(states[s], packed[s])[0] for s in samples[1 - first :: 2]]
        return torch.tensor(others).max().item(), torch.tensor(own).min().item()

    def _with_other_tokens(self, row: Batch, touched: Sequence[slice]) -> Batch:
        """The row, with each token of some samples replaced by another one of the row."""
        ids = row["input_ids"].clone()
        special = self.special.to(ids.device)
        known = ids.unique()
        usable = known[~torch.isin(known, special)]
        if usable.numel() < 2:
            usable = torch.arange(self.vocabulary, device=ids.device)
            usable = usable[~torch.isin(usable, special)]
        for part in touched:
            own = ids[0, part]
            at = torch.searchsorted(usable, own).clamp(max=usable.numel() - 1)
            shifted = usable[(at + max(1, usable.numel() // 2)) % usable.numel()]
            ids[0, part] = torch.where(torch.isin(own, special), own, shifted)
        return row | {"input_ids": ids}

    def _losses(self, row: Batch, samples: Sequence[slice]) -> tuple[float, float, float]:
        """Mean losses, packed and alone, and how far the gradients are apart.

        The gradients of the samples are taken away from that of the row where it stands, so there is
        never more than one of each weight.
        """
        labels = max(1, label_count(row))
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.model.zero_grad(set_to_none=True)
        packed = self.row_loss(self.model, row) / labels
        packed.backward()
        norm = _norm(trained)
        alone = 0.0
        for part in samples:
            sample = _cut(row, part)
            if label_count(sample):
                loss = self.row_loss(self.model, sample) / labels
                (-loss).backward()
                alone += loss.item()
        apart = _norm(trained)
        self.model.zero_grad(set_to_none=True)
        return packed.item(), alone, apart / max(norm, 1e-30)

    def _unmarked(
        self, row: Batch, packed: Tensor, samples: Sequence[slice], widest: float
    ) -> float | None:
        """What is measured where two samples are one to the model: what a leak looks like here."""
        end = samples[1].stop
        config = self.row_loss.base.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None)
        if isinstance(limit, int) and limit < end:
            return None
        two = _cut(row, slice(0, end))
        positions = torch.arange(end, device=two["input_ids"].device)[None]
        states = self._states(two | {"position_ids": positions})
        return self._apart(states[samples[1]], packed[samples[1]])[0] / widest


def _cut(row: Batch, part: slice) -> Batch:
    return {name: values[:, part] for name, values in row.items()}


def _norm(weights: Sequence[nn.Parameter]) -> float:
    """Norm of all gradients, in fp64 over the weights."""
    squares = [w.grad.float().pow(2).sum().double() for w in weights if w.grad is not None]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


@contextmanager
def _instead_of_head(head: nn.Module | None) -> Iterator[list[Tensor]]:
    """Keep what the output head is given, and let it give next to nothing.

    Args:
        head: The output embeddings of the model; its forward is put back on exit.
    """
    kept: list[Tensor] = []
    if head is None:
        yield kept
        return

    def forward(hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        kept.append(hidden.detach())
        return hidden[..., :1]

    own = head.__dict__.get("forward")
    head.forward = forward
    try:
        yield kept
    finally:
        del head.forward
        if own is not None:
            head.forward = own
