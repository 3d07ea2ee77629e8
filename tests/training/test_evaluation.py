"""One pass over rows of several sets gives the loss of each."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from axolotl.data.eval_sets import EvalSets
from axolotl.records import TokenRow
from axolotl.training.data import Rows, sample_loader
from axolotl.training.evaluation import EvalResult, MeanLoss, evaluate_loss, evaluating, recorded
from axolotl.training.loss import RowLoss
from tests.conftest import build_llama

LENGTHS = [3, 9, 2, 14, 5, 7, 4]
SETS = EvalSets(("near", "far"), np.array([0, 1, 1, 0, 0, 1, 0]))
LAYOUTS = {
    "packed": Rows(True, 2, 20, None, 1),
    "two in a row": Rows(False, 2, 40, None, 1),
    "alone": Rows(False, 1, 40, None, 1),
}


class Samples(list[TokenRow]):
    """Samples that know their sets."""

    sets = SETS


def samples() -> Samples:
    found = Samples()
    for number, length in enumerate(LENGTHS):
        ids = (np.arange(length, dtype=np.int32) * 37 + number * 101) % 500
        found.append(
            TokenRow(ids, np.where(np.arange(length) % 3 == 1, -100, ids).astype(np.int32))
        )
    return found


def alone(model: Any, row: TokenRow) -> tuple[float, int]:
    """Summed loss and labels of one sample, by the library's own code."""
    ids = torch.tensor(row.input_ids, dtype=torch.int64)[None]
    labels = torch.tensor(row.labels[1:], dtype=torch.int64)
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, :-1].float()
    total = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    return float(total), int((labels != -100).sum())


def loader(layout: str, **more: Any) -> Any:
    rows = samples()
    return sample_loader(rows, np.array(LENGTHS), LAYOUTS[layout], **more)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_each_set_has_the_loss_of_its_samples_alone(layout: str) -> None:
    model = build_llama(seed=2)
    found = evaluate_loss(model, loader(layout), RowLoss(model), device=torch.device("cpu"))
    each = [alone(model, row) for row in samples()]
    for number, name in enumerate(SETS.names):
        mine = [e for e, s in zip(each, SETS.numbers, strict=True) if s == number]
        tokens = sum(count for _, count in mine)
        assert found.sets[name].trained_tokens == tokens
        assert found.sets[name].loss == pytest.approx(sum(t for t, _ in mine) / tokens, rel=1e-5)
    tokens = sum(count for _, count in each)
    assert found.trained_tokens == tokens
    assert found.loss == pytest.approx(sum(t for t, _ in each) / tokens, rel=1e-5)


def test_the_parts_of_all_processes_make_the_whole() -> None:
    model = build_llama(seed=2)
    row_loss, cpu = RowLoss(model), torch.device("cpu")
    sums: list[torch.Tensor] = []
    for rank in range(3):
        part = loader("packed", rank=rank, world_size=3)
        evaluate_loss(
            model, part, row_loss, device=cpu, sum_over_ranks=lambda x: sums.append(x) or x
        )
    together = torch.stack(sums).sum(dim=0)
    found = evaluate_loss(
        model,
        loader("packed", rank=0, world_size=3),
        row_loss,
        device=cpu,
        sum_over_ranks=lambda _: together,
    )
    whole = evaluate_loss(model, loader("packed"), row_loss, device=cpu)
    assert found.loss == pytest.approx(whole.loss, rel=1e-6)
    assert found.sets["far"].loss == pytest.approx(whole.sets["far"].loss, rel=1e-6)
    assert found.sets["far"].trained_tokens == whole.sets["far"].trained_tokens


def test_every_part_of_a_model_gets_its_mode_back() -> None:
    model = build_llama().train()
    model.model.layers[1].eval()
    modes = [module.training for module in model.modules()]
    with pytest.raises(KeyError), evaluating(model):
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert [module.training for module in model.modules()] == modes


def test_figures_have_their_names_and_infinity_is_null() -> None:
    parts = {"a": MeanLoss(1.0, 3), "b": MeanLoss(900.0, 4)}
    result = EvalResult(2.0, 7, 0.5, parts, {"bench_accuracy": 0.5, "bench_loss": 1.0})
    assert list(result.metrics()) == [
        *("eval_loss", "eval_perplexity", "eval_tokens"),
        *("eval_a_loss", "eval_a_perplexity", "eval_a_tokens"),
        *("eval_b_loss", "eval_b_perplexity", "eval_b_tokens"),
        *("bench_accuracy", "bench_loss", "eval_seconds"),
    ]
    record = result.record()
    assert record["sets"]["b"] == {"loss": 900.0, "perplexity": None, "trained_tokens": 4}
    assert record["bench"] == {"accuracy": 0.5, "loss": 1.0, "subjects": {}}
    assert recorded({}, SETS) == {}


def test_a_loss_that_is_no_number_has_the_numbers_of_its_samples() -> None:
    model = build_llama(seed=2)
    plain = RowLoss(model)

    class Broken(RowLoss):
        def of_labels(self, model: Any, inputs: Any) -> torch.Tensor:
            found = plain.of_labels(model, inputs)
            targets = inputs["labels"][0, 1:]
            is_first = targets[targets != -100] == int(samples()[1].labels[2])
            return torch.where(is_first, math.nan, found)

    for layout in LAYOUTS:
        found = evaluate_loss(model, loader(layout), Broken(model), device=torch.device("cpu"))
        assert found.broken == [1]
        assert found.not_finite == "the held-out loss is nan"
        assert math.isfinite(found.sets["near"].loss)
        assert math.isnan(found.sets["far"].perplexity)
    healthy = evaluate_loss(model, loader("alone"), plain, device=torch.device("cpu"))
    assert (healthy.broken, healthy.not_finite) == ([], None)
    asked = replace(healthy, bench={"bench_loss": math.inf})
    assert asked.not_finite == "the loss on the questions is inf"
