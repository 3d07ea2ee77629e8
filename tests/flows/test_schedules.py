"""The learning rate of every step is that of the schedule, whatever is trained."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from axolotl import api
from axolotl.cli.train import main as train
from axolotl.training.callbacks.metrics import read_metrics
from axolotl.training.trainer import PackedTrainer
from tests.flows.test_optimizers import assert_goes_on_alike, assert_same

Options = Callable[..., dict[str, Any]]
RUN = {"max_steps": 6, "val_set_size": 0, "save_strategy": "no", "learning_rate": 0.002}
LORA = {"adapter": "lora"}
ADAPTERS = {"all weights": {}, "lora": LORA}


def rates(folder: Path) -> list[float]:
    lines = read_metrics(folder / "metrics.jsonl")
    return [line["learning_rate"] for line in lines if "learning_rate" in line]


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
        (
            {"cosine_min_lr_ratio": 0.2, "cosine_constant_lr_ratio": 0.7, "warmup_steps": 2},
            [0, 0.5, 1, 0.6, 0.2, 0.2],
        ),
        (
            {"lr_scheduler": "rex", "cosine_min_lr_ratio": 0.1, "warmup_steps": 2},
            [0, 0.5, 1, 0.1 + 0.9 * 6 / 7, 0.7, 0.46],
        ),
        (
            {
                "lr_scheduler": "polynomial",
                "lr_scheduler_kwargs": {"power": 2, "lr_end": 2e-4},
                "warmup_steps": 2,
            },
            [0, 0.5, 1, 0.1 + 0.9 * 9 / 16, 0.1 + 0.9 / 4, 0.1 + 0.9 / 16],
        ),
        (
            {"lr_scheduler": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 2}},
            [1, 1, 1, 1, 1, 0.5],
        ),
    ],
    ids=[
        *("quadratic warm-up", "one_cycle", "one_cycle by default", "log_sweep"),
        *("cosine with a floor", "rex", "polynomial", "warmup_stable_decay"),
    ],
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


FOLLOWING: dict[str, dict[str, Any]] = {
    "plateau": {
        "lr_scheduler": "reduce_lr_on_plateau",
        "lr_scheduler_kwargs": {"patience": 0, "factor": 0.5, "threshold": 0.5},
        "eval_steps": 2,
    },
    "greedy by the held-out loss": {
        "lr_scheduler": "greedy",
        "lr_scheduler_kwargs": {"patience": 0, "factor": 0.5},
        "eval_steps": 2,
        "warmup_steps": 2,
    },
    "greedy by the loss of log lines": {
        "lr_scheduler": "greedy",
        "lr_scheduler_kwargs": {"patience": 1, "factor": 0.7, "smooth": True, "window_size": 2},
        "val_set_size": 0,
        "logging_steps": 2,
    },
}


@pytest.mark.parametrize("options", FOLLOWING.values(), ids=FOLLOWING)
@pytest.mark.parametrize(
    "adapter",
    [pytest.param({}, marks=pytest.mark.slow, id="all weights"), pytest.param(LORA, id="lora")],
)
def test_a_rate_that_follows_a_loss_goes_on_alike(
    tiny_options: Options, tmp_path: Path, adapter: dict[str, Any], options: dict[str, Any]
) -> None:
    short = {"max_steps": 10, "save_steps": 3, "save_total_limit": 10, "micro_batch_size": 1}
    if adapter:
        short["loraplus_lr_ratio"] = 4
    folder = assert_goes_on_alike(tiny_options(**{**short, **adapter, **options}), tmp_path)
    assert len(set(rates(folder))) > 2
    logged = [line for line in read_metrics(folder / "metrics.jsonl") if "learning_rate" in line]
    state = torch.load(folder / "checkpoint-6" / "optimizer.pt", weights_only=True)
    now = [group["lr"] for group in state["param_groups"]]
    following = next(line["learning_rate"] for line in logged if line["step"] > 6)
    assert following == pytest.approx(now[0])
    if adapter:
        assert sorted({round(rate / now[0]) for rate in now}) == [1, 4]


def test_the_rate_is_changed_at_once_by_an_evaluation(tiny_options: Options) -> None:
    options = tiny_options(**{**RUN, "val_set_size": 8, **FOLLOWING["plateau"]})
    result = api.train(options)
    seen = [
        (line["step"], line["learning_rate"])
        for line in read_metrics(result.output_dir / "metrics.jsonl")
        if "loss" in line
    ]
    # The first evaluation is better than none; the others are not better by half.
    assert seen == [(1, 0.002), (2, 0.002), (3, 0.002), (4, 0.002), (5, 0.001), (6, 0.001)]


@pytest.mark.parametrize(
    ("options", "step"),
    [
        # Stopped where the checkpoint has to know of an evaluation, and where nothing else is due.
        (FOLLOWING["plateau"], 4),
        ({"optimizer": "schedule_free_adamw", "eval_steps": 4, "warmup_steps": 2}, 5),
    ],
    ids=["plateau", "schedule-free"],
)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    tiny_options: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    step: int,
) -> None:
    given = tiny_options(**{"max_steps": 8, "save_steps": 100, "micro_batch_size": 1, **options})
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    api.train(given | {"output_dir": str(whole)})
    loss = PackedTrainer.compute_loss

    def interrupted(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == step - 1:
            signal.raise_signal(signal.SIGINT)
        return loss(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(PackedTrainer, "compute_loss", interrupted)
        assert api.train(given | {"output_dir": str(stopped)}).interrupted
    assert (stopped / f"checkpoint-{step}").is_dir()
    api.train(given | {"output_dir": str(stopped), "auto_resume_from_checkpoints": True})
    assert_same(whole, stopped)
