"""Ctrl-C and SIGTERM, at any moment: a checkpoint is saved first, and its resume loses nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axolotl import api
from axolotl.training import checkpoints, evaluation
from axolotl.training.callbacks.metrics import read_metrics
from axolotl.training.checkpointing import CheckpointingTrainer
from axolotl.training.generation import GreedyAnswers
from axolotl.training.loss import RowLoss
from axolotl.training.trainer import PackedTrainer
from tests.flows.test_training import assert_same_bits, assert_same_metrics

Options = Callable[..., dict[str, Any]]
STEPS = {
    "sample_packing": False,
    "micro_batch_size": 5,
    "val_set_size": 8,
    "eval_batch_size": 2,
    "eval_sample_packing": False,
    "num_epochs": 2,
    "eval_steps": 4,
    "logging_steps": 2,
}
"""8 steps an epoch; an evaluation has 4 rows."""


@pytest.fixture
def whole(tiny_options: Options, tmp_path: Path) -> dict[str, Any]:
    """Options of a run, which has been done once without a signal, in `whole`."""
    steps = {**STEPS, "save_steps": 1000, "load_best_model_at_end": False}
    return tiny_options(**steps, output_dir=str(tmp_path / "whole"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"save_steps": 4, "load_best_model_at_end": True},
        {"lr_scheduler": "reduce_lr_on_plateau"},
    ],
    ids=["plain", "best checkpoint", "a schedule that follows it"],
)
def test_during_an_evaluation(
    whole: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    more: dict[str, Any],
) -> None:
    options = whole | more
    api.train(options)
    plain, rows = RowLoss.of_labels, 0

    def labels(self: RowLoss, model: Any, inputs: Any) -> Any:
        nonlocal rows
        rows += 1
        if rows == 2:
            os.kill(os.getpid(), number)
        return plain(self, model, inputs)

    options |= {"output_dir": str(tmp_path / "out")}
    with monkeypatch.context() as patch:
        patch.setattr(RowLoss, "of_labels", labels)
        result = api.train(options)
    assert result.interrupted
    assert result.steps == 4, "not one step more"
    assert rows == 2, "the checkpoint does not wait for the rest"
    assert [path.name for path in checkpoints.list_checkpoints(tmp_path / "out")] == [
        "checkpoint-4"
    ]
    lines = read_metrics(tmp_path / "out" / "metrics.jsonl")
    assert not [line for line in lines if "eval_loss" in line], "that is left to the resume"
    api.train(options | {"resume_from_checkpoint": True})
    assert_same_bits(tmp_path / "out", tmp_path / "whole")
    assert_same_metrics(tmp_path / "out", tmp_path / "whole")


def test_during_the_last_evaluation(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = whole | {"max_steps": 4}
    api.train(options)
    told = evaluation.evaluating

    def evaluating(model: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        monkeypatch.undo()
        return told(model)

    monkeypatch.setattr(evaluation, "evaluating", evaluating)
    result = api.train(options | {"output_dir": str(tmp_path / "out")})
    assert not result.interrupted
    assert_same_bits(tmp_path / "out", tmp_path / "whole")
    assert_same_metrics(tmp_path / "out", tmp_path / "whole")


class Gone(Exception):
    """The machine is taken away."""


def test_the_last_evaluation_waits_for_a_checkpoint(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = whole | {"max_steps": 4, "save_strategy": "no", "save_steps": None}
    api.train(options)
    plain, rows = RowLoss.of_labels, 0

    def labels(self: RowLoss, model: Any, inputs: Any) -> Any:
        nonlocal rows
        rows += 1
        if rows == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        if rows == 4:
            raise Gone
        return plain(self, model, inputs)

    options |= {"output_dir": str(tmp_path / "out")}
    with monkeypatch.context() as patch, pytest.raises(Gone):
        patch.setattr(RowLoss, "of_labels", labels)
        api.train(options)
    assert [path.name for path in checkpoints.list_checkpoints(tmp_path / "out")] == [
        "checkpoint-4"
    ]
    api.train(options | {"resume_from_checkpoint": True})
    assert_same_bits(tmp_path / "out", tmp_path / "whole")
    assert_same_metrics(tmp_path / "out", tmp_path / "whole")


@pytest.mark.parametrize("table", [False, True], ids=["prompts", "table"])
def test_while_prompts_are_answered(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: bool
) -> None:
    asked = {"eval_table_size": 3} if table else {"eval_sample_prompts": ["Red?", "Blue?"]}
    options = whole | asked | {"eval_sample_max_new_tokens": 3, "eval_table_max_new_tokens": 3}
    api.train(options)
    plain, count = vars(GreedyAnswers)["_answer"], 0

    def answer(self: GreedyAnswers, *args: Any) -> Any:
        nonlocal count
        count += 1
        if count == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, *args)

    options |= {"output_dir": str(tmp_path / "out")}
    with monkeypatch.context() as patch:
        patch.setattr(GreedyAnswers, "_answer", answer)
        result = api.train(options)
    assert result.interrupted
    assert (result.steps, count) == (4, 1), "not one step more, and not one answer"
    api.train(options | {"resume_from_checkpoint": True})
    assert_same_bits(tmp_path / "out", tmp_path / "whole")
    assert_same_metrics(tmp_path / "out", tmp_path / "whole")
    name = "predictions.jsonl" if table else "samples.jsonl"
    assert _told(tmp_path / "out" / name) == _told(tmp_path / "whole" / name)


def _told(file: Path) -> list[dict[str, Any]]:
    return [{**line, "seconds": None} for line in read_metrics(file)]


def test_an_evaluation_that_is_made_up_twice_is_told_once(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = whole | {"eval_sample_prompts": ["Red?"], "eval_sample_max_new_tokens": 2}
    api.train(options)
    options |= {"output_dir": str(tmp_path / "out")}
    told = evaluation.evaluating

    def evaluating(model: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return told(model)

    def gone(*_: Any, **__: Any) -> Any:
        raise Gone

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "evaluating", evaluating)
        assert api.train(options).interrupted
    with monkeypatch.context() as patch, pytest.raises(Gone):
        patch.setattr(PackedTrainer, "compute_loss", gone)
        api.train(options | {"resume_from_checkpoint": True})
    api.train(options | {"resume_from_checkpoint": True})
    assert_same_bits(tmp_path / "out", tmp_path / "whole")
    assert_same_metrics(tmp_path / "out", tmp_path / "whole")
    assert _told(tmp_path / "out" / "samples.jsonl") == _told(tmp_path / "whole" / "samples.jsonl")


def test_while_a_checkpoint_is_written(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = whole | {"save_steps": 3}
    api.train(options)
    save = vars(CheckpointingTrainer)["_save"]

    def signalled(self: PackedTrainer, *args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        save(self, *args, **kwargs)

    options |= {"output_dir": str(tmp_path / "out")}
    with monkeypatch.context() as patch:
        patch.setattr(PackedTrainer, "_save", signalled)
        patch.setattr(PackedTrainer, "save_result", lambda *_: None, raising=False)
        result = api.train(options)
    assert result.interrupted
    assert result.steps == 3, "not one step more"
    assert [path.name for path in checkpoints.list_checkpoints(tmp_path / "out")] == [
        "checkpoint-3"
    ]
    api.train(options | {"resume_from_checkpoint": True})
    assert_same_bits(tmp_path / "out", tmp_path / "whole")
    assert_same_metrics(tmp_path / "out", tmp_path / "whole")


def test_before_the_first_step(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.train(whole)
    train = PackedTrainer.train

    def signalled(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return train(self, *args, **kwargs)

    options = whole | {"output_dir": str(tmp_path / "out")}
    with monkeypatch.context() as patch:
        patch.setattr(PackedTrainer, "train", signalled)
        result = api.train(options)
    assert result.interrupted
    assert result.steps == 1
    api.train(options | {"resume_from_checkpoint": True})
    assert_same_bits(tmp_path / "out", tmp_path / "whole")
    assert_same_metrics(tmp_path / "out", tmp_path / "whole")
