"""From a configuration to trained weights: what the file asks for is what happens."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
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
from safetensors.torch import load_file, save_file

from axolotl import api
from axolotl.artifacts.run_folder import only_run
from axolotl.errors import AxolotlError, EnvironmentFault
from axolotl.training import checkpoints
from axolotl.training.callbacks.interrupt import StopOnSignal
from axolotl.training.callbacks.metrics import MEASURED, read_metrics
from axolotl.training.trainer import PackedTrainer

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


def assert_same_metrics(a: Path, b: Path) -> None:
    """All numbers of both files are the same, except for the speed."""
    first, second = (
        [{k: v for k, v in x.items() if k not in MEASURED} for x in read_metrics(file)]
        for file in (a / "metrics.jsonl", b / "metrics.jsonl")
    )
    assert first == second


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


KILL_AFTER = 6


@pytest.mark.parametrize("method", [{}, LORA], ids=["full", "lora"])
@pytest.mark.slow
def test_a_killed_and_resumed_run_equals_one_that_was_not(
    tiny_options: Options,
    tmp_path: Path,
    method: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Rows per epoch do not divide by the accumulation, and the log lines not by the checkpoints.
    options = tiny_options(
        **method,
        gradient_accumulation_steps=2,
        num_epochs=4,
        micro_batch_size=1,
        save_steps=3,
        save_total_limit=10,
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
        _wait_for((killed / f"checkpoint-{KILL_AFTER}").is_dir, process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "run.json").exists()
    assert losses(killed)[-1][0] < losses(whole)[-1][0], "it ended before it was killed"

    newest = max(killed.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    assert int(newest.name.split("-")[1]) >= KILL_AFTER
    before = _written(newest)
    capsys.readouterr()
    api.train(options | {"output_dir": str(killed), "auto_resume_from_checkpoints": True})
    assert f"resuming from {newest}" in " ".join(capsys.readouterr().err.split())
    assert _written(newest) == before, "steps before the checkpoint were done again"
    assert not list(killed.glob("earlier-checkpoints-*"))
    assert_same_bits(whole, killed)
    assert losses(killed) == losses(whole)
    assert_same_metrics(whole, killed)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["epoch", "steps"])
def test_ctrl_c_saves_and_ends_cleanly(
    tiny_options: Options, tmp_path: Path, strategy: str
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    often = {"eval_steps": 3, "save_steps": 1000} if strategy == "steps" else {}
    options = tiny_options(**LORA, **often, num_epochs=20, micro_batch_size=1, logging_steps=4)
    api.train(options | {"output_dir": str(whole)})
    file = tmp_path / "run.yml"
    file.write_text(yaml.safe_dump(options))
    with _start(file) as process:
        _wait_for(lambda: len(losses(out)) >= 2, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "resume_from_checkpoint" in errors
    checkpoint = max(out.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    step = int(checkpoint.name.split("-")[1])
    report = json.loads((out / "run.json").read_text())
    assert report["interrupted"] is True
    assert report["final"]["steps"] == step
    assert_same_bits(out, checkpoint)
    # An evaluation that was due at that step is left to the resume.
    saved = json.loads((checkpoint / "trainer_state.json").read_text())["stateful_callbacks"]
    owed = saved["StopOnSignal"]["attributes"]["owes_evaluation"]
    so_far = read_metrics(whole / "metrics.jsonl")
    assert [(x["step"], x.get("loss")) for x in read_metrics(out / "metrics.jsonl")] == [
        (x["step"], x.get("loss"))
        for x in so_far
        if x["step"] < step or (x["step"] == step and not (owed and "eval_loss" in x))
    ]
    api.train(options | {"resume_from_checkpoint": True})
    assert_same_bits(out, whole)
    assert_same_metrics(out, whole)


@pytest.mark.parametrize("at", [5, 6, 9], ids=["mid-epoch", "at an evaluation", "epoch's end"])
@pytest.mark.parametrize("strategy", ["epoch", "steps"])
def test_a_stop_logs_evaluates_and_saves_nothing_that_was_not_due(
    tiny_options: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    strategy: str,
) -> None:
    often = {"eval_steps": 3, "save_steps": 1000} if strategy == "steps" else {}
    options = tiny_options(**often, sample_packing=False, micro_batch_size=5, logging_steps=4)
    options |= {"val_set_size": 3, "num_epochs": 2}  # nine rows an epoch
    whole, out = tmp_path / "whole", tmp_path / "out"
    api.train(options | {"output_dir": str(whole)})
    saves: list[Path] = []
    end_step, staged = StopOnSignal.on_step_end, checkpoints.staged

    def signal_at(stop: StopOnSignal, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == at:
            os.kill(os.getpid(), signal.SIGINT)
        end_step(stop, args, state, control, **more)

    def counted(folder: Path, *, is_writer: bool) -> Any:
        saves.append(folder)
        return staged(folder, is_writer=is_writer)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_step_end", signal_at)
        patch.setattr(checkpoints, "staged", counted)
        result = api.train(options)
    assert result.interrupted
    assert result.steps == at
    assert len(saves) == 1
    assert _checkpoints(out) == [f"checkpoint-{at}"]
    result = api.train(options | {"resume_from_checkpoint": True})
    assert not result.interrupted
    assert_same_bits(out, whole)
    assert_same_metrics(out, whole)


def test_a_signal_during_the_last_step_is_no_interruption(
    tiny_options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_step = StopOnSignal.on_step_end

    def signal_at(stop: StopOnSignal, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == state.max_steps:
            os.kill(os.getpid(), signal.SIGINT)
        end_step(stop, args, state, control, **more)

    monkeypatch.setattr(StopOnSignal, "on_step_end", signal_at)
    result = api.train(tiny_options(max_steps=2))
    assert not result.interrupted
    assert result.eval_loss is not None


def test_a_new_run_in_a_used_folder_keeps_its_own_checkpoints(
    tiny_options: Options, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    api.train(tiny_options(max_steps=6, save_steps=2))
    options = tiny_options(save_steps=1, save_total_limit=2, seed=7, lr_scheduler="constant")
    api.train(options | {"max_steps": 4})
    assert _checkpoints(out) == ["checkpoint-3", "checkpoint-4"]
    assert _checkpoints(out / "earlier-checkpoints-1") == [f"checkpoint-{n}" for n in (2, 4, 6)]
    api.train(options | {"max_steps": 7, "auto_resume_from_checkpoints": True})
    api.train(options | {"max_steps": 7, "output_dir": str(tmp_path / "whole")})
    assert_same_bits(out, tmp_path / "whole")
    assert losses(out) == losses(tmp_path / "whole")


def test_going_back_to_an_older_checkpoint_moves_the_newer_ones_away(
    tiny_options: Options, tmp_path: Path
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    options = tiny_options(max_steps=6, save_steps=2)
    api.train(options)
    api.train(options | {"output_dir": str(whole)})
    api.train(options | {"resume_from_checkpoint": str(out / "checkpoint-2")})
    assert _checkpoints(out / "earlier-checkpoints-1") == ["checkpoint-4", "checkpoint-6"]
    assert _checkpoints(out) == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]
    assert_same_bits(out, whole)


def test_a_resume_after_the_last_step_trains_no_more(tiny_options: Options, tmp_path: Path) -> None:
    options = tiny_options(max_steps=3, save_steps=1)  # the epoch has more steps
    api.train(options)
    before = weights(tmp_path / "out")
    (tmp_path / "out" / "model.safetensors").unlink()
    result = api.train(options | {"auto_resume_from_checkpoints": True})
    assert result.steps == 3
    after = weights(tmp_path / "out")
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [step for step, _ in losses(tmp_path / "out")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 7}, "seed: then 42, now 7"),
        ({"lora_r": 2}, "lora_r: then 4, now 2"),
        ({"adapter": None}, 'adapter: then "lora", now null'),
        ({"val_set_size": 4}, "val_set_size: then 8, now 4"),
        ({"sequence_len": 128}, "sequence_len: then 256, now 128"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps: then 1, now 2"),
        ({"train_on_inputs": True}, "train_on_inputs: then false, now true"),
        ({"special_tokens": {"eos_token": "<s>"}}, 'special_tokens: then {}, now {"eos_token": '),
        ({"bf16": True}, "bf16: then false, now true"),
        ({"bfloat16": True}, "bfloat16: then false, now true"),
        ({"noisy_embedding_alpha": 5}, "noisy_embedding_alpha: then null, now 5"),
        ({"attn_implementation": "eager"}, 'attn_implementation: then null, now "eager"'),
        ({"max_steps": 1}, "2 steps behind it, and the run is to have only 1"),
    ],
)
def test_a_resume_with_other_options_is_refused(
    tiny_options: Options, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    options = tiny_options(**LORA, max_steps=2, save_steps=2)
    api.train(options)
    before = _written(tmp_path / "out" / "checkpoint-2")
    with pytest.raises(AxolotlError) as caught:
        api.train(options | changes | {"resume_from_checkpoint": True})
    assert said in str(caught.value)
    assert not re.search("[0-9a-f]{32}", caught.value.what)
    assert (tmp_path / "out" / "run.json").exists()
    assert _written(tmp_path / "out" / "checkpoint-2") == before


def test_a_resume_on_other_rows_names_the_file(tiny_options: Options, tmp_path: Path) -> None:
    options = tiny_options(max_steps=2, save_steps=2)
    api.train(options)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(rows.read_text().replace("red", "pink"), "utf-8")
    with pytest.raises(AxolotlError) as caught:
        api.train(options | {"resume_from_checkpoint": True})
    assert [line.strip() for line in caught.value.what.splitlines()[1:]] == [
        f"'{rows}' has another content than then"
    ]


@pytest.mark.parametrize("which", ["base_model", "lora_model_dir"])
def test_a_resume_on_other_weights_of_the_same_name_is_refused(
    which: str, tiny_options: Options, tmp_path: Path, tiny_model: Path
) -> None:
    base, first = tmp_path / "base", tmp_path / "first"
    shutil.copytree(tiny_model, base)
    options = tiny_options(**LORA, base_model=str(base), max_steps=2, save_steps=2)
    if which == "lora_model_dir":
        api.train(options | {"output_dir": str(first)})
        options |= {"lora_model_dir": str(first)}
    api.train(options)
    api.train(options | {"resume_from_checkpoint": True})
    names = {"base_model": base / "model.safetensors"}
    file = names.get(which, first / "adapter_model.safetensors")
    save_file({k: v + 0.01 for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
    with pytest.raises(AxolotlError, match=rf"{which}: .* another content .*{file.name}") as caught:
        api.train(options | {"resume_from_checkpoint": True})
    assert caught.value.where == "resume_from_checkpoint"


@pytest.mark.parametrize("changes", [{"lora_r": 2}, {"adapter": None}], ids=["rank", "full"])
def test_a_checkpoint_of_another_model_without_a_fingerprint_is_refused(
    tiny_options: Options, tmp_path: Path, changes: dict[str, Any]
) -> None:
    options = tiny_options(**LORA, max_steps=2, save_steps=2)
    api.train(options)
    (tmp_path / "out" / "checkpoint-2" / "axolotl.json").unlink()
    with pytest.raises(AxolotlError, match="checkpoint") as caught:
        api.train(options | changes | {"max_steps": 4, "resume_from_checkpoint": True})
    assert caught.value.where == "resume_from_checkpoint"


def test_a_resume_may_train_longer_at_another_rate(
    tiny_options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tiny_options(max_steps=2, save_steps=2, lr_scheduler="constant", learning_rate=1e-3)
    api.train(options)
    changed = options | {"max_steps": 4, "learning_rate": 5e-4, "resume_from_checkpoint": True}
    assert api.train(changed).steps == 4
    said = " ".join(capsys.readouterr().err.split())
    assert "steps in all: then 2, now 4" in said
    assert "The result is then that of neither file" in said
    assert "learning_rate: then 0.001, now 0.0005" in said
    lines = read_metrics(tmp_path / "out" / "metrics.jsonl")
    rates = [x["learning_rate"] for x in lines if "loss" in x]
    assert rates == [1e-3, 1e-3, 5e-4, 5e-4]


def test_a_damaged_checkpoint_is_skipped(
    tiny_options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    options = tiny_options(max_steps=4, save_steps=2)
    api.train(options)
    api.train(options | {"output_dir": str(whole)})
    file = out / "checkpoint-4" / "optimizer.pt"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(AxolotlError, match=r"optimizer\.pt is damaged[\s\S]*checkpoint-2"):
        api.train(options | {"resume_from_checkpoint": True})
    capsys.readouterr()
    api.train(options | {"auto_resume_from_checkpoints": True})
    said = " ".join(capsys.readouterr().err.split())
    assert f"skipped the checkpoint {out / 'checkpoint-4'}: optimizer.pt is damaged" in said
    assert f"resuming from {out / 'checkpoint-2'}" in said
    assert_same_bits(out, whole)


def test_a_disk_that_fills_up_at_a_checkpoint_is_the_machines_fault(
    tiny_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def full(content: Any, file: Any, *args: Any, **more: Any) -> None:
        save(content, file, *args, **more)
        if Path(file).name == "optimizer.pt" and Path(file).parent.name == "checkpoint-2":
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 9 vs 8")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(EnvironmentFault, match="no space left"):
        api.train(tiny_options(max_steps=4, save_steps=1))
    assert _checkpoints(tmp_path / "out") == ["checkpoint-1"]
    assert not (tmp_path / "out" / ".saving").exists()


@pytest.mark.parametrize("logging_steps", [1, 8])
def test_a_training_that_diverges_ends_with_a_message(
    tiny_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logging_steps: int
) -> None:
    compute = PackedTrainer.compute_loss

    def broken(trainer: PackedTrainer, *args: Any, **more: Any) -> torch.Tensor:
        loss = compute(trainer, *args, **more)
        return loss * math.nan if trainer.state.global_step == 2 else loss

    monkeypatch.setattr(PackedTrainer, "compute_loss", broken)
    with pytest.raises(AxolotlError, match=r"learning_rate: the training has diverged.* at step 3"):
        api.train(tiny_options(max_steps=5, save_steps=1, logging_steps=logging_steps))
    assert _checkpoints(tmp_path / "out") == ["checkpoint-1", "checkpoint-2"]
    for file in (tmp_path / "out").glob("checkpoint-*/model.safetensors"):
        assert all(value.isfinite().all() for value in load_file(file).values())
    assert not (tmp_path / "out" / "run.json").exists()


def test_two_runs_do_not_write_to_one_folder(tiny_options: Options, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with (
        only_run(tmp_path / "out"),
        pytest.raises(EnvironmentFault, match="another run writes to"),
    ):
        api.train(tiny_options(max_steps=1))
    api.train(tiny_options(max_steps=1))


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


def _checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("checkpoint-*"))


def _written(folder: Path) -> dict[str, tuple[int, int]]:
    """When each file of a folder was written, and under which inode."""
    return {x.name: (x.stat().st_ino, x.stat().st_mtime_ns) for x in (folder, *folder.iterdir())}


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
