"""The learning rate of every step is that of the schedule, whatever is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from axolotl import api
from axolotl.cli.train import main as train
from axolotl.training.callbacks.metrics import read_metrics

Options = Callable[..., dict[str, Any]]
RUN = {"max_steps": 6, "val_set_size": 0, "save_strategy": "no", "learning_rate": 0.002}
ADAPTERS = {"all weights": {}, "lora": {"adapter": "lora"}}


def rates(folder: Path) -> list[float]:
    return [line["learning_rate"] for line in read_metrics(folder / "metrics.jsonl")]


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
@pytest.mark.parametrize(
    ("options", "factors"),
    [
        ({"lr_quadratic_warmup": True, "warmup_steps": 4}, [0, 1 / 16, 1 / 4, 9 / 16, 1, 0.5]),
        (
            {"lr_scheduler": "one_cycle", "lr_div_factor": 4, "warmup_steps": 3},
            [1 / 4, 5 / 8, 1, 0.75000625, 0.25001875, 0.000025],
        ),
        (
            {"lr_scheduler": "one_cycle", "lr_scheduler_kwargs": {"final_div_factor": 2}},
            [1 / 6, 1, 0.865764, 0.541667, 0.217576, 1 / 12],
        ),
        (
            {"lr_scheduler": "log_sweep", "log_sweep_min_lr": 2e-7, "log_sweep_max_lr": 2e-2},
            [1e-4, 1e-3, 1e-2, 1e-1, 1, 10],
        ),
    ],
    ids=["quadratic warm-up", "one_cycle", "one_cycle by default", "log_sweep"],
)
def test_the_rates_are_those_of_the_schedule(
    tiny_options: Options, adapter: dict[str, Any], options: dict[str, Any], factors: list[float]
) -> None:
    result = api.train(tiny_options(**RUN, **adapter, **options))
    expected = [0.002 * factor for factor in factors]
    assert rates(result.output_dir) == pytest.approx(expected, rel=1e-5)


def test_an_option_that_the_schedule_lacks_is_named(tiny_options: Options, tmp_path: Path) -> None:
    options = tiny_options(**RUN, lr_scheduler="one_cycle", lr_scheduler_kwargs={"div": 3})
    (tmp_path / "a.yml").write_text(json.dumps(options))
    result = CliRunner().invoke(train, [str(tmp_path / "a.yml")])
    assert result.exit_code == 2
    assert "one_cycle has no option 'div'" in result.stderr
