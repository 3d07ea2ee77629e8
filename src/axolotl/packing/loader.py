"""From sample numbers to tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from axolotl.packing.batch import flatten
from axolotl.records import TokenRow

Batch = dict[str, Tensor]


class EpochSampler(Protocol):
    """A batch sampler that is told the epoch."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[list[int]]: ...
    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        ...


class SampleStore(Protocol):
    """Samples by number; `axolotl.data.store.TokenStore` is one."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> TokenRow: ...


class RowStore(Protocol):
    """All samples of a row by its number; `axolotl.training.streaming.StreamedRows` is one."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Sequence[TokenRow]: ...


@dataclass(frozen=True)
class Flattener:
    """Makes tensors of the samples of a row; may be sent to a worker process.

    Args:
        pad_to_tokens: Length that every row is padded to; None for no padding.
        pad_token_id: Token of the padding.
    """

    pad_to_tokens: int | None
    pad_token_id: int

    def __call__(self, rows: Sequence[TokenRow]) -> Batch:
        """`input_ids`, `position_ids` and `labels`, int64, shape (1, T)."""
        batch = flatten(rows, pad_to_tokens=self.pad_to_tokens, pad_token_id=self.pad_token_id)
        arrays = {
            "input_ids": batch.input_ids,
            "position_ids": batch.position_ids,
            "labels": batch.labels,
        }
        return {name: torch.from_numpy(values)[None] for name, values in arrays.items()}


@dataclass(frozen=True)
class RowFlattener(Flattener):
    """Makes tensors of a row whose samples come together; the batch has no other item."""

    def __call__(self, rows: Sequence[Any]) -> Batch:
        """As `Flattener`."""
        (samples,) = rows
        return super().__call__(samples)


class RowLoader(DataLoader[Any]):
    """A loader whose epoch can be set.

    transformers' Trainer calls `set_epoch` of the loader, or else of the sampler inside a sampler
    that accelerate has wrapped; a plain loader around a batch sampler of its own would go through
    epoch 0 again and again. After a resume in mid-epoch, `accelerate.skip_first_batches` puts a plain
    loader around a wrapped sampler in this one's place, for the rest of that epoch: then the second
    way is taken. Both lead to the sampler's `set_epoch`.
    """

    batch_sampler: EpochSampler

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""
        self.batch_sampler.set_epoch(epoch)


def make_loader(
    store: SampleStore | RowStore,
    sampler: EpochSampler,
    *,
    pad_to_tokens: int | None = None,
    pad_token_id: int = 0,
    whole_rows: bool = False,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> RowLoader:
    """Batches of one flattened row each, as dictionaries of tensors of shape (1, T).

    Each process has its own loader, whose sampler knows the rank: it must not be sharded again, so
    it must not go through `Accelerator.prepare`.

    Args:
        store: The samples.
        sampler: Which of them make up each row.
        pad_to_tokens: Length that every row is padded to; None for no padding.
        pad_token_id: Token of the padding.
        whole_rows: Whether the store gives all samples of a row at once, and the sampler numbers of
            rows.
        num_workers: Processes that read ahead; 0 reads in this one.
        pin_memory: Whether tensors are put where a GPU can fetch them from.
    """
    return RowLoader(
        store,  # pyright: ignore[reportArgumentType]
        batch_sampler=sampler,
        collate_fn=(RowFlattener if whole_rows else Flattener)(pad_to_tokens, pad_token_id),
        num_workers=num_workers,
        pin_memory=pin_memory,
        # Every iteration draws a number for its workers. From the global generator, that would
        # change the dropout of a training according to how often it was evaluated.
        generator=torch.Generator(),
    )
