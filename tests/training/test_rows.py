"""How many samples, and how many tokens, a row has."""

from __future__ import annotations

from axolotl.config.sequence import SequenceSection
from axolotl.config.training import TrainingSection
from axolotl.training.data import Rows, eval_rows, train_rows

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
