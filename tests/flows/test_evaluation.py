"""What evaluations find out, through whole trainings; and that they leave the training as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from axolotl import api
from axolotl.core import console
from axolotl.data.encoder import Encoder
from axolotl.data.prompts import prompt_ids
from axolotl.errors import AxolotlError, DataError
from axolotl.formats import bind
from axolotl.training.callbacks.metrics import MEASURED, read_metrics
from axolotl.training.trackers import Trackers
from tests.flows.conftest import write_rows

Options = Callable[..., dict[str, Any]]
LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True, "lora_dropout": 0.2}
PROMPTS = ["Colour 3?", "Who are you?"]
EVERY = {"eval_steps": 2, "save_steps": 2, "save_total_limit": 10, "num_epochs": 1}


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Seven questions on two subjects."""
    file = tmp_path / "bench.jsonl"
    rows = [
        {
            "input": f"Which is colour {i}?\nA. red\nB. blue\nC. green\nAnswer:",
            "output": "ABC"[i % 3],
            "subject": ["arc", "MMLU: art"][i % 2],
        }
        for i in range(7)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def two_sets(tmp_path: Path) -> dict[str, Any]:
    files = [write_rows(tmp_path / f"{name}.jsonl", n) for name, n in (("near", 9), ("far", 5))]
    return {
        "val_set_size": 0,
        "test_datasets": [{"path": str(file), "type": "alpaca"} for file in files],
    }


@pytest.fixture
def everything(questions: Path, two_sets: dict[str, Any]) -> dict[str, Any]:
    """All that an evaluation can find out."""
    return {
        **two_sets,
        "do_bench_eval": True,
        "bench_dataset": str(questions),
        "eval_sample_prompts": PROMPTS,
        "eval_sample_max_new_tokens": 6,
        "eval_table_size": 3,
        "eval_table_max_new_tokens": 4,
    }


def bits(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def same(a: Path, b: Path) -> bool:
    one, other = bits(a), bits(b)
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def without_speed(file: Path) -> list[dict[str, Any]]:
    timed = ("seconds", *MEASURED)
    return [{k: v for k, v in line.items() if k not in timed} for line in read_metrics(file)]


@pytest.mark.parametrize(
    "method",
    [
        {},
        {**LORA, "gradient_checkpointing": True},
        {**LORA, "adapter": "qlora", "load_in_4bit": True, "noisy_embedding_alpha": 5},
    ],
    ids=["full", "lora", "4-bit"],
)
def test_evaluations_leave_the_training_as_it_is(
    tiny_options: Options, tmp_path: Path, everything: dict[str, Any], method: dict[str, Any]
) -> None:
    plain, asked = tmp_path / "plain", tmp_path / "asked"
    options = tiny_options(**EVERY, **method)
    api.train({**options, "val_set_size": 0, "eval_steps": None, "output_dir": str(plain)})
    api.train({**options, **everything, "output_dir": str(asked)})
    assert same(plain, asked)
    losses = [
        [x["loss"] for x in read_metrics(f / "metrics.jsonl") if "loss" in x]
        for f in (plain, asked)
    ]
    assert losses[0] == losses[1]
    config = json.loads((asked / "run.json").read_text())["plan"]
    assert (config["samples"], config["predictions"]) == ("samples.jsonl", "predictions.jsonl")
    assert config["bench_questions"] == 7


def test_a_resumed_run_has_the_same_evaluations(
    tiny_options: Options, tmp_path: Path, everything: dict[str, Any]
) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    options = tiny_options(**{**EVERY, **LORA, **everything})
    end = api.train({**options, "output_dir": str(whole)}).steps
    shutil.copytree(whole, resumed)
    for step in range(4, end + 2, 2):
        shutil.rmtree(resumed / f"checkpoint-{step}", ignore_errors=True)
    with (resumed / "samples.jsonl").open("a") as out:
        out.write('{"step": 2, "half a li')
    again = api.train({**options, "output_dir": str(resumed), "resume_from_checkpoint": True})
    assert again.steps == end
    assert same(whole, resumed)
    for name in ("metrics.jsonl", "samples.jsonl", "predictions.jsonl"):
        assert without_speed(resumed / name) == without_speed(whole / name)
    api.train(
        {**options, **dict.fromkeys(("eval_sample_prompts", "do_bench_eval"))}
        | {"do_bench_eval": False, "eval_table_size": 0, "output_dir": str(resumed)}
    )
    assert not (resumed / "samples.jsonl").exists(), "those of an earlier run"
    assert not (resumed / "predictions.jsonl").exists()


def test_each_of_test_datasets_has_its_loss(
    tiny_options: Options, tmp_path: Path, two_sets: dict[str, Any]
) -> None:
    options = tiny_options(**EVERY, **two_sets)
    result = api.train(options)
    last = [x for x in read_metrics(tmp_path / "out" / "metrics.jsonl") if "eval_loss" in x][-1]
    weighted = 0.0
    for entry in two_sets["test_datasets"]:
        alone = api.evaluate({**options, "test_datasets": [entry]})
        name = Path(entry["path"]).stem
        assert last[f"eval_{name}_loss"] == pytest.approx(alone.loss, rel=1e-6)
        assert last[f"eval_{name}_perplexity"] == pytest.approx(alone.perplexity, rel=1e-5)
        assert last[f"eval_{name}_tokens"] == alone.trained_tokens
        weighted += alone.loss * alone.trained_tokens
    assert result.eval_loss == last["eval_loss"]
    assert result.eval_loss == pytest.approx(weighted / last["eval_tokens"], rel=1e-6)
    final = json.loads((tmp_path / "out" / "run.json").read_text())["final"]
    assert final["sets"]["far"] == {
        "loss": last["eval_far_loss"],
        "perplexity": last["eval_far_perplexity"],
        "trained_tokens": last["eval_far_tokens"],
    }
    both = api.evaluate(options)
    assert both.loss == pytest.approx(last["eval_loss"], rel=1e-6)
    for changed in ({"eval_sample_packing": False}, {"eval_batch_size": 1}):
        other = api.evaluate({**options, **changed})
        assert {name: found.loss for name, found in other.sets.items()} == pytest.approx(
            {name: found.loss for name, found in both.sets.items()}, rel=1e-5
        )


def test_held_out_rows_of_several_data_sets_have_a_loss_for_each(
    tiny_options: Options, tmp_path: Path
) -> None:
    files = [write_rows(tmp_path / f"{name}.jsonl", 20) for name in ("one", "two")]
    data = [{"path": str(file), "type": "alpaca"} for file in files]
    api.train(tiny_options(**EVERY, datasets=data, val_set_size=12))
    last = [x for x in read_metrics(tmp_path / "out" / "metrics.jsonl") if "eval_loss" in x][-1]
    assert last["eval_one_tokens"] + last["eval_two_tokens"] == last["eval_tokens"]
    assert {"eval_one_loss", "eval_two_loss"} <= last.keys()


def test_prompts_are_answered_as_the_saved_model_answers_them(
    tiny_options: Options, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    file = tmp_path / "prompts.txt"
    file.write_text("Colour 3?\n\n  Who are you?\n")
    api.train(
        tiny_options(
            **EVERY | {"num_epochs": 3}, eval_sample_prompts=str(file), eval_sample_max_new_tokens=9
        )
    )
    last = read_metrics(out / "samples.jsonl")[-2:]
    final = json.loads((out / "run.json").read_text())["final"]
    assert final["samples"] == [{"prompt": x["prompt"], "answer": x["answer"]} for x in last]
    model = AutoModelForCausalLM.from_pretrained(out, attn_implementation="eager")
    tokenizer = AutoTokenizer.from_pretrained(out)
    for prompt, line in zip(PROMPTS, last, strict=True):
        assert line["prompt"] == prompt
        ids = prompt_ids([prompt], bound=bind("alpaca"), encoder=Encoder(tokenizer))[0]
        want = ids
        for _ in range(9):  # without a cache, and without the library's own generation
            with torch.no_grad():
                want = [*want, int(model(torch.tensor([want])).logits[0, -1].argmax())]
            if want[-1] == tokenizer.eos_token_id:
                break
        new = want[len(ids) :]
        stopped = new[-1] == tokenizer.eos_token_id
        assert line["answer"] == tokenizer.decode(new, skip_special_tokens=True)
        assert (line["tokens"], line["stopped"]) == (len(new), stopped)


def test_questions_are_counted_and_logged(
    tiny_options: Options, tmp_path: Path, questions: Path
) -> None:
    options = tiny_options(**EVERY, do_bench_eval=True, bench_dataset=str(questions))
    api.train(options)
    last = [x for x in read_metrics(tmp_path / "out" / "metrics.jsonl") if "eval_loss" in x][-1]
    bench = {key: value for key, value in last.items() if key.startswith("bench_")}
    assert list(bench) == [
        *("bench_accuracy", "bench_average_accuracy"),
        *("bench_arc_accuracy", "bench_MMLU_art_accuracy", "bench_loss"),
    ]
    mean = (4 * bench["bench_arc_accuracy"] + 3 * bench["bench_MMLU_art_accuracy"]) / 7
    assert bench["bench_accuracy"] == pytest.approx(mean)
    assert dict(api.evaluate(options).bench) == pytest.approx(bench, rel=1e-5)


def test_tables_go_to_the_trackers(
    tiny_options: Options, everything: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables: dict[str, list[tuple[int, list[str], int]]] = {}

    def keep(self: Trackers, title: str, columns: Any, rows: Any, *, step: int) -> None:
        assert all(len(row) == len(columns) for row in rows)
        tables.setdefault(title, []).append((step, list(columns), len(rows)))

    monkeypatch.setattr(Trackers, "log_table", keep)
    api.train(tiny_options(**EVERY | everything | {"eval_steps": 4, "max_steps": 4}))
    columns = [
        *("id", "Prompt", "Correct Completion"),
        "Predicted Completion (model.generate)",
        "Predicted Completion (trainer.prediction_step)",
    ]
    assert tables["Eval - Predictions vs Ground Truth"] == [(4, columns, 3)]
    assert tables["Samples"] == [(4, ["prompt", "answer", "tokens", "seconds", "stopped"], 2)]


def test_what_was_found_out_is_shown(
    tiny_options: Options, everything: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "note", said.append)
    for module in ("progress", "eval_report", "samples"):
        monkeypatch.setattr(f"axolotl.training.callbacks.{module}.note", said.append)
    api.train(tiny_options(**EVERY | everything | {"eval_steps": 4, "max_steps": 4}))
    at = next(i for i, line in enumerate(said) if "held-out loss" in line)
    near, far, bench, *answers = said[at + 1 : at + 6]
    assert near.startswith("  near  loss ")
    assert far.startswith("  far   loss ")
    assert "of 7 questions right" in bench
    assert "arc" in bench
    assert [line.partition(" → ")[0] for line in answers] == ['  "Colour 3?"', '  "Who are you?"']
    assert answers[0].endswith(("(6 tokens, cut off)", "ended)"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"do_bench_eval": True, "bench_dataset": "nowhere.json"}, "bench_dataset: no file"),
        ({"do_bench_eval": True, "bench_dataset": "mmlu-zs"}, "bench_dataset: .*mmlu-evals"),
        ({"eval_sample_prompts": ["word " * 900]}, "eval_sample_prompts: .*only 512 positions"),
    ],
    ids=["no file", "offline", "too long"],
)
def test_what_cannot_be_asked_is_refused_before_the_model_is_loaded(
    tiny_options: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    says: str,
) -> None:
    monkeypatch.setattr("axolotl.training.run.build_model", lambda *_, **__: 1 / 0)
    with pytest.raises(AxolotlError, match=says):
        api.train(tiny_options(**change))
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_eval_table_max_new_tokens_is_the_longest_prediction(
    tiny_options: Options, tmp_path: Path
) -> None:
    options = tiny_options(**EVERY | {"eval_steps": 4, "max_steps": 4}, eval_table_size=2)
    out = tmp_path / "out"
    tokenizer = AutoTokenizer.from_pretrained(options["base_model"])
    lengths: list[int] = []
    for most in (1, 3):
        api.train(options | {"eval_table_max_new_tokens": most})
        first, *_ = read_metrics(out / "predictions.jsonl")
        lengths.append(len(tokenizer(first["generated"])["input_ids"]))
    assert lengths == [1, 3]
    assert list(first) == ["step", "id", "prompt", "correct", "generated", "teacher_forced"]
    assert first["prompt"].endswith("### Response:\n")


@pytest.mark.parametrize("metric", ["far_loss", "bench_accuracy"])
def test_metric_for_best_model_may_be_that_of_a_set_or_of_the_questions(
    tiny_options: Options, tmp_path: Path, everything: dict[str, Any], metric: str
) -> None:
    asked = {**EVERY, **everything, "eval_sample_prompts": None, "eval_table_size": 0}
    options = tiny_options(**asked | {"num_epochs": 3, "learning_rate": 2e-2})
    api.train(options | {"metric_for_best_model": metric, "load_best_model_at_end": True})
    out = tmp_path / "out"
    lines = [x for x in read_metrics(out / "metrics.jsonl") if "eval_loss" in x]
    key, pick = ("bench_accuracy", max) if metric.startswith("bench") else ("eval_far_loss", min)
    best = pick(lines, key=lambda line: line[key])
    final = json.loads((out / "run.json").read_text())["final"]
    assert (final["checkpoint"], final["eval_loss"]) == (best["step"], best["eval_loss"])
    assert final["sets"]["far"]["loss"] == best["eval_far_loss"]
    assert same(out, out / f"checkpoint-{best['step']}")


def test_metric_for_best_model_needs_rows_of_its_set(tiny_options: Options, tmp_path: Path) -> None:
    files = [write_rows(tmp_path / f"{name}.jsonl", 20) for name in ("one", "two")]
    data = [{"path": str(file), "type": "alpaca"} for file in files]
    own = {"shuffle_merged_datasets": False, "metric_for_best_model": "eval_one_loss"}
    options = tiny_options(**EVERY, **own, datasets=data, load_best_model_at_end=True)
    with pytest.raises(DataError, match="eval_one_loss is not measured"):
        api.train(options)


def test_other_questions_and_another_metric_on_a_resume_are_said(
    tiny_options: Options, tmp_path: Path, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tiny_options(
        **EVERY, do_bench_eval=True, bench_dataset=str(questions), load_best_model_at_end=True
    )
    api.train(options)
    shutil.rmtree(tmp_path / "out" / "checkpoint-5")
    other = tmp_path / "other.jsonl"
    other.write_text(questions.read_text())
    changed = {"bench_dataset": str(other), "metric_for_best_model": "bench_loss"}
    capsys.readouterr()
    api.train(options | changed | {"resume_from_checkpoint": True})
    said = capsys.readouterr().err
    assert "changed since checkpoint-4: bench_dataset: then" in said
    assert "chosen anew, by bench_loss instead of eval_loss" in said
