"""ReLoRA, from a configuration to a whole model: restarts, resumes, checkpoints, the result."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from axolotl import api
from axolotl.errors import AxolotlError, EnvironmentFault, ModelError
from axolotl.models.quantized import quantized_base
from axolotl.training.callbacks.interrupt import StopOnSignal
from axolotl.training.callbacks.metrics import MEASURED, read_metrics
from axolotl.training.relora import whole
from axolotl.training.relora.rate import scale
from axolotl.training.relora.relora import HIDDEN, Relora

Options = Callable[..., dict[str, Any]]
RELORA = {
    "adapter": "lora",
    "lora_r": 4,
    "lora_target_linear": True,
    "lora_dropout": 0.1,
    "relora_steps": 3,
    "relora_warmup_steps": 2,
    "sample_packing": False,
    "learning_rate": 2e-2,
    "max_steps": 8,
    "save_steps": 1,
    "save_total_limit": 20,
    "eval_steps": 4,
}
NF4 = {"adapter": "qlora", "load_in_4bit": True}
INT8 = {"load_in_8bit": True}
METHODS = {"whole": {}, "nf4": NF4, "fp4": {"load_in_4bit": True}, "int8": INT8}
ERROR = {False: 0.3, True: 0.03}
"""What is lost when a weight is rounded anew, of the size of the logits: in 4 bits, and in 8."""
IDS = torch.arange(1, 60)[None]

each_base = pytest.mark.parametrize("base", METHODS.values(), ids=METHODS.keys())


def assert_same_run(a: Path, b: Path) -> None:
    first, second = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    lines = [
        [{k: v for k, v in line.items() if k not in MEASURED} for line in read_metrics(file)]
        for file in (a / "metrics.jsonl", b / "metrics.jsonl")
    ]
    assert lines[0] == lines[1]


def tensors(state: Any) -> Iterator[tuple[str, torch.Tensor]]:
    for key, value in state.items():
        if isinstance(value, torch.Tensor):
            yield key, value.detach().clone()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What every restart of a run was like, before and after."""
    restarts: list[dict[str, Any]] = []
    restart = Relora.restart

    def look(relora: Relora) -> dict[str, Any]:
        model = relora.model.eval()
        with torch.no_grad():
            found = {"logits": model(IDS).logits}
        model.train()
        for kind in "AB":
            found[kind] = [
                p.detach().clone() for n, p in model.named_parameters() if f"lora_{kind}" in n
            ]
        found["base"] = [item.base.weight.detach().clone() for item in relora.layers]
        return found

    def watched(relora: Relora, step: int, optimizer: Any) -> None:
        state = torch.get_rng_state()
        before = look(relora)
        restart(relora, step, optimizer)
        kept = [dict(tensors(s)) for s in optimizer.state.values()]
        restarts.append({"step": step, "before": before, "after": look(relora), "state": kept})
        assert torch.equal(torch.get_rng_state(), state)

    monkeypatch.setattr(Relora, "restart", watched)
    return restarts


@each_base
def test_a_restart_moves_the_adapter_into_the_base(
    tiny_options: Options, seen: list[dict[str, Any]], base: dict[str, Any]
) -> None:
    api.train(tiny_options(**RELORA | base | {"learning_rate": 3e-3}))
    assert [restart["step"] for restart in seen] == [3, 6]
    for restart in seen:
        before, after = restart["before"], restart["after"]
        moved = after["logits"] - before["logits"]
        if base:  # both stand on a quantised weight, each with an error of its own
            assert moved.norm() < ERROR[base is INT8] * before["logits"].norm()
        else:
            assert moved.abs().max() < 1e-5
        assert any(b.any() for b in before["B"])
        assert not any(b.any() for b in after["B"])
        assert all(not torch.equal(*pair) for pair in zip(before["A"], after["A"], strict=True))
        assert all(not torch.equal(*p) for p in zip(before["base"], after["base"], strict=True))
        assert len(restart["state"]) == len(after["A"]) * 2
        for kept in restart["state"]:
            assert kept.keys() >= {"exp_avg", "exp_avg_sq"}
            assert not any(value.any() for value in kept.values())
    assert not torch.equal(seen[0]["after"]["A"][0], seen[1]["after"]["A"][0])


@pytest.mark.parametrize("optimizer", ["adafactor", "adamw_bnb_8bit", "lion_8bit", "sgd"])
def test_every_optimizer_forgets(
    tiny_options: Options, seen: list[dict[str, Any]], optimizer: str
) -> None:
    api.train(tiny_options(**RELORA, optimizer=optimizer))
    for restart in seen:
        for kept in restart["state"]:
            assert not any(value.any() for key, value in kept.items() if "qmap" not in key)


@each_base
def test_the_weights_in_memory_are_those_of_the_checkpoint(
    tiny_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: dict[str, Any]
) -> None:
    kept: dict[int, dict[str, torch.Tensor]] = {}
    save = Relora.save

    def watched(relora: Relora, checkpoint: Path, step: int) -> None:
        save(relora, checkpoint, step)
        kept[step] = {item.name: _whole(item.base) for item in relora.layers}

    monkeypatch.setattr(Relora, "save", watched)
    options = tiny_options(**RELORA | base)
    api.train(options)
    settings = api.resolved(options)
    for step in (4, 7):
        place = tmp_path / "out" / f"checkpoint-{step}" / "relora"
        model = settings.model.model_copy(update={"base_model": str(place)})
        fresh = _opened(model, settings)
        assert len(kept[step]) == 14
        for name, value in kept[step].items():
            layer = fresh.get_submodule(name.removesuffix(".weight"))
            assert torch.equal(_whole(layer), value), name


def _whole(layer: Any) -> torch.Tensor:
    import bitsandbytes

    bnb: Any = bitsandbytes
    weight = layer.weight
    if state := getattr(weight, "quant_state", None):
        return bnb.functional.dequantize_4bit(weight.data, state).clone()
    scales = getattr(weight, "SCB", None)
    if scales is None and hasattr(layer, "state"):
        scales = layer.state.SCB
    return weight.data.float() * scales[:, None] if scales is not None else weight.data.clone()


def _opened(model: Any, settings: Any) -> Any:
    from axolotl.models.load import open_model
    from axolotl.models.tokenizer import load_tokenizer

    return open_model(
        model,
        dtype=torch.float32,
        attn_implementation="sdpa",
        tokenizer=load_tokenizer(settings.model),
        quantized=quantized_base(settings),
    )


@pytest.mark.parametrize("scheduler", ["cosine", "linear", "constant", "log_sweep"])
@pytest.mark.parametrize("more", [{}, {"relora_anneal_steps": 2}], ids=["plain", "anneal"])
def test_the_learning_rate_is_that_of_the_schedule_bent(
    tiny_options: Options, tmp_path: Path, scheduler: str, more: dict[str, Any]
) -> None:
    options = tiny_options(**RELORA, **more, lr_scheduler=scheduler)
    if scheduler in ("cosine", "linear"):
        options["warmup_steps"] = 2
    api.train(options | {"output_dir": str(tmp_path / "inner"), "relora_steps": None})
    api.train(options)
    inner, lines = (
        [x for x in read_metrics(tmp_path / name / "metrics.jsonl") if "loss" in x]
        for name in ("inner", "out")
    )
    anneal = more.get("relora_anneal_steps", 0)
    assert len(lines) == 8
    for step, line in enumerate(lines):
        want = inner[step]["learning_rate"] * scale(step, every=3, warmup=2, anneal=anneal, total=8)
        assert line["learning_rate"] == pytest.approx(want, rel=1e-12), step
        assert line["num_lora_restarts"] == step // 3
    if scheduler == "constant":
        assert lines[3]["learning_rate"] == pytest.approx(0.001 * 2e-2)


@pytest.mark.parametrize(
    ("base", "steps"),
    [
        pytest.param({}, range(1, 9), id="whole"),
        pytest.param(NF4, (3, 4), id="nf4"),
        *(
            pytest.param(base, range(1, 9), id=f"{name}-all", marks=pytest.mark.slow)
            for name, base in METHODS.items()
            if base
        ),
    ],
)
def test_a_resume_from_any_checkpoint_has_the_same_bits(
    tiny_options: Options, tmp_path: Path, base: dict[str, Any], steps: Sequence[int]
) -> None:
    options = tiny_options(**RELORA | base)
    first = tmp_path / "first"
    api.train(options | {"output_dir": str(first)})
    for step in steps:
        again = tmp_path / f"from-{step}"
        again.mkdir()
        shutil.copytree(first / f"checkpoint-{step}", again / f"checkpoint-{step}")
        shutil.copy(first / "metrics.jsonl", again)
        checkpoint = str(again / f"checkpoint-{step}")
        api.train(options | {"output_dir": str(again), "resume_from_checkpoint": checkpoint})
        assert_same_run(first, again)
        assert not (again / HIDDEN).exists()


def test_the_result_is_a_whole_model(tiny_options: Options, tmp_path: Path) -> None:
    options = tiny_options(**RELORA)
    result = api.train(options)
    out = tmp_path / "out"
    assert {"model.safetensors", "config.json"} <= {path.name for path in out.iterdir()}
    assert not list(out.glob("adapter*"))
    assert not (out / HIDDEN).exists()
    assert api.evaluate(options).loss == pytest.approx(result.eval_loss, abs=1e-5)
    assert isinstance(api.generate(options, ["Colour 3?"], max_new_tokens=4)[0], str)
    with pytest.raises(ModelError, match="nothing to merge"):
        api.merge(options)


def test_the_result_of_a_quantised_base_is_whole(tiny_options: Options, tmp_path: Path) -> None:
    options = tiny_options(**RELORA | NF4)
    result = api.train(options)
    assert result.eval_loss is not None
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "quantization_config" not in config
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32}
    final = json.loads((tmp_path / "out" / "run.json").read_text())["final"]
    assert final["eval_loss_of"] == "the quantised model with its adapter, not the merged result"
    assert "not the merged result" in (tmp_path / "out" / "README.md").read_text()
    whole_loss = api.evaluate(options | {"adapter": "lora", "load_in_4bit": False}).loss
    assert whole_loss == pytest.approx(result.eval_loss, abs=0.05)
    assert api.evaluate(options).loss == pytest.approx(result.eval_loss, abs=0.05)


@pytest.mark.parametrize("base", [{}, NF4], ids=["whole", "nf4"])
@pytest.mark.parametrize(
    "beside",
    [
        {"lora_modules_to_save": ["embed_tokens"], "tokens": ["<new>"]},
        {"peft_trainable_token_indices": [5, 6]},
    ],
    ids=["all", "some"],
)
def test_embeddings_trained_beside_the_adapter_are_in_the_result(
    tiny_options: Options, tmp_path: Path, base: dict[str, Any], beside: dict[str, Any]
) -> None:
    options = tiny_options(**RELORA | base | beside, resize_token_embeddings_to_32x=True)
    options |= {"lora_target_linear": False, "lora_target_modules": ["q_proj", "v_proj"]}
    first, again = tmp_path / "out", tmp_path / "again"
    result = api.train(options)
    found = api.evaluate(options | {"adapter": "lora", "load_in_4bit": False})
    assert found.loss == pytest.approx(result.eval_loss, abs=0.05 if base else 1e-5)
    begun = load_file(Path(options["base_model"]) / "model.safetensors")
    done = load_file(first / "model.safetensors")
    name = "model.embed_tokens.weight"
    moved = (done[name][: len(begun[name])] != begun[name]).any(dim=1)
    assert moved[5:7].any()
    assert int(moved.sum()) > 10 or "peft_trainable_token_indices" in beside
    again.mkdir()
    shutil.copytree(first / "checkpoint-5", again / "checkpoint-5")
    shutil.copy(first / "metrics.jsonl", again)
    more = {"output_dir": str(again), "resume_from_checkpoint": str(again / "checkpoint-5")}
    api.train(options | more)
    assert_same_run(first, again)


def test_it_goes_on_from_an_adapter_and_from_a_checkpoint_with_its_base(
    tiny_options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, first, again = (tmp_path / name for name in ("plain", "first", "again"))
    api.train(tiny_options(**RELORA | {"relora_steps": None}, output_dir=str(plain)))
    options = tiny_options(**RELORA)
    options = {k: v for k, v in options.items() if not k.startswith("lora_")}
    options |= {"lora_model_dir": str(plain), "output_dir": str(first), "eval_steps": 5}
    api.train(options)
    more = {"output_dir": str(again), "resume_from_checkpoint": str(first / "checkpoint-5")}
    again.mkdir()
    shutil.copy(first / "metrics.jsonl", again)
    api.train(options | more)
    assert_same_run(first, again)

    capsys.readouterr()
    api.evaluate(options)
    assert "without lora_model_dir that is taken" in " ".join(capsys.readouterr().err.split())
    lines = read_metrics(first / "metrics.jsonl")
    want = next(line["eval_loss"] for line in lines if "eval_loss" in line)
    options |= {"lora_model_dir": str(first / "checkpoint-5"), "output_dir": str(tmp_path / "next")}
    assert api.evaluate(options).loss == pytest.approx(want, abs=1e-5)
    api.train(options)


@pytest.mark.parametrize("base", [{}, NF4], ids=["whole", "nf4"])
def test_sampling_options_of_the_base_do_not_stop_a_checkpoint(
    tiny_options: Options, tmp_path: Path, base: dict[str, Any]
) -> None:
    options = tiny_options(**RELORA | base)
    other = tmp_path / "base"
    shutil.copytree(options["base_model"], other)
    (other / "generation_config.json").write_text('{"temperature": 0.7, "do_sample": false}')
    api.train(options | {"base_model": str(other)})


@pytest.mark.parametrize("base", [{}, NF4], ids=["whole", "nf4"])
def test_checkpoints_between_two_restarts_share_one_copy(
    tiny_options: Options, tmp_path: Path, base: dict[str, Any]
) -> None:
    api.train(tiny_options(**RELORA | base))
    places = [tmp_path / "out" / f"checkpoint-{n}" / "relora" for n in range(1, 9)]
    assert [place.is_dir() for place in places] == [False] * 3 + [True] * 5
    files = [(place / "model.safetensors").stat() for place in places[3:]]
    assert [file.st_nlink for file in files] == [3, 3, 3, 2, 2]
    assert len({file.st_ino for file in files}) == 2
    named = json.loads((places[4].parent / "adapter_config.json").read_text())
    assert named["base_model_name_or_path"] == str(places[4])


def test_pruning_leaves_the_newest_whole(tiny_options: Options, tmp_path: Path) -> None:
    options = tiny_options(**RELORA | NF4 | {"save_total_limit": 1})
    first, second = tmp_path / "first", tmp_path / "second"
    api.train(options | {"output_dir": str(first)})
    api.train(options | {"output_dir": str(second), "max_steps": 5, "save_total_limit": 1})
    assert [p.name for p in second.glob("checkpoint-*")] == ["checkpoint-5"]
    place = second / "checkpoint-5"
    half = options | {"output_dir": str(second), "resume_from_checkpoint": str(place)}
    api.train(half)
    assert [p.name for p in second.glob("checkpoint-*")] == ["checkpoint-8"]


def test_an_adapter_of_a_checkpoint_is_answered_with_on_its_own_base(
    tiny_options: Options, tmp_path: Path
) -> None:
    options = tiny_options(**RELORA | {"eval_steps": 5, "max_steps": 5})
    result = api.train(options)
    place = tmp_path / "out" / "checkpoint-5"
    found = api.evaluate(options | {"lora_model_dir": str(place)})
    assert found.loss == pytest.approx(result.eval_loss, abs=1e-5)


@pytest.mark.parametrize("base", [{}, NF4], ids=["whole", "nf4"])
@pytest.mark.parametrize("best", [2, 5])
def test_the_best_checkpoint_comes_with_the_base_it_stands_on(
    tiny_options: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    base: dict[str, Any],
    best: int,
) -> None:
    from axolotl.training.callbacks.best import BestCheckpoint

    def saving(self: BestCheckpoint, step: int) -> None:
        if step == best:
            self.step, self.loss = step, 1.0

    monkeypatch.setattr(BestCheckpoint, "saving", saving)
    options = tiny_options(**RELORA | base | {"eval_steps": 1}, load_best_model_at_end=True)
    api.train(options)
    monkeypatch.undo()
    line = read_metrics(tmp_path / "out" / "metrics.jsonl")
    want = next(x["eval_loss"] for x in line if x["step"] == best and "eval_loss" in x)
    exact = {"adapter": "lora", "load_in_4bit": False}
    assert api.evaluate(options | exact).loss == pytest.approx(want, abs=0.05 if base else 1e-5)


def test_a_stop_leaves_a_whole_model_and_a_checkpoint_to_go_on_from(
    tiny_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = tiny_options(**RELORA | NF4 | {"save_steps": 100})
    first = tmp_path / "first"
    api.train(options | {"output_dir": str(first)})
    end_step = StopOnSignal.on_step_end

    def signal_at(stop: StopOnSignal, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == 5:
            os.kill(os.getpid(), signal.SIGINT)
        end_step(stop, args, state, control, **more)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_step_end", signal_at)
        assert api.train(options).interrupted
    out = tmp_path / "out"
    assert (out / "model.safetensors").is_file()
    assert (out / "checkpoint-5" / "relora" / "model.safetensors").is_file()
    assert json.loads((out / "run.json").read_text())["interrupted"]
    api.train(options | {"auto_resume_from_checkpoints": True})
    assert_same_run(first, out)


def test_a_checkpoint_without_its_base_is_refused_and_a_damaged_one_passed_over(
    tiny_options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tiny_options(**RELORA)
    api.train(options)
    out = tmp_path / "out"
    (out / "checkpoint-8" / "relora" / "model.safetensors").unlink()
    shutil.rmtree(out / "checkpoint-7" / "relora")
    with pytest.raises(ModelError, match=r"in relora, neither .* is there"):
        api.train(options | {"resume_from_checkpoint": str(out / "checkpoint-8")})
    with pytest.raises(ModelError, match="lacks the folder relora"):
        api.train(options | {"auto_resume_from_checkpoints": True})
    assert "skipped the checkpoint" in " ".join(capsys.readouterr().err.split())


def test_other_steps_between_restarts_are_refused_on_a_resume(
    tiny_options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tiny_options(**RELORA, resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-5"))
    api.train(options | {"resume_from_checkpoint": None})
    with pytest.raises(ModelError, match="relora_steps: then 3, now 4"):
        api.train(options | {"relora_steps": 4})
    api.train(options | {"relora_warmup_steps": 1})
    assert "relora_warmup_steps: then 2, now 1" in " ".join(capsys.readouterr().err.split())


def test_a_disk_that_fills_at_a_restart_leaves_the_checkpoints(
    tiny_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = tiny_options(**RELORA | NF4)
    first = tmp_path / "first"
    api.train(options | {"output_dir": str(first)})
    calls: list[Path] = []

    def full(folder: Path, needed: int) -> None:
        calls.append(folder)
        if len(calls) == 2:
            raise EnvironmentFault("no room", where=str(folder), hint="make some")

    with monkeypatch.context() as patch:
        patch.setattr(whole, "check_room", full)
        with pytest.raises(AxolotlError, match="no room"):
            api.train(options)
    assert (tmp_path / "out" / "checkpoint-6").is_dir()
    api.train(options | {"auto_resume_from_checkpoints": True})
    assert_same_run(first, tmp_path / "out")


def test_the_merge_on_the_cpu_gives_the_same(tiny_options: Options, tmp_path: Path) -> None:
    options = tiny_options(**RELORA | NF4)
    for offload in (False, True):
        out = str(tmp_path / str(offload))
        api.train(options | {"relora_cpu_offload": offload, "output_dir": out})
    assert_same_run(tmp_path / "False", tmp_path / "True")


def test_moments_may_be_pruned_instead(
    tiny_options: Options, seen: list[dict[str, Any]], tmp_path: Path
) -> None:
    options = tiny_options(**RELORA, relora_prune_ratio=0.75)
    api.train(options)
    for kept in seen[0]["state"]:
        share = float((kept["exp_avg"] != 0).float().mean())
        assert share == pytest.approx(0.25, abs=0.01) or not kept["exp_avg"].any()
        assert kept["step"] == 3
    first = tmp_path / "first"
    (tmp_path / "out").rename(first)
    more = {"resume_from_checkpoint": str(first / "checkpoint-2")}
    (tmp_path / "out").mkdir()
    shutil.copy(first / "metrics.jsonl", tmp_path / "out")
    api.train(options | more)
    assert_same_run(first, tmp_path / "out")


def test_restarts_that_are_never_reached_are_said(
    tiny_options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    api.train(tiny_options(**RELORA | {"relora_steps": 8}))
    said = " ".join(capsys.readouterr().err.split())
    assert "relora_steps: 8 is not reached, the training has 8 steps" in said


@pytest.mark.slow
@pytest.mark.parametrize("base", [{}, NF4], ids=["whole", "nf4"])
def test_a_killed_run_goes_on_with_the_same_bits(
    tiny_options: Options, tmp_path: Path, base: dict[str, Any]
) -> None:
    options = tiny_options(**RELORA | base | {"max_steps": 40})
    options |= {"save_total_limit": 2, "relora_steps": 4}
    first, killed = tmp_path / "first", tmp_path / "killed"
    api.train(options | {"output_dir": str(first)})
    file = tmp_path / "run.yml"
    file.write_text(yaml.safe_dump(options | {"output_dir": str(killed)}))
    command = [sys.executable, "-m", "axolotl.cli.train", str(file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not (killed / "checkpoint-9").is_dir():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "run.json").exists()
    api.train(options | {"output_dir": str(killed), "auto_resume_from_checkpoints": True})
    assert_same_run(first, killed)
