"""Options of the training loop are live: another value, another outcome."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from axolotl import api
from axolotl.training.callbacks.metrics import read_metrics

Options = Callable[..., dict[str, Any]]
SHORT = {"max_steps": 3, "val_set_size": 0, "save_strategy": "no", "warmup_steps": 0}


def trained(options: dict[str, Any]) -> dict[str, torch.Tensor]:
    folder = api.train(options).output_dir
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def usual() -> dict[str, dict[str, torch.Tensor]]:
    """The weights of the run with every option at its default, once it has been made."""
    return {}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("adam_beta1", 0.5),
        ("adam_beta2", 0.9),
        ("adam_epsilon", 1e-3),
        ("bf16", True),
        ("learning_rate", 2e-3),
        ("lr_scheduler", "constant"),
        ("lr_scheduler_kwargs", {"num_cycles": 0.25}),
        ("max_grad_norm", 0.01),
        ("num_epochs", 2),
        ("optimizer", "adafactor"),
        ("sample_packing", False),
        ("seed", 1),
        ("train_on_inputs", True),
        ("weight_decay", 0.5),
    ],
)
def test_another_value_trains_other_weights(
    tiny_options: Options, usual: dict[str, Any], option: str, value: Any
) -> None:
    common = SHORT | ({"max_steps": None, "num_epochs": 1} if option == "num_epochs" else {})
    key = str(common)
    if key not in usual:
        usual[key] = trained(tiny_options(**common))
    changed = trained(tiny_options(**common | {option: value}))
    assert any(not torch.equal(value, changed[name]) for name, value in usual[key].items())


def test_weights_are_saved_as_they_were_held(tiny_options: Options) -> None:
    kinds = {value.dtype for value in trained(tiny_options(**SHORT, bfloat16=True)).values()}
    assert kinds == {torch.bfloat16}


@pytest.mark.parametrize(
    ("save_strategy", "checkpoints"), [("no", 0), ("epoch", 2)], ids=["no", "epoch"]
)
def test_checkpoints_are_written_when_asked(
    tiny_options: Options, save_strategy: str, checkpoints: int
) -> None:
    folder = api.train(tiny_options(save_strategy=save_strategy)).output_dir
    assert len(list(folder.glob("checkpoint-*"))) == checkpoints


@pytest.mark.parametrize(
    ("evaluation_strategy", "on_the_way"), [("no", 0), ("epoch", 1)], ids=["no", "epoch"]
)
def test_the_held_out_loss_is_computed_when_asked(
    tiny_options: Options, evaluation_strategy: str, on_the_way: int
) -> None:
    result = api.train(tiny_options(evaluation_strategy=evaluation_strategy))
    lines = read_metrics(result.output_dir / "metrics.jsonl")
    evaluated = [line["step"] for line in lines if "eval_loss" in line]
    assert sum(step < result.steps for step in evaluated) == on_the_way
    assert (result.steps in evaluated) == (result.eval_loss is not None) == (on_the_way > 0)


def test_the_prepared_data_lies_where_asked(tiny_options: Options, tmp_path: Path) -> None:
    summary = api.prepare(tiny_options(dataset_prepared_path=str(tmp_path / "mine"))).summary
    assert Path(summary.folder).parent == tmp_path / "mine"


def test_things_happen_every_so_many_steps(tiny_options: Options) -> None:
    options = {"max_steps": 6, "save_steps": 3, "eval_steps": 2, "logging_steps": 3}
    folder = api.train(tiny_options(**options)).output_dir
    lines = read_metrics(folder / "metrics.jsonl")
    assert [line["step"] for line in lines if "eval_loss" in line] == [2, 4, 6]
    assert [line["step"] for line in lines if "loss" in line] == [3, 6]
    assert {path.name for path in folder.glob("checkpoint-*")} == {"checkpoint-3", "checkpoint-6"}


def test_the_result_lies_where_asked(tiny_options: Options, tmp_path: Path) -> None:
    api.train(tiny_options(**SHORT, output_dir=str(tmp_path / "there")))
    assert (tmp_path / "there" / "model.safetensors").is_file()
