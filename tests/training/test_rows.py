"""How many samples, and how many tokens, a row has."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from axolotl.config.rows import RowsSection
from axolotl.config.sequence import SequenceSection
from axolotl.config.training import TrainingSection
from axolotl.packing.plan import PackPlan
from axolotl.training.data import Rows, eval_rows, planner, train_rows

TWO = TrainingSection(micro_batch_size=2, gradient_accumulation_steps=3)


def test_a_packed_row_holds_micro_batch_size_times_sequence_len() -> None:
    packed = SequenceSection(sequence_len=100, sample_packing=True)
    assert train_rows(packed, TWO, isolates=True) == Rows(True, 2, 200, None, 3)
    four = TWO.model_copy(update={"micro_batch_size": 4})
    assert train_rows(packed, four, isolates=True).capacity_tokens == 400
    longer = packed.model_copy(update={"sequence_len": 300})
    assert train_rows(longer, TWO, isolates=True).capacity_tokens == 600


def test_pad_to_sequence_len_fills_a_row_up() -> None:
    padded = SequenceSection(sequence_len=100, sample_packing=True, pad_to_sequence_len=True)
    assert train_rows(padded, TWO, isolates=True).pad_to_tokens == 200
    assert train_rows(padded, TWO, isolates=False).pad_to_tokens == 100


def test_documents_that_cannot_be_kept_apart_get_rows_of_their_own() -> None:
    packed = SequenceSection(sequence_len=100, sample_packing=True)
    rows = train_rows(packed, TWO, isolates=False)
    assert (rows.packed, rows.samples_per_row) == (False, 1)
    assert rows.accumulation == 6, "as many samples a step as before"
    held_out = SequenceSection(sequence_len=100, eval_sample_packing=True)
    assert eval_rows(held_out, TWO, isolates=True).packed
    assert not eval_rows(held_out, TWO, isolates=False).packed


LENGTHS = np.random.default_rng(0).integers(5, 100, 120)
PACKED = SequenceSection(sequence_len=100, sample_packing=True)
PLAIN = SequenceSection(sequence_len=100)


def plans(rows: Rows, epochs: int = 3, world_size: int = 1) -> list[PackPlan]:
    plan = planner(LENGTHS, rows, seed=1, world_size=world_size)
    return [plan(epoch) for epoch in range(epochs)]


@pytest.mark.parametrize("sequence", [PACKED, PLAIN])
@pytest.mark.parametrize("isolates", [True, False])
@pytest.mark.parametrize("world_size", [1, 2])
def test_curriculum_sampling_trains_the_samples_in_their_order(
    sequence: SequenceSection, isolates: bool, world_size: int
) -> None:
    order = RowsSection(curriculum_sampling=True)
    rows = train_rows(sequence, TWO, order, isolates=isolates)
    for plan in plans(rows, world_size=world_size):
        step_by_step = [
            plan.bin(rank, step) for step in range(plan.steps) for rank in range(world_size)
        ]
        assert np.concatenate(step_by_step).tolist() == list(range(120))
    shuffled = train_rows(sequence, TWO, RowsSection(), isolates=isolates)
    assert all(np.any(np.diff(plan.indices) < 0) for plan in plans(shuffled))


def test_sample_packing_sequentially_fills_rows_in_order() -> None:
    order = RowsSection(sample_packing_sequentially=True)
    rows = train_rows(PACKED, TWO, order, isolates=True)
    first, second, third = plans(rows)
    assert first.steps == second.steps == third.steps
    assert first.indices.tolist() != second.indices.tolist()
    fits_best = plans(train_rows(PACKED, TWO, isolates=True))[0]
    assert first.steps > fits_best.steps
    for before, row in pairwise(first.bin(0, step) for step in range(first.steps)):
        full = LENGTHS[before].sum() + LENGTHS[row[0]] > 200
        assert full or len(before) <= len(row) + 1, "a row ends only where it must, or was cut"
    assert not train_rows(PLAIN, TWO, order, isolates=True).sequential
    assert not train_rows(PACKED, TWO, order, isolates=False).sequential
