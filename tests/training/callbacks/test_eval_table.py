"""The table of predictions: where rows are cut, and which logits predict a completion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from axolotl.records import TokenRow
from axolotl.training.callbacks.eval_table import forced_tokens, pick, segment_of
from axolotl.training.loss import RowLoss
from tests.conftest import build_llama


def row(*labels: int) -> TokenRow:
    return TokenRow(np.arange(10, 10 + len(labels)), np.array([x or -100 for x in labels]))


@pytest.mark.parametrize(
    ("labels", "prompt", "completion"),
    [
        ((0, 0, 1, 1), [10, 11], [12, 13]),
        ((0, 1, 1, 0, 0), [10], [11, 12]),
        ((1, 1, 1), [10], [11, 12]),
        ((0, 1, 0, 0, 1, 1, 0), [10, 11, 12, 13], [14, 15]),
        ((1, 0, 0), None, None),
        ((1,), None, None),
    ],
    ids=["prompt", "line end", "all trained", "two turns", "first token", "one token"],
)
def test_where_a_row_is_cut(
    labels: tuple[int, ...], prompt: list[int] | None, completion: list[int] | None
) -> None:
    found = segment_of(0, row(*labels))
    assert (found and found.prompt.tolist(), found and found.completion.tolist()) == (
        prompt,
        completion,
    )


def test_rows_are_picked_from_everywhere() -> None:
    rows = [row(0, 1) for _ in range(100)]
    assert [segment.number for segment in pick(rows, 4)] == [0, 33, 66, 99]
    assert len(list(pick(rows, 500))) == 100


@pytest.mark.parametrize("fused", [True, False])
def test_what_is_most_probable_stands_at_the_place_that_it_is_predicted_for(fused: bool) -> None:
    model = build_llama(seed=4)
    segment = segment_of(0, row(0, 0, 0, 1, 1, 1, 1))
    assert segment is not None
    row_loss = RowLoss(model)
    if not fused:
        row_loss.why_not_fused = "for this test"
    want = []
    ids = [*segment.prompt, *segment.completion]
    for place in range(3, 7):  # each from the tokens before it
        with torch.no_grad():
            logits = model(torch.tensor([ids[:place]])).logits
        want.append(int(logits[0, -1].argmax()))
    assert forced_tokens(model, row_loss, segment) == want
