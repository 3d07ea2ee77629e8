"""Every optimizer trains, falls, and goes on from a checkpoint with the same bits."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from axolotl import api, optimizers
from axolotl.errors import ModelError
from axolotl.training.callbacks.metrics import MEASURED, read_metrics

Options = Callable[..., dict[str, Any]]
QUICK = {"adamw_anyprecision", "adamw_bnb_8bit", "galore_adamw", "schedule_free_adamw"}
"""The others are of the same families."""
RATES: dict[str, float] = {"sgd": 0.5, "schedule_free_sgd": 2.0, "adagrad": 5e-3}
ARGS: dict[str, dict[str, Any]] = {
    "adamw_anyprecision": {
        "use_kahan_summation": True,
        "momentum_dtype": "bfloat16",
        "variance_dtype": "bfloat16",
    },
    "sgd": {"momentum": 0.9, "nesterov": True},
}
EIGHT_BITS = {"min_8bit_size": 256}
PROJECTED = {"rank": 4, "update_proj_gap": 3}


def some(name: str) -> dict[str, Any]:
    """Options of a short run with an optimizer, with which it shows what it has."""
    facts = optimizers.facts_of(name)
    args = ARGS.get(name, {})
    if name.endswith("8bit") and facts.family == "bnb":
        args = EIGHT_BITS
    more: dict[str, Any] = {}
    if facts.projects:
        args, more = PROJECTED, {"optim_target_modules": "all_linear"}
    return {
        "optimizer": name,
        "learning_rate": RATES.get(name, 2e-3),
        "weight_decay": 0.01,
        "optim_args": args or None,
        "max_steps": 8,
        "save_steps": 3,
        "eval_steps": 2,
        "warmup_steps": 1,
        "gradient_accumulation_steps": 2,
        "micro_batch_size": 1,
        "save_total_limit": 10,
        **more,
    }


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def lines(folder: Path) -> list[dict[str, Any]]:
    unequal = (*MEASURED, "eval_seconds")
    return [
        {key: value for key, value in line.items() if key not in unequal}
        for line in read_metrics(folder / "metrics.jsonl")
    ]


def assert_same(whole: Path, part: Path) -> None:
    """Two runs left the same weights and the same figures."""
    first, second = weights(whole), weights(part)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert lines(whole) == lines(part)


def assert_goes_on_alike(options: dict[str, Any], folder: Path, *, step: int = 3) -> Path:
    """Train; go on from a checkpoint as if the run had ended there; the same bits come of it."""
    whole, part = folder / "whole", folder / "part"
    api.train(options | {"output_dir": str(whole)})
    shutil.copytree(whole, part)
    for checkpoint in part.glob("checkpoint-*"):
        if checkpoint.name != f"checkpoint-{step}":
            shutil.rmtree(checkpoint)
    resumed = options | {"output_dir": str(part), "auto_resume_from_checkpoints": True}
    api.train(resumed)
    assert_same(whole, part)
    return whole


@pytest.mark.parametrize("name", sorted(QUICK))
def test_an_optimizer_trains_and_goes_on_alike(
    tiny_options: Options, tmp_path: Path, name: str
) -> None:
    folder = assert_goes_on_alike(tiny_options(**some(name)), tmp_path)
    found = [line["loss"] for line in lines(folder) if "loss" in line]
    assert all(map(torch.isfinite, torch.tensor(found)))
    held_out = [line["eval_loss"] for line in lines(folder) if "eval_loss" in line]
    assert held_out[-1] < held_out[0] - 0.01


LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True, "lora_dropout": 0.1}
LORAPLUS = {**LORA, "loraplus_lr_ratio": 16, "loraplus_lr_embedding": 1e-4}


def changed(options: dict[str, Any], folder: Path) -> dict[str, torch.Tensor]:
    """The weights after a short run."""
    return weights(api.train(options | {"output_dir": str(folder)}).output_dir)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"optimizer": "ademamix"}, {"adam_beta3": 0.9}),
        (
            {"optimizer": "adafactor", "optim_args": {"scale_parameter": True}},
            {"adam_epsilon2": 0.5},
        ),
        ({"optimizer": "sgd", "learning_rate": 0.5}, {"optim_args": "momentum=0.9"}),
        (
            {"optimizer": "apollo_adamw", "optim_args": "rank=2", "optim_target_modules": ["mlp"]},
            {"optim_target_modules": "all_linear"},
        ),
        (LORA, {"loraplus_lr_ratio": 16}),
        (
            {**LORAPLUS, "lora_target_linear": None, "lora_target_modules": ["embed_tokens"]},
            {"loraplus_lr_embedding": 0.01},
        ),
    ],
    ids=["adam_beta3", "adam_epsilon2", "optim_args", "optim_target_modules", "ratio", "embedding"],
)
def test_another_number_trains_other_weights(
    tiny_options: Options, tmp_path: Path, given: dict[str, Any], option: dict[str, Any]
) -> None:
    short = {"max_steps": 3, "val_set_size": 0, "save_strategy": "no", "warmup_steps": 0}
    first = changed(tiny_options(**short, **given), tmp_path / "first")
    second = changed(tiny_options(**short, **{**given, **option}), tmp_path / "second")
    assert any(not torch.equal(value, second[name]) for name, value in first.items())


def test_parts_with_rates_of_their_own_follow_the_schedule(
    tiny_options: Options, tmp_path: Path
) -> None:
    """With SGD the first step is the rate times the gradient: `lr_groups` show in its size."""
    sgd = {"optimizer": "sgd", "learning_rate": 1.0, "max_grad_norm": 0, "val_set_size": 0}
    short = {**sgd, "max_steps": 1, "save_strategy": "no", "lr_scheduler": "linear"}
    at_once = {"warmup_steps": 0}
    groups = [
        {"name": "ups", "modules": ["up_proj"], "lr": 0.5},
        {"name": "still", "modules": ["down_proj"], "lr": 1e-12},
    ]
    begin = changed(tiny_options(**{**short, "learning_rate": 1e-12}), tmp_path / "begin")
    whole = changed(tiny_options(**short, **at_once), tmp_path / "whole")
    parts = changed(tiny_options(**short, **at_once, lr_groups=groups), tmp_path / "parts")
    for name, value in begin.items():
        step, own = whole[name] - value, parts[name] - value
        share = 0.5 if "up_proj" in name else 0.0 if "down_proj" in name else 1.0
        assert torch.allclose(own, share * step, atol=1e-7), name


@pytest.mark.parametrize(
    "name",
    [
        "paged_adamw_8bit",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("adamw_torch", "schedule_free_adamw")),
    ],
)
def test_rates_by_loraplus_go_on_alike(tiny_options: Options, tmp_path: Path, name: str) -> None:
    options = tiny_options(**{**some(name), **LORAPLUS, "optim_args": None})
    folder = assert_goes_on_alike(options, tmp_path)
    state = torch.load(folder / "checkpoint-6" / "optimizer.pt", weights_only=True)
    rates = [float(group["lr"]) for group in state["param_groups"]]
    logged = {line["step"]: line.get("learning_rate") for line in lines(folder) if "loss" in line}
    assert sorted({round(rate / rates[0]) for rate in rates}) == [1, 16]
    assert rates[0] == pytest.approx(logged[7])


def test_a_resume_with_another_rate_has_it_in_every_group(
    tiny_options: Options, tmp_path: Path
) -> None:
    options = tiny_options(**{**some("adamw_torch"), **LORAPLUS, "lr_scheduler": "constant"})
    out = tmp_path / "out"
    api.train(options | {"output_dir": str(out), "max_steps": 3})
    api.train(
        options
        | {"output_dir": str(out), "auto_resume_from_checkpoints": True}
        | {"learning_rate": 5e-4, "loraplus_lr_ratio": 4}
    )
    state = torch.load(out / "checkpoint-6" / "optimizer.pt", weights_only=True)
    rates = {round(float(group["lr"]), 9) for group in state["param_groups"]}
    assert rates == {5e-4, 2e-3}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"optimizer": "sgd"}, 'optimizer: then "adamw_torch", now "sgd"'),
        ({"loraplus_lr_ratio": None}, "whether loraplus_lr_ratio is set: then true, now null"),
        ({"lr_groups": [{"name": "q", "modules": ["q_proj"], "lr": 1e-5}]}, "lr_groups: then null"),
    ],
)
def test_a_resume_with_other_states_is_refused(
    tiny_options: Options, tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    options = tiny_options(**{**some("adamw_torch"), **LORAPLUS, "max_steps": 3})
    api.train(options)
    with pytest.raises(ModelError, match=re.escape(text)):
        api.train(options | change | {"auto_resume_from_checkpoints": True, "max_steps": 8})


def test_a_schedule_free_optimizer_leaves_its_average(
    tiny_options: Options, tmp_path: Path
) -> None:
    """What is saved is what was evaluated; the rate stays up by itself."""
    result = api.train(tiny_options(**some("schedule_free_adamw")))
    assert result.eval_loss is not None
    assert api.evaluate(tiny_options(**some("schedule_free_adamw"))).loss == pytest.approx(
        result.eval_loss, rel=1e-6
    )
    rates = [line["learning_rate"] for line in lines(result.output_dir) if "loss" in line]
    assert rates[1:] == [2e-3] * (len(rates) - 1)


@pytest.mark.parametrize(
    "name",
    [
        "adafactor",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                *("adamw_anyprecision", "adamw_torch", "stable_adamw", "schedule_free_radam"),
                *("lion_8bit", "grokadamw", "apollo_adamw", "ademamix_8bit"),
            )
        ),
    ],
)
def test_weights_in_bfloat16_go_on_alike(tiny_options: Options, tmp_path: Path, name: str) -> None:
    """The states may have another precision than the weights: it is kept."""
    assert_goes_on_alike(tiny_options(**some(name), bfloat16=True), tmp_path)


def test_the_best_checkpoint_of_a_schedule_free_run_is_taken_as_it_is(
    tiny_options: Options,
) -> None:
    options = some("schedule_free_adamw") | {"save_steps": 2, "learning_rate": 1.0}
    result = api.train(tiny_options(**options, load_best_model_at_end=True))
    best = result.output_dir / f"checkpoint-{result.metrics['checkpoint']}"
    first, second = weights(result.output_dir), weights(best)
    assert result.metrics["checkpoint"] < result.steps
    assert all(torch.equal(first[name], second[name]) for name in first)
