"""From a configuration to trained weights: what the file asks for is what happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from axolotl import api
from axolotl.errors import AxolotlError
from axolotl.training.callbacks.metrics import read_metrics

Options = Callable[..., dict[str, Any]]
LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True, "lora_dropout": 0.1}


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(x["step"], x["loss"]) for x in read_metrics(folder / "metrics.jsonl") if "loss" in x]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    files = list(folder.glob("*.safetensors"))
    assert len(files) == 1, files
    return load_file(files[0])


def assert_same_bits(a: Path, b: Path) -> None:
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("method", [{}, LORA], ids=["full", "lora"])
def test_training_learns_and_leaves_a_whole_run_folder(
    tiny_options: Options, method: dict[str, Any]
) -> None:
    options = tiny_options(**method, num_epochs=6, learning_rate=2e-2 if method else 2e-3)
    before = api.evaluate(options, base=True)
    result = api.train(options)
    assert result.eval_loss is not None
    assert result.eval_loss < before.loss - 0.2
    assert api.evaluate(options).loss == pytest.approx(result.eval_loss, rel=1e-5)

    report = json.loads((result.output_dir / "run.json").read_text())
    assert report["final"]["train_loss"] == pytest.approx(result.train_loss)
    assert report["final"]["eval_loss"] == pytest.approx(result.eval_loss)
    names = {p.name for p in result.output_dir.iterdir() if not p.name.startswith(".")}
    weights_file = "adapter_model.safetensors" if method else "model.safetensors"
    assert {weights_file, "tokenizer.json", "run.json", "metrics.jsonl"} <= names
    assert not list(result.output_dir.rglob("*.bin"))


def test_the_loss_does_not_depend_on_how_samples_are_laid_out(tiny_options: Options) -> None:
    packed = api.evaluate(tiny_options(), base=True)
    rows = api.evaluate(tiny_options(eval_sample_packing=False, eval_batch_size=3), base=True)
    alone = api.evaluate(tiny_options(eval_sample_packing=False, eval_batch_size=1), base=True)
    eager = api.evaluate(tiny_options(attn_implementation="eager"), base=True)
    assert packed.trained_tokens == alone.trained_tokens == rows.trained_tokens
    for other in (rows, alone, eager):
        assert other.loss == pytest.approx(packed.loss, abs=1e-5)


def test_accumulation_equals_a_larger_batch(tiny_options: Options, tmp_path: Path) -> None:
    common = {"sample_packing": False, "max_steps": 4, "optimizer": "sgd", "learning_rate": 0.5}
    splits = {"4x1": (4, 1), "2x2": (2, 2), "1x4": (1, 4)}
    runs = []
    for name, (size, accumulation) in splits.items():
        out = tmp_path / name
        api.train(
            tiny_options(
                **common,
                micro_batch_size=size,
                gradient_accumulation_steps=accumulation,
                output_dir=str(out),
            )
        )
        runs.append(out)
    for other in runs[1:]:
        for (_, want), (_, got) in zip(losses(runs[0]), losses(other), strict=True):
            assert got == pytest.approx(want, abs=2e-5)
        for name, value in weights(runs[0]).items():
            assert torch.allclose(value, weights(other)[name], atol=2e-5)


@pytest.mark.parametrize("method", [{}, LORA], ids=["full", "lora"])
def test_same_file_same_seed_same_bits(
    tiny_options: Options, tmp_path: Path, method: dict[str, Any]
) -> None:
    for name in ("a", "b"):
        api.train(tiny_options(**method, max_steps=5, output_dir=str(tmp_path / name)))
    assert_same_bits(tmp_path / "a", tmp_path / "b")
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    api.train(tiny_options(**method, max_steps=5, seed=7, output_dir=str(tmp_path / "c")))
    assert losses(tmp_path / "c") != losses(tmp_path / "a")


KILL_AT = 7


@pytest.mark.parametrize("method", [{}, LORA], ids=["full", "lora"])
@pytest.mark.slow
def test_a_killed_and_resumed_run_equals_one_that_was_not(
    tiny_options: Options, tmp_path: Path, method: dict[str, Any]
) -> None:
    # Rows per epoch do not divide by the accumulation, and the log lines not by the checkpoints.
    options = tiny_options(
        **method,
        gradient_accumulation_steps=2,
        num_epochs=4,
        micro_batch_size=1,
        save_steps=3,
        eval_steps=4,
        logging_steps=2,
    )
    whole = tmp_path / "whole"
    api.train(options | {"output_dir": str(whole)})
    assert len(losses(whole)) > 6

    killed = tmp_path / "killed"
    file = tmp_path / "run.yml"
    file.write_text(yaml.safe_dump(options | {"output_dir": str(killed)}))
    with _start(file) as process:
        _wait_for(lambda: any(step >= KILL_AT - 1 for step, _ in losses(killed)), process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "run.json").exists()
    assert losses(killed)[-1][0] < losses(whole)[-1][0], "it ended before it was killed"

    api.train(options | {"output_dir": str(killed), "auto_resume_from_checkpoints": True})
    assert_same_bits(whole, killed)
    assert losses(killed) == losses(whole)
    ours = read_metrics(killed / "metrics.jsonl")
    theirs = read_metrics(whole / "metrics.jsonl")
    for key in ("step", "eval_loss", "learning_rate", "grad_norm", "trained_tokens"):
        assert [x.get(key) for x in ours] == [x.get(key) for x in theirs]


@pytest.mark.slow
def test_ctrl_c_saves_and_ends_cleanly(tiny_options: Options, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = tiny_options(**LORA, num_epochs=4, micro_batch_size=1)
    whole = tmp_path / "whole"
    api.train(options | {"output_dir": str(whole)})
    file = tmp_path / "run.yml"
    file.write_text(yaml.safe_dump(options | {"num_epochs": 400}))
    with _start(file) as process:
        _wait_for(lambda: len(losses(out)) >= 3, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "resume_from_checkpoint" in errors
    checkpoint = list(out.glob("checkpoint-*"))[-1]
    assert json.loads((out / "run.json").read_text())["interrupted"] is True
    assert_same_bits(out, checkpoint)


def test_a_resume_from_nothing_is_the_users_mistake(tiny_options: Options) -> None:
    with pytest.raises(AxolotlError, match="holds no checkpoint to resume from"):
        api.train(tiny_options(resume_from_checkpoint=True))


def test_only_the_newest_checkpoints_are_kept(tiny_options: Options, tmp_path: Path) -> None:
    api.train(tiny_options(max_steps=6, save_steps=1, save_total_limit=2))
    kept = sorted(p.name for p in (tmp_path / "out").glob("checkpoint-*"))
    assert kept == ["checkpoint-5", "checkpoint-6"]
    assert not (tmp_path / "out" / "checkpoint-6" / "training_args.bin").exists()


def test_steps_and_learning_rate_are_those_of_the_plan(
    tiny_options: Options, tmp_path: Path
) -> None:
    result = api.train(
        tiny_options(max_steps=10, warmup_steps=4, lr_scheduler="linear", learning_rate=0.01)
    )
    assert result.steps == 10
    rates = [
        x["learning_rate"] for x in read_metrics(tmp_path / "out" / "metrics.jsonl") if "loss" in x
    ]
    expected = [0.01 * min(s / 4, (10 - s) / 6) for s in range(10)]
    assert rates == pytest.approx(expected)


def test_gradient_checkpointing_changes_nothing_but_memory(
    tiny_options: Options, tmp_path: Path
) -> None:
    for name, on in (("on", True), ("off", False)):
        out = str(tmp_path / name)
        api.train(tiny_options(**LORA, max_steps=3, gradient_checkpointing=on, output_dir=out))
    for (_, with_it), (_, without) in zip(
        losses(tmp_path / "on"), losses(tmp_path / "off"), strict=True
    ):
        assert with_it == pytest.approx(without, abs=1e-6)


def test_an_adapter_is_continued(tiny_options: Options, tmp_path: Path) -> None:
    first = api.train(tiny_options(**LORA))
    more = tiny_options(
        **LORA, lora_model_dir=str(first.output_dir), output_dir=str(tmp_path / "more")
    )
    second = api.train(more)
    assert second.eval_loss is not None
    assert first.eval_loss is not None
    assert second.eval_loss < first.eval_loss
    assert losses(tmp_path / "more")[0][1] < losses(tmp_path / "out")[0][1]


def _start(file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "axolotl.cli.train", str(file)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def _wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "nothing happened for two minutes"
        time.sleep(0.02)


def test_new_tokens_that_nobody_trains_are_refused(tiny_options: Options) -> None:
    options = tiny_options(**LORA, special_tokens={"eos_token": "<end>"}, max_steps=1)
    with pytest.raises(AxolotlError, match="does not train the embeddings of the new tokens <end>"):
        api.train(options)
    api.train(options | {"lora_modules_to_save": ["embed_tokens", "lm_head"]})
    api.train(options | {"special_tokens": {"eos_token": "<pad>"}})
