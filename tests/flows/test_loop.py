"""Options of the training loop: what each does to a whole training."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from axolotl import api
from axolotl.errors import AxolotlError
from axolotl.training import trainer
from axolotl.training.callbacks.metrics import read_metrics
from tests.flows.test_training import assert_same_bits, assert_same_metrics

Options = Callable[..., dict[str, Any]]
LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True, "lora_dropout": 0.1}
ROWS = {"sample_packing": False, "micro_batch_size": 4, "val_set_size": 8}
"""40 rows in 10 batches an epoch."""


def evaluated(folder: Path) -> list[int]:
    lines = read_metrics(folder / "metrics.jsonl")
    return [line["step"] for line in lines if "eval_loss" in line]


def saved(folder: Path) -> list[int]:
    return sorted(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("changes", "saves", "evaluations"),
    [
        ({"saves_per_epoch": 2, "evals_per_epoch": 2}, [5, 10, 15, 20], [5, 10, 15, 20]),
        ({"saves_per_epoch": 3, "num_epochs": 1.5}, [4, 7, 10, 14, 15], [10, 15]),
        ({"evals_per_epoch": 3}, [10, 20], [4, 7, 10, 14, 17, 20]),
        (
            # Ten rows in steps of three: the fourth step of an epoch has one.
            {"saves_per_epoch": 2, "evals_per_epoch": 4, "gradient_accumulation_steps": 3},
            [2, 4, 6, 8],
            [1, 2, 3, 4, 5, 6, 7, 8],
        ),
        ({"saves_per_epoch": 1, "max_steps": 13}, [10, 13], [10, 13]),
        ({"saves_per_epoch": 50, "num_epochs": 0.3, "evals_per_epoch": 1}, [1, 2, 3], [3]),
        ({"saves_per_epoch": 2, "save_total_limit": 1}, [20], [10, 20]),
        ({"saves_per_epoch": 5, "save_total_limit": 0}, [*range(2, 21, 2)], [10, 20]),
        ({"save_steps": 0.25, "eval_steps": 0.5}, [5, 10, 15, 20], [1, 10, 20]),
        ({"save_strategy": "no", "evaluation_strategy": "no"}, [], []),
    ],
)
def test_when_checkpoints_and_evaluations_happen(
    tiny_options: Options, changes: dict[str, Any], saves: list[int], evaluations: list[int]
) -> None:
    options = {**ROWS, "save_total_limit": 10, "load_best_model_at_end": False}
    folder = api.train(tiny_options(**options | changes)).output_dir
    assert saved(folder) == saves
    assert evaluated(folder) == evaluations


def test_a_patience_counts_evaluations_of_an_epoch(
    tiny_options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, losses = trainer.evaluate_loss, itertools.count(1)

    def worse_each_time(*args: Any, **named: Any) -> Any:
        return replace(measured(*args, **named), loss=float(next(losses)))

    monkeypatch.setattr(trainer, "evaluate_loss", worse_each_time)
    options = {**ROWS, "saves_per_epoch": 2, "evals_per_epoch": 2, "num_epochs": 5}
    result = api.train(tiny_options(**options, early_stopping_patience=2))
    assert result.steps < 50
    best = result.metrics["checkpoint"]
    assert best in saved(result.output_dir)
    assert result.steps == best + 10


def test_group_by_length_puts_samples_of_similar_length_into_a_row(tiny_options: Options) -> None:
    options = tiny_options(**ROWS, num_epochs=1)
    sizes: dict[bool, list[int]] = {}
    for group_by_length in (True, False):
        folder = api.train(options | {"group_by_length": group_by_length}).output_dir
        sizes[group_by_length] = row_sizes(folder)
    assert sorted(sizes[True]) != sorted(sizes[False])
    assert sum(sizes[True]) == sum(sizes[False])
    assert np.std(sizes[True]) > 1.5 * np.std(sizes[False])
    assert sizes[True][0] == max(sizes[True])


def row_sizes(folder: Path) -> list[int]:
    """Trained tokens of each step of a run that was logged at every step."""
    lines = [line for line in read_metrics(folder / "metrics.jsonl") if "loss" in line]
    return np.diff([0, *(line["trained_tokens"] for line in lines)]).tolist()


@pytest.mark.parametrize("method", [{}, LORA], ids=["full", "lora"])
def test_bf16_full_evaluates_in_bfloat16_and_trains_as_ever(
    tiny_options: Options, tmp_path: Path, method: dict[str, Any]
) -> None:
    options = tiny_options(**method, eval_steps=2, max_steps=6)
    plain = api.train(options | {"output_dir": str(tmp_path / "plain")})
    full = api.train(options | {"bf16": "full"})
    assert_same_bits(plain.output_dir, full.output_dir)
    lines = [read_metrics(run.output_dir / "metrics.jsonl") for run in (plain, full)]
    losses = [[x["loss"] for x in found if "loss" in x] for found in lines]
    assert losses[0] == losses[1]
    held_out = [[x["eval_loss"] for x in found if "eval_loss" in x] for found in lines]
    assert all(a != b for a, b in zip(*held_out, strict=True))
    assert held_out[1] == pytest.approx(held_out[0], abs=0.02)
    assert full.eval_loss == held_out[1][-1]
    assert api.evaluate(options | {"bf16": "full"}).loss == pytest.approx(full.eval_loss, abs=1e-6)


@pytest.mark.parametrize("method", [{}, LORA], ids=["full", "lora"])
@pytest.mark.parametrize(
    "precision",
    [
        {"bf16": True},
        {"bfloat16": True},
        {"bf16": True, "bfloat16": True},
        {"bf16": "full", "bfloat16": True},
        {"float16": True},
        {"tf32": True},
    ],
    ids=str,
)
def test_number_formats_that_a_cpu_trains_in(
    tiny_options: Options, precision: dict[str, Any], method: dict[str, Any]
) -> None:
    options = tiny_options(**method, **precision, num_epochs=1)
    if precision.get("float16") and not method:
        # AdamW's smallest numbers are zero in float16; a warning says so before.
        with pytest.raises(AxolotlError, match="the training has diverged"):
            api.train(options)
        return
    result = api.train(options)
    lines = read_metrics(result.output_dir / "metrics.jsonl")
    losses = [x["loss"] for x in lines if "loss" in x]
    assert losses[0] == pytest.approx(6.2, abs=0.1)
    assert losses[-1] < losses[0]
    assert result.eval_loss == pytest.approx(api.evaluate(options).loss, abs=2e-3)


RESUMED: dict[str, dict[str, Any]] = {
    "noise": {"noisy_embedding_alpha": 5.0},
    "noise on an adapter": {**LORA, "noisy_embedding_alpha": 5.0, "gradient_checkpointing": True},
    "by length": {**ROWS, "group_by_length": True, "gradient_accumulation_steps": 3},
    "per epoch": {**ROWS, "saves_per_epoch": 3, "evals_per_epoch": 3},
    "bf16": {"bf16": True},
    "evaluated in bf16": {"bf16": "full", "eval_steps": 2},
    "bfloat16": {"bfloat16": True},
    "watched": {"loss_watchdog_threshold": 100.0},
    "unclipped": {"max_grad_norm": 0},
}


@pytest.mark.parametrize("changes", RESUMED.values(), ids=RESUMED)
def test_a_resume_gives_equal_bits(
    tiny_options: Options, tmp_path: Path, changes: dict[str, Any]
) -> None:
    often = {} if "saves_per_epoch" in changes else {"save_steps": 2}
    options = tiny_options(**{"num_epochs": 2, "save_total_limit": 0, **often, **changes})
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    api.train(options | {"output_dir": str(whole)})
    steps = saved(whole)
    shutil.copytree(whole, resumed)
    for step in steps[1:]:
        shutil.rmtree(resumed / f"checkpoint-{step}")
    for file in resumed.glob("*.safetensors"):
        file.unlink()
    api.train(options | {"output_dir": str(resumed), "resume_from_checkpoint": True})
    assert_same_bits(whole, resumed)
    assert_same_metrics(whole, resumed)


@pytest.mark.parametrize("method", [{}, LORA], ids=["full", "lora"])
def test_gradient_checkpointing_kwargs_change_no_gradient(
    tiny_options: Options, tmp_path: Path, method: dict[str, Any]
) -> None:
    # Without clipping or momentum, a step is the gradient itself.
    options = tiny_options(**method, max_steps=2, optimizer="sgd", max_grad_norm=0)
    ways: list[dict[str, Any]] = [
        {},
        {"gradient_checkpointing": True},
        *(
            {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": x}}
            for x in (True, False)
        ),
    ]
    found: list[dict[str, torch.Tensor]] = []
    for number, way in enumerate(ways):
        folder = api.train(options | way | {"output_dir": str(tmp_path / str(number))}).output_dir
        (file,) = folder.glob("*.safetensors")
        found.append(load_file(file))
    for other in found[1:]:
        assert all(torch.allclose(other[name], found[0][name], atol=1e-7) for name in other)


def test_another_cadence_is_said_by_us_on_a_resume(
    tiny_options: Options, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    options = tiny_options(**ROWS, max_steps=4, save_steps=2, eval_steps=2)
    api.train(options)
    shutil.rmtree(Path(options["output_dir"]) / "checkpoint-4")
    capsys.readouterr()
    again = {"resume_from_checkpoint": True, "save_steps": 1, "eval_steps": 1}
    with caplog.at_level("WARNING", logger="transformers.trainer_utils"):
        api.train(options | again)
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "changed since checkpoint-2: save_steps: then 2, now 1; eval_steps: then 2, now 1" in said
    )
    assert "neither file" not in said
    assert "trainer_state.json" not in said + caplog.text


def test_the_table_before_the_start_says_what_happens_when(
    tiny_options: Options, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    api.train(
        tiny_options(
            **ROWS,
            max_steps=7,
            save_steps=4,
            save_total_limit=1,
            eval_steps=2,
            early_stopping_patience=9,
            bf16=True,
            gradient_checkpointing=True,
            noisy_embedding_alpha=5,
            use_tensorboard=True,
        )
    )
    said = " ".join(capsys.readouterr().err.split())
    out = tmp_path / "out"
    for line in (
        "checkpoints each 4 steps, 2 in all, 1 are kept",
        "evaluations each 2 steps, 4 in all; the best checkpoint by eval_loss is the result, and 9 "
        "without a better one end the run",
        "formats layers computed in bfloat16",
        "besides gradient checkpointing, NEFTune noise 5",
        f"trackers TensorBoard in {out}/runs",
    ):
        assert line in said
    assert saved(out) == [4, 7] or saved(out) == [7]
    assert len(evaluated(out)) == 4
    api.train(tiny_options(**ROWS, max_steps=2, evaluation_strategy="no", save_strategy="no"))
    said = " ".join(capsys.readouterr().err.split())
    assert "checkpoints none on the way evaluations none attention" not in said
    assert "checkpoints none on the way" in said
    assert "evaluations none" in said
    assert "formats" not in said
    assert "trackers" not in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_epochs": 2}, "each epoch, 2 in all"),
        ({"num_epochs": 1.5}, "each epoch, 2 in all"),
        ({"saves_per_epoch": 3, "evals_per_epoch": 3, "num_epochs": 1.5}, "3 an epoch, 5 in all"),
        ({"saves_per_epoch": 50, "evals_per_epoch": 50, "max_steps": 3}, "each step, 3 in all"),
        ({"save_steps": 0.25, "eval_steps": 0.25}, "each 5 steps"),
    ],
)
def test_the_counts_of_the_table_are_what_happens(
    tiny_options: Options,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    words: str,
) -> None:
    options = {**ROWS, "save_total_limit": 0, "load_best_model_at_end": False}
    folder = api.train(tiny_options(**options | changes)).output_dir
    said = " ".join(capsys.readouterr().err.split())
    assert f"checkpoints {words}" in said
    assert f"{len(saved(folder))} in all evaluations" in said
    assert f"{len(evaluated(folder))} in all optimizer" in said
    assert ("but an epoch has 10 steps" in said) == (changes.get("saves_per_epoch") == 50)
