"""`axolotl evaluate` gives the number that the run reported, whatever was trained, and of checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from axolotl import api
from axolotl.cli.evaluate import main
from axolotl.errors import ModelError
from axolotl.training.callbacks.metrics import read_metrics
from tests.flows.conftest import write_rows

Options = Callable[..., dict[str, Any]]
LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True}
QUANTISED = {**LORA, "adapter": "qlora", "load_in_4bit": True}
METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": LORA,
    "4-bit": QUANTISED,
    "8-bit": {**LORA, "load_in_8bit": True},
    "relora": {**LORA, "relora_steps": 3, "relora_warmup_steps": 1},
}


@pytest.mark.parametrize("method", list(METHODS))
def test_the_number_is_the_one_that_the_run_reported(
    tiny_options: Options, tmp_path: Path, method: str
) -> None:
    often = {"max_steps": 6, "save_steps": 3, "eval_steps": 3, "load_best_model_at_end": False}
    options = tiny_options(**METHODS[method], **often, learning_rate=1e-2)
    said = api.train(options).eval_loss
    assert api.evaluate(options).loss == pytest.approx(said, rel=1e-6)
    if method == "relora":
        return
    lines = {
        x["step"]: x for x in read_metrics(tmp_path / "out" / "metrics.jsonl") if "eval_loss" in x
    }
    earlier = api.evaluate(options, checkpoint="checkpoint-3")
    assert earlier.loss == pytest.approx(lines[3]["eval_loss"], rel=1e-6)
    assert earlier.loss != pytest.approx(lines[6]["eval_loss"], rel=1e-6)
    assert api.evaluate(options, base=True).loss != pytest.approx(said, rel=1e-4)


def test_a_checkpoint_that_is_none_is_named(tiny_options: Options, tmp_path: Path) -> None:
    options = tiny_options(max_steps=2, save_steps=1)
    api.train(options)
    with pytest.raises(ModelError, match="no checkpoint 'checkpoint-9'") as caught:
        api.evaluate(options, checkpoint="checkpoint-9")
    assert "checkpoint-1, checkpoint-2" in str(caught.value.hint)
    (tmp_path / "out" / "checkpoint-1" / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="cannot be used"):
        api.evaluate(options, checkpoint=tmp_path / "out" / "checkpoint-1")


def test_the_command_prints_all_figures(tiny_options: Options, tmp_path: Path) -> None:
    bench = tmp_path / "bench.json"
    rows = [
        {"input": f"{i}?\nA. x\nB. y\nAnswer:", "output": "AB"[i % 2], "subject": "xy"[i % 2]}
        for i in range(4)
    ]
    bench.write_text(json.dumps(rows))
    sets = [write_rows(tmp_path / f"{name}.jsonl", 4) for name in ("near", "far")]
    options = tiny_options(
        val_set_size=0,
        test_datasets=[{"path": str(file), "type": "alpaca"} for file in sets],
        do_bench_eval=True,
        bench_dataset=str(bench),
    )
    file = tmp_path / "run.yml"
    file.write_text(yaml.safe_dump(options))
    ran = CliRunner().invoke(main, [str(file), "--base", "--json"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert list(found) == ["eval_loss", "perplexity", "trained_tokens", "sets", "bench"]
    assert list(found["sets"]) == ["near", "far"]
    assert list(found["sets"]["far"]) == ["loss", "perplexity", "trained_tokens"]
    assert list(found["bench"]["subjects"]) == ["x", "y"]
    both = CliRunner().invoke(main, [str(file), "--base", "--checkpoint", "checkpoint-1"])
    assert both.exit_code == 2
    assert "two different models" in both.output


def test_a_process_evaluates_in_several_number_formats(tiny_options: Options) -> None:
    options = tiny_options(max_steps=2, learning_rate=1e-2, eval_steps=2)
    trained = api.train(options).eval_loss
    formats: list[dict[str, Any]] = [{"bf16": True}, {}, {"bf16": "full"}, {"bf16": True}]
    half, whole, full, again = (api.evaluate(options | more).loss for more in formats)
    assert whole == pytest.approx(trained, rel=1e-6)
    assert half == again
    assert half != whole
    assert full not in (half, whole)
    assert half == pytest.approx(whole, rel=1e-2)
