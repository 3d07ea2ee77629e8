"""The metrics file: one object a line, none of a time that a resume does again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from axolotl.errors import AxolotlError
from axolotl.training.callbacks.metrics import MetricsFile, read_metrics
from axolotl.training.counters import RunCounters


def state(step: int) -> SimpleNamespace:
    return SimpleNamespace(global_step=step, epoch=step / 10, is_world_process_zero=True)


def test_lines_hold_what_was_logged(tmp_path: Path) -> None:
    counters = RunCounters(trained_tokens=7)
    metrics = MetricsFile(tmp_path / "metrics.jsonl", counters)
    metrics.on_train_begin(None, state(0), None)
    metrics.on_log(None, state(1), None, {"loss": 2.5, "learning_rate": 0.1, "grad_norm": 1.0})
    metrics.on_log(None, state(1), None, {"eval_loss": 2.0, "eval_seconds": 3.0})
    metrics.on_log(None, state(1), None, {"train_runtime": 9.0})
    first, second = read_metrics(metrics.file)
    assert first.pop("tokens_per_second") == 0
    assert first == {
        "step": 1,
        "epoch": 0.1,
        "loss": 2.5,
        "grad_norm": 1.0,
        "learning_rate": 0.1,
        "trained_tokens": 7,
    }
    assert second == {"step": 1, "epoch": 0.1, "eval_loss": 2.0}


def test_a_resume_cuts_off_what_it_does_again(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl", RunCounters())
    metrics.on_train_begin(None, state(0), None)
    for step in (1, 2, 3, 4):
        metrics.on_log(None, state(step), None, {"loss": float(step)})
    with metrics.file.open("a") as out:
        out.write('{"step": 5, "lo')  # killed while writing
    assert [x["step"] for x in read_metrics(metrics.file)] == [1, 2, 3, 4]
    metrics.on_train_begin(None, state(2), None)
    assert [x["step"] for x in read_metrics(metrics.file)] == [1, 2]
    metrics.on_train_begin(None, state(0), None)
    assert read_metrics(metrics.file) == []


def test_a_loss_that_is_no_number_ends_the_training_and_the_file_stays_json(
    tmp_path: Path,
) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl", RunCounters())
    metrics.on_train_begin(None, state(0), None)
    metrics.on_log(None, state(1), None, {"eval_loss": 800.0, "eval_perplexity": math.inf})
    with pytest.raises(AxolotlError, match="learning_rate: the training has diverged") as caught:
        metrics.on_log(None, state(2), None, {"loss": math.nan, "grad_norm": math.inf})
    assert "step 2" in caught.value.what

    def refused(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    lines = metrics.file.read_text().splitlines()
    first, second = (json.loads(line, parse_constant=refused) for line in lines)
    assert (first["eval_loss"], first["eval_perplexity"]) == (800.0, None)
    assert (second["loss"], second["grad_norm"]) == (None, None)
