"""A run that stops when it gets no better, and whose result is the best checkpoint."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from axolotl import api
from axolotl.training.callbacks.interrupt import StopOnSignal
from axolotl.training.callbacks.metrics import read_metrics

Options = Callable[..., dict[str, Any]]
FULL = {"learning_rate": 0.03}
LORA = {"adapter": "lora", "lora_r": 8, "lora_target_linear": True, "learning_rate": 0.04}
RUN = {
    "max_steps": 16,
    "save_steps": 1,
    "eval_steps": 1,
    "save_total_limit": 2,
    "micro_batch_size": 1,
    "warmup_steps": 0,
    "lr_scheduler": "constant",
    "max_grad_norm": 0,
}


def same(a: Path, b: Path) -> bool:
    (first,), (second,) = (list(folder.glob("*.safetensors")) for folder in (a, b))
    x, y = load_file(first), load_file(second)
    return x.keys() == y.keys() and all(value.equal(y[name]) for name, value in x.items())


def held_out(folder: Path) -> dict[int, float]:
    lines = read_metrics(folder / "metrics.jsonl")
    return {line["step"]: line["eval_loss"] for line in lines if "eval_loss" in line}


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_a_run_that_gets_worse_stops_and_leaves_its_best_checkpoint(
    tiny_options: Options,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    method: dict[str, Any],
) -> None:
    options = tiny_options(**RUN, **method, early_stopping_patience=3)
    result = api.train(options)
    found, out = held_out(tmp_path / "out"), tmp_path / "out"
    best = min(found, key=lambda step: found[step])
    assert best > 1, "it got better first, or the resume below shows nothing"
    assert result.steps == best + 3 < 16
    assert not result.interrupted
    assert same(out, out / f"checkpoint-{best}")
    assert not same(out, out / f"checkpoint-{result.steps}")
    final = json.loads((out / "run.json").read_text())["final"]
    assert final["eval_loss"] == result.eval_loss == found[best]
    assert final["checkpoint"] == best
    assert api.evaluate(options).loss == pytest.approx(found[best], rel=1e-5)
    said = " ".join(capsys.readouterr().err.split())
    assert f"the result is checkpoint-{best}, the best one" in said
    assert f"stopping at step {result.steps}: no better loss in 3 evaluations" in said


@pytest.mark.parametrize("before_the_end", [1, 3], ids=["losing patience", "at the best"])
def test_a_resumed_run_keeps_its_patience_and_its_best(
    tiny_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before_the_end: int
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    options = tiny_options(**RUN, **FULL, early_stopping_patience=3)
    end = api.train(options | {"output_dir": str(whole)}).steps
    at = end - before_the_end
    end_step = StopOnSignal.on_step_end

    def signal_at(stop: StopOnSignal, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == at:
            os.kill(os.getpid(), signal.SIGINT)
        end_step(stop, args, state, control, **more)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_step_end", signal_at)
        assert api.train(options).interrupted
    assert same(out, out / f"checkpoint-{at}"), "a stopped run keeps what it stopped with"
    resumed = api.train(options | {"auto_resume_from_checkpoints": True})
    assert resumed.steps == end
    assert held_out(out) == held_out(whole)
    assert same(out, whole)
    again = api.train(options | {"auto_resume_from_checkpoints": True})
    assert again.steps == resumed.steps, "patience was at an end"
    assert same(out, whole)


def test_only_checkpoints_are_chosen_from(tiny_options: Options, tmp_path: Path) -> None:
    options = tiny_options(**RUN | {"save_steps": 3, "max_steps": 8}, load_best_model_at_end=True)
    result = api.train(options | FULL)
    found = held_out(tmp_path / "out")
    saved = {step: found[step] for step in (3, 6, 8)}
    best = min(saved, key=lambda step: saved[step])
    assert result.eval_loss == saved[best]
    assert same(tmp_path / "out", tmp_path / "out" / f"checkpoint-{best}")


def test_a_checkpoint_that_falls_between_two_evaluations_gets_its_own(
    tiny_options: Options, tmp_path: Path
) -> None:
    shares = {"max_steps": 10, "save_steps": 0.5, "eval_steps": 0.25}
    api.train(tiny_options(**RUN | shares, load_best_model_at_end=True))
    assert list(held_out(tmp_path / "out")) == [1, 2, 4, 5, 6, 8, 10]


def test_the_last_state_is_the_result_where_the_best_is_not_wanted(
    tiny_options: Options, tmp_path: Path
) -> None:
    own = {"max_steps": 8, "save_total_limit": 8, "load_best_model_at_end": False}
    api.train(tiny_options(**RUN | own, **FULL))
    assert same(tmp_path / "out", tmp_path / "out" / "checkpoint-8")


def test_eval_steps_as_a_share_evaluates_after_the_first_step_too(
    tiny_options: Options, tmp_path: Path
) -> None:
    api.train(tiny_options(max_steps=6, eval_steps=0.5))
    assert list(held_out(tmp_path / "out")) == [1, 3, 6]
    api.train(tiny_options(max_steps=6, eval_steps=3))
    assert list(held_out(tmp_path / "out")) == [3, 6]
