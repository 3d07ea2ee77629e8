"""The difference between two models, as a number."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from axolotl.artifacts.logits import (
    KeptLogits,
    compare,
    fixed_rows,
    logits_of,
    positions_at_a_time,
    probe_rows,
)
from tests.conftest import build_llama


def test_the_difference_is_the_largest_and_relative_to_the_largest_logit() -> None:
    want = [torch.tensor([[1.0, -4.0], [2.0, 0.0]]), torch.tensor([[0.5, 1.0]])]
    got = [torch.tensor([[1.0, -3.8], [2.0, 0.1]]), torch.tensor([[1.0, 0.5]])]
    found = compare(want, got)
    assert found.largest == pytest.approx(0.5)
    assert found.relative == pytest.approx(0.125)
    assert (found.agreeing, found.positions) == (2, 3)


def test_a_logit_that_is_no_number_is_infinitely_far() -> None:
    assert compare([torch.zeros(1, 2)], [torch.tensor([[torch.nan, 0.0]])]).largest == math.inf


def test_rows_are_few_and_short() -> None:
    rows = probe_rows([range(500)] * 9)
    assert len(rows) == 4
    assert rows[0] == list(range(128))
    assert fixed_rows(100) == fixed_rows(100)
    assert all(0 <= token < 100 for row in fixed_rows(100) for token in row)


def test_each_row_is_run_by_itself() -> None:
    model = build_llama()
    together = list(logits_of(model, [[5, 6, 7], [8, 9]]))
    alone = list(logits_of(model, [[8, 9]]))
    assert [tuple(x.shape) for x in together] == [(3, 512), (2, 512)]
    assert torch.equal(together[1], alone[0])


def test_kept_on_the_disk_they_are_the_same(tmp_path: Path) -> None:
    rows = [torch.randn(3, 7), torch.randn(1, 7)]
    kept = KeptLogits(tmp_path, iter(rows))
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(kept, rows, strict=True))


def test_in_parts_they_are_the_same_and_the_layers_are_computed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = build_llama()
    rows = [list(range(5, 25)), [8, 9]]
    whole = list(logits_of(model, rows))
    runs: list[int] = []
    model.model.layers[0].register_forward_hook(lambda *_: runs.append(1))
    parts = list(logits_of(model, rows, at_a_time=7))
    assert [len(part) for part in parts] == [7, 7, 6, 2]
    torch.testing.assert_close(torch.cat(parts), torch.cat(whole))
    assert len(runs) == 2
    assert "forward" not in vars(model.model)

    def no_choice(self: object, input_ids: torch.Tensor, use_cache: bool) -> object:
        return forward(self, input_ids=input_ids, use_cache=use_cache)

    forward = type(model).forward
    monkeypatch.setattr(type(model), "forward", no_choice)
    assert [len(part) for part in logits_of(model, rows, at_a_time=7)] == [7, 7, 6, 2]


def test_a_large_vocabulary_has_fewer_positions_at_a_time() -> None:
    assert positions_at_a_time(build_llama()) == 128
    head = torch.nn.Linear(64, 256_000, bias=False, device="meta")
    model = build_llama()
    model.set_output_embeddings(head)
    assert 1 <= positions_at_a_time(model) < 10
    model.set_output_embeddings(torch.nn.Linear(8192, 128_256, device="meta"))
    assert positions_at_a_time(model) == 128, "logits are little beside such a head"
