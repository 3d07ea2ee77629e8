"""Every method, optimizer and schedule trains, and goes on after a kill as if there had been none."""

from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from axolotl import api
from axolotl.training.callbacks.metrics import read_metrics
from tests.conftest import build_llama, build_tokenizer
from tests.flows.conftest import write_rows
from tests.flows.methods import (
    METHODS,
    OPTIMIZERS,
    SCHEDULES,
    STEPS,
    Cell,
    cell_options,
    cells,
    killed,
    refused,
)
from tests.flows.test_training import assert_same_bits, assert_same_metrics
from tests.gptq_writer import Recipe, write_gptq

CELLS = list(cells())
QUICK = [[cell for cell in CELLS if cell[0] == m][4 * i] for i, m in enumerate(METHODS)]
"""One cell of each method, with optimizers and schedules of all kinds."""


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny model, whole and quantised by GPTQ; and the rows, which fill one row of tokens."""
    folder = tmp_path_factory.mktemp("bases")
    model, tokenizer = build_llama(), build_tokenizer()
    model.save_pretrained(folder / "whole")
    tokenizer.save_pretrained(folder / "whole")
    write_gptq(model, folder / "gptq", Recipe(group_size=32), tokenizer=tokenizer)
    return {
        "whole": folder / "whole",
        "gptq": folder / "gptq",
        "rows": write_rows(folder / "rows.jsonl", 16),
        "store": folder / "store",
    }


def options(bases: dict[str, Path], cell: Cell) -> dict[str, Any]:
    """Every step sees the same row, so that losses can be compared."""
    return {
        "base_model": str(bases["gptq" if cell[0] == "gptq" else "whole"]),
        "datasets": [{"path": str(bases["rows"]), "type": "alpaca"}],
        "dataset_prepared_path": str(bases["store"]),
        "val_set_size": 4,
        "sequence_len": 512,
        "micro_batch_size": 2,
        "sample_packing": True,
        "num_epochs": STEPS,
        "warmup_steps": 1,
        "save_steps": 2,
        "eval_steps": 2,
        "load_best_model_at_end": False,
        "logging_steps": 1,
        **cell_options(*cell),
    }


def left_behind(whole: Path, folder: Path) -> None:
    """What a run that is killed after step 4 leaves; metrics of later steps are in the file already."""
    folder.mkdir()
    for name in ("checkpoint-2", "checkpoint-4"):
        shutil.copytree(whole / name, folder / name)
    shutil.copy(whole / "metrics.jsonl", folder)


def check(bases: dict[str, Path], cell: Cell, folder: Path, *, kills: bool) -> None:
    """The cell learns; killed and resumed, it leaves the same bits.

    Args:
        bases: Models and rows.
        cell: The cell.
        folder: An empty one.
        kills: Whether a process is killed. How it dies has nothing to do with the cell, so for most
            it is enough to go on from what it would have left.
    """
    whole, resumed = folder / "whole", folder / "killed"
    file = options(bases, cell)
    api.train(file | {"output_dir": str(whole)})
    lines = read_metrics(whole / "metrics.jsonl")
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == STEPS
    assert all(loss is not None for loss in losses)
    assert losses[-1] < losses[0], losses

    if kills:
        killed(file | {"output_dir": str(resumed)})
    else:
        left_behind(whole, resumed)
    assert not (resumed / "run.json").exists()
    assert {path.name for path in resumed.glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-4"}
    api.train(file | {"output_dir": str(resumed), "auto_resume_from_checkpoints": True})
    assert json.loads((resumed / "run.json").read_text("utf-8"))["final"]["steps"] == STEPS
    assert_same_bits(whole, resumed)
    assert_same_metrics(whole, resumed)


@pytest.mark.parametrize("cell", QUICK, ids="-".join)
def test_each_method_trains_and_resumes(bases: dict[str, Path], tmp_path: Path, cell: Cell) -> None:
    check(bases, cell, tmp_path, kills=True)


@pytest.mark.slow
@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell not in QUICK], ids="-".join)
def test_the_whole_table_trains_and_resumes(
    bases: dict[str, Path], tmp_path: Path, cell: Cell
) -> None:
    check(bases, cell, tmp_path, kills=False)


def test_each_meets_each_but_what_cannot_work() -> None:
    adapters = [name for name in METHODS if name != "full"]
    restarted = [name for name in METHODS if name.startswith("relora")]
    projected = [name for name in OPTIMIZERS if name.startswith(("galore", "apollo"))]
    averaged = [name for name in OPTIMIZERS if name.startswith("schedule_free")]
    followed = ["greedy", "reduce_lr_on_plateau"]
    met = {pair for m, o, s in CELLS for pair in ((m, o), (m, s))}
    cannot = {
        *product(adapters, projected),
        *product(restarted, [*averaged, *followed, "one_cycle"]),
    }
    every = {*product(METHODS, OPTIMIZERS), *product(METHODS, SCHEDULES)}
    assert every - met == cannot
    assert all(refused(*cell) == () for cell in CELLS)
