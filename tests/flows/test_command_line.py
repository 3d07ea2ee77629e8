"""The same road from the command line: what is printed, how it ends, what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from axolotl.cli import evaluate, train

Options = Callable[..., dict[str, Any]]
LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True, "max_steps": 2}


def write(tmp_path: Path, options: dict[str, Any]) -> str:
    file = tmp_path / "run.yml"
    file.write_text(yaml.safe_dump(options))
    return str(file)


def run(command: Any, *arguments: str) -> Result:
    return CliRunner().invoke(command.main, arguments)


def test_train_then_evaluate(tmp_path: Path, tiny_options: Options) -> None:
    file = write(tmp_path, tiny_options(**LORA))
    done = run(train, file, "--learning_rate", "0.02")
    assert done.exit_code == 0, done.output
    for said in ("About to train", "40 to train on, 8 held out", "Trained", "run.json"):
        assert said in done.output
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report["config"]["given"]["learning_rate"] == 0.02
    origins = report["config"]["origins"]
    assert origins["learning_rate"] == "--learning_rate"
    assert origins["lora_r"].startswith("run.yml:") or origins["lora_r"].startswith(str(tmp_path))
    assert "lora_dropout" not in origins, "a default"
    assert "axolotl report" in done.output
    assert report["data"]["sources"][0]["content"]

    after = json.loads(run(evaluate, file, "--json").stdout)
    before = json.loads(run(evaluate, file, "--json", "--base").stdout)
    assert after["eval_loss"] == pytest.approx(report["final"]["eval_loss"], rel=1e-5)
    assert before["eval_loss"] > after["eval_loss"]
    assert before["trained_tokens"] == after["trained_tokens"] > 0


def test_only_preparing(tmp_path: Path, tiny_options: Options) -> None:
    done = run(train, write(tmp_path, tiny_options()), "--prepare_ds_only")
    assert done.exit_code == 0
    assert "rows kept" in done.output
    assert list((tmp_path / "store").glob("*/store.json"))
    assert not (tmp_path / "out").exists()


def _file_in_the_way(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "taken").touch()
    return {"output_dir": str(tmp_path / "taken")}


def _empty_folder(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "model").mkdir()
    return {"base_model": str(tmp_path / "model")}


def _rows(*rows: dict[str, str]) -> Callable[[Path], dict[str, Any]]:
    def build(tmp_path: Path) -> dict[str, Any]:
        file = tmp_path / "bad.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {"datasets": [{"path": str(file), "type": "alpaca"}], "val_set_size": 0}

    return build


def _no_such_data(tmp_path: Path) -> dict[str, Any]:
    return {"datasets": [{"path": str(tmp_path / "rowz.jsonl"), "type": "alpaca"}]}


GOOD = {"instruction": "a", "output": "b"}
BAD: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "a missing data file": (_no_such_data, r"no file or folder '.*rowz\.jsonl'"),
    "a missing field": (
        _rows(GOOD, {"instruction": "a", "out": "b"}),
        r"bad\.jsonl row 2 .*no field 'output' \(the row has: instruction, out\)",
    ),
    "no row left": (_rows({"instruction": "a", "output": ""}), "none of the 1 rows can be trained"),
    "a folder without a model": (_empty_folder, r"run\.yml:\d+: .*holds no config\.json"),
    "a file where the output is to go": (
        _file_in_the_way,
        "a file stands where a folder is needed",
    ),
    "a misspelt key": (lambda _: {"lora_rank": 4}, r"run\.yml:\d+: unknown key 'lora_rank'"),
    "a wrong type": (lambda _: {"seed": "one"}, r"run\.yml:\d+: seed: expected a whole number"),
    "an adapter that is not there": (
        lambda tmp_path: {"lora_model_dir": str(tmp_path / "none"), **LORA},
        "no adapter folder",
    ),
}


@pytest.mark.parametrize("mistake", BAD)
def test_a_mistake_ends_with_one_message(
    tmp_path: Path, tiny_options: Options, mistake: str
) -> None:
    build, message = BAD[mistake]
    done = run(train, write(tmp_path, tiny_options(**build(tmp_path))))
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    assert "this is a bug" not in done.output
    plain = " ".join(done.output.split())
    assert re.search(message, plain), plain
    assert not (tmp_path / "out" / "run.json").exists()
    assert not list(tmp_path.glob("out/checkpoint-*"))


@pytest.mark.slow
@pytest.mark.parametrize("method", [{}, LORA], ids=["full", "lora"])
def test_started_by_accelerate(
    tmp_path: Path, tiny_options: Options, method: dict[str, Any]
) -> None:
    file = write(tmp_path, tiny_options(**method))
    launcher = Path(sys.executable).with_name("accelerate")
    done = subprocess.run(
        [
            *(str(launcher), "launch", "--num_processes", "1", "-m", "axolotl.cli.train"),
            *(file, "--max_steps", "2"),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report["final"]["steps"] == 2
