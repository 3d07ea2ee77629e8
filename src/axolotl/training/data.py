"""From stores of tokens to loaders of flattened rows, and from those to the number of steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from axolotl.config import Sections
from axolotl.config.rows import RowsSection
from axolotl.config.sequence import SequenceSection
from axolotl.config.training import TrainingSection
from axolotl.data.prepare import Prepared
from axolotl.data.store import TokenStore
from axolotl.packing.grouped import plan_grouped
from axolotl.packing.loader import RowLoader, SampleStore, make_loader
from axolotl.packing.plan import PackPlan, plan_packed, plan_rows, plan_sequential
from axolotl.packing.sampler import PlanSampler
from axolotl.training.schedule import default_warmup
from axolotl.training.steps import Steps, count_steps
from axolotl.training.streaming import StreamedRows


@dataclass(frozen=True)
class Rows:
    """How samples become rows.

    Args:
        packed: Fill rows up to `capacity_tokens`, instead of a fixed number of samples.
        samples_per_row: Samples of an unpacked row.
        capacity_tokens: Longest row in tokens.
        pad_to_tokens: Length that every row is padded to; None for no padding.
        accumulation: Rows per optimizer step and process.
        sequential: Fill rows with one sample after the other, instead of by what fits best.
        shuffle: Whether the samples are shuffled, anew in every epoch.
        grouped: Whether the samples of an unpacked row are of similar length.
    """

    packed: bool
    samples_per_row: int
    capacity_tokens: int
    pad_to_tokens: int | None
    accumulation: int
    sequential: bool = False
    shuffle: bool = True
    grouped: bool = False


def train_rows(
    sequence: SequenceSection,
    training: TrainingSection,
    order: RowsSection | None = None,
    *,
    isolates: bool,
) -> Rows:
    """How the training samples are laid out.

    Where the attention cannot keep the documents of a row apart, a row holds one sample and
    accumulation makes up for it: the optimizer sees the same batches, no token is wasted on
    padding.

    Args:
        sequence: Packing options.
        training: Batch sizes.
        order: In which order the rows are trained; in a random one by default.
        isolates: Whether several documents may share a row.
    """
    order = order or RowsSection()
    shuffle = not order.curriculum_sampling
    sequential = order.sample_packing_sequentially or not shuffle
    grouped = training.group_by_length
    size = training.micro_batch_size
    capacity = size * sequence.sequence_len
    accumulation = training.gradient_accumulation_steps
    if not isolates:
        padded = sequence.sequence_len if sequence.pad_to_sequence_len else None
        capacity, steps = sequence.sequence_len, accumulation * size
        return Rows(False, 1, capacity, padded, steps, shuffle=shuffle, grouped=grouped)
    padded = capacity if sequence.pad_to_sequence_len else None
    packed = bool(sequence.sample_packing)
    return Rows(
        packed,
        size,
        capacity,
        padded,
        accumulation,
        packed and sequential,
        shuffle=shuffle,
        grouped=grouped and not packed,
    )


def eval_rows(sequence: SequenceSection, training: TrainingSection, *, isolates: bool) -> Rows:
    """How the held-out samples are laid out; the loss does not depend on it."""
    size = training.eval_batch_size or training.micro_batch_size
    if not isolates:
        return Rows(False, 1, sequence.sequence_len, None, 1)
    packed = bool(sequence.eval_sample_packing)
    return Rows(packed, size, size * sequence.sequence_len, None, 1)


def planner(
    lengths: np.ndarray, rows: Rows, *, seed: int, world_size: int, shuffle: bool = True
) -> Callable[[int], PackPlan]:
    """A function from the epoch to its plan.

    Args:
        lengths: Tokens of each sample.
        rows: The layout.
        seed: Seed of the order.
        world_size: Number of processes.
        shuffle: Whether samples are shuffled, where the layout leaves it open; rows filled by what
            fits best have an order of their own.
    """
    shuffle = shuffle and rows.shuffle

    @lru_cache(maxsize=2)
    def plan(epoch: int) -> PackPlan:
        if rows.packed and rows.sequential:
            return plan_sequential(
                lengths,
                capacity_tokens=rows.capacity_tokens,
                seed=seed,
                epoch=epoch,
                world_size=world_size,
                shuffle=shuffle,
            )
        if rows.packed:
            return plan_packed(
                lengths,
                capacity_tokens=rows.capacity_tokens,
                seed=seed,
                epoch=epoch,
                world_size=world_size,
            )
        if rows.grouped and shuffle:
            return plan_grouped(
                lengths,
                rows_per_batch=rows.samples_per_row,
                seed=seed,
                epoch=epoch,
                world_size=world_size,
            )
        return plan_rows(
            lengths,
            rows_per_batch=rows.samples_per_row,
            seed=seed,
            epoch=epoch,
            world_size=world_size,
            shuffle=shuffle,
        )

    return plan


@dataclass(frozen=True)
class Plan:
    """A training before it begins: its rows, loaders and steps.

    Args:
        rows: Layout of the training rows.
        first_epoch: The rows of the first epoch; None where data is read while training goes on.
        steps: Exact counts.
        train_loader: Rows of this process.
        eval_loader: Held-out rows of this process, or None.
        streamed: The rows, where data is read while training goes on.
    """

    rows: Rows
    first_epoch: PackPlan | None
    steps: Steps
    train_loader: DataLoader[Any]
    eval_loader: DataLoader[Any] | None
    streamed: StreamedRows | None = None


def steps_of(
    rows_per_epoch: int, rows: Rows, sections: Sections, *, num_epochs: float | None
) -> Steps:
    """The steps that a file asks for.

    Args:
        rows_per_epoch: Rows of each process.
        rows: Their layout.
        sections: The options; training, schedule and logging are read.
        num_epochs: Passes over the data; None leaves it to `max_steps`.
    """
    schedule = sections.schedule
    return count_steps(
        rows_per_epoch,
        accumulation=rows.accumulation,
        num_epochs=num_epochs,
        max_steps=sections.training.max_steps,
        warmup_steps=schedule.warmup_steps,
        warmup_ratio=schedule.warmup_ratio,
        logging_steps=sections.logging.logging_steps,
        default_warmup=default_warmup(schedule.lr_scheduler),
    )


def plan_training(
    prepared: Prepared,
    sections: Sections,
    *,
    only_max_steps: bool,
    isolates: bool,
    rank: int,
    world_size: int,
    pad_token_id: int,
) -> Plan:
    """Cut the data into rows and steps.

    Args:
        prepared: Training and held-out samples.
        sections: The options; sequence, training, rows, schedule and logging are read.
        only_max_steps: Whether `max_steps` alone ends the training, however many epochs that is.
        isolates: Whether several documents may share a row.
        rank: Number of this process.
        world_size: Number of processes.
        pad_token_id: Token for padding, if rows are padded.
    """
    sequence, training = sections.sequence, sections.training
    rows = train_rows(sequence, training, sections.rows, isolates=isolates)
    plan = planner(prepared.train.lengths, rows, seed=training.seed, world_size=world_size)
    first = plan(0)
    num_epochs = None if only_max_steps else training.num_epochs
    steps = steps_of(first.steps, rows, sections, num_epochs=num_epochs)
    train_loader = make_loader(
        prepared.train,
        PlanSampler(plan, rank=rank),
        pad_to_tokens=rows.pad_to_tokens,
        pad_token_id=pad_token_id,
    )
    eval_loader = None
    if prepared.eval is not None and sections.evaluation.evaluation_strategy != "no":
        held_out = eval_rows(sequence, training, isolates=isolates)
        eval_loader = held_out_loader(prepared.eval, held_out, rank=rank, world_size=world_size)
    return Plan(rows, first, steps, train_loader, eval_loader)


def held_out_loader(
    store: TokenStore, rows: Rows, *, rank: int = 0, world_size: int = 1
) -> RowLoader:
    """Rows of the held-out samples, always in the same order.

    Args:
        store: The samples.
        rows: Their layout, as `eval_rows` gives it.
        rank: Number of this process.
        world_size: Number of processes.
    """
    return sample_loader(store, store.lengths, rows, rank=rank, world_size=world_size)


def sample_loader(
    samples: SampleStore, lengths: np.ndarray, rows: Rows, *, rank: int = 0, world_size: int = 1
) -> RowLoader:
    """Rows of samples that are not trained, always in the same order and without padding.

    Args:
        samples: The samples.
        lengths: Tokens of each.
        rows: Their layout.
        rank: Number of this process.
        world_size: Number of processes.
    """
    plan = planner(lengths, rows, seed=0, world_size=world_size, shuffle=False)
    return make_loader(samples, PlanSampler(plan, rank=rank), pad_to_tokens=None, pad_token_id=0)
