"""Questions that share rows are answered as each alone by the library's own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from axolotl.data.encoder import Encoder
from axolotl.records import IGNORE_INDEX, TokenRow
from axolotl.training.bench.questions import Question, read_questions
from axolotl.training.bench.score import Bench, answers
from axolotl.training.data import Rows
from axolotl.training.loss import RowLoss
from tests.conftest import build_llama

CPU = torch.device("cpu")
LAYOUTS = {
    "packed": Rows(True, 4, 400, None, 1),
    "four in a row": Rows(False, 4, 400, None, 1),
    "alone": Rows(False, 1, 400, None, 1),
}


def made(tmp_path: Path, tokenizer: Any, count: int = 23) -> list[Question]:
    file = tmp_path / "bench.json"
    rows = [
        {
            "input": f"{'So ' * (i % 5)}which of {i}?\n"
            + "".join(
                f"{letter}. {letter.lower() * (i % 3 + 1)}\n" for letter in "ABCDE"[: 2 + i % 4]
            )
            + "Answer:",
            "output": "ABCDE"[i % (2 + i % 4)],
            "subject": ["arc", "MMLU: art", "average", ""][i % 4],
        }
        for i in range(count)
    ]
    file.write_text(json.dumps(rows))
    return read_questions(str(file), Encoder(tokenizer), capacity_tokens=200)


def slowly(model: Any, question: Question) -> tuple[float, int]:
    """Loss of the right letter and the letter chosen, question by question."""
    ids = torch.tensor([question.row.input_ids[:-1].tolist()])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, -1].float()
    choices = [float(logits[token]) for token in question.choices]
    return -float(logits.log_softmax(0)[question.row.input_ids[-1]]), choices.index(max(choices))


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_many_in_a_row_are_answered_as_each_alone(
    tmp_path: Path, tokenizer: Any, layout: str
) -> None:
    model, questions = build_llama(seed=3), made(tmp_path, tokenizer)
    found = Bench(questions, LAYOUTS[layout])(model, RowLoss(model), device=CPU)
    each = [slowly(model, question) for question in questions]
    right = [choice == q.right for q, (_, choice) in zip(questions, each, strict=True)]
    assert 0 < sum(right) < len(right)
    assert found["bench_accuracy"] == pytest.approx(np.mean(right))
    assert found["bench_loss"] == pytest.approx(np.mean([loss for loss, _ in each]), rel=1e-5)
    shares = {}
    for subject, name in (("arc", "arc"), ("MMLU: art", "MMLU_art"), ("average", "average_2")):
        mine = [r for r, q in zip(right, questions, strict=True) if q.subject == subject]
        shares[f"bench_{name}_accuracy"] = np.mean(mine)
    assert {key: found[key] for key in shares} == pytest.approx(shares)
    assert found["bench_average_accuracy"] == pytest.approx(np.mean(list(shares.values())))


def test_each_process_asks_its_share(tmp_path: Path, tokenizer: Any) -> None:
    model, questions = build_llama(seed=3), made(tmp_path, tokenizer, 9)
    row_loss = RowLoss(model)
    whole = Bench(questions, LAYOUTS["packed"])(model, row_loss, device=CPU)
    parts: list[torch.Tensor] = []
    for rank in range(2):

        def keep(sums: torch.Tensor) -> torch.Tensor:
            parts.append(sums)
            return sums + 1  # no question may be missing for the figures of a part

        Bench(questions, LAYOUTS["packed"], rank=rank, world_size=2)(
            model, row_loss, device=CPU, sum_over_ranks=keep
        )
    count, right, _ = (parts[0] + parts[1]).sum(dim=1).tolist()
    assert count == len(questions)
    assert right / count == pytest.approx(whole["bench_accuracy"])
    assert min(int(part[0].sum()) for part in parts) > 0


def test_the_mode_of_the_model_comes_back_and_nothing_learns(
    tmp_path: Path, tokenizer: Any
) -> None:
    model = build_llama(attention_dropout=0.5).train()
    questions = made(tmp_path, tokenizer, 5)
    bench, row_loss = Bench(questions, LAYOUTS["packed"]), RowLoss(model)
    first = bench(model, row_loss, device=CPU)
    assert model.training
    assert first == bench(model, row_loss, device=CPU)
    assert all(p.grad is None for p in model.parameters())


def test_of_equal_choices_the_first_is_taken_and_a_missing_one_never(tokenizer: Any) -> None:
    model = build_llama()
    row = TokenRow(np.array([5, 6, 7], np.int32), np.array([IGNORE_INDEX] * 2 + [7], np.int32))
    two, four = Question(row, (7, 8), 0, ""), Question(row, (7, 8, 9, 10), 3, "")
    with torch.no_grad():
        model.lm_head.weight.zero_()
    ids = torch.tensor([[5, 6, 7, 5, 6, 7]])
    inputs = {
        "input_ids": ids,
        "position_ids": torch.tensor([[0, 1, 2, 0, 1, 2]]),
        "labels": torch.tensor([[-100, -100, 7, -100, -100, 7]]),
    }
    losses, chosen = answers(model, RowLoss(model), inputs, [two, four])
    assert chosen == [0, 0]
    assert losses == pytest.approx([float(np.log(512))] * 2)
