"""One batch cut up in several ways: the gradient is the same, and a mean of means is seen."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner

from axolotl import api
from axolotl.cli.main import main
from axolotl.errors import AxolotlError
from axolotl.training.trainer import PackedTrainer
from axolotl.verify import Proof, accumulation
from tests.flows.conftest import write_rows
from tests.verify.conftest import Options

LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True, "lora_dropout": 0.1}


@pytest.fixture
def options(options: Options) -> Options:
    return partial(options, gradient_accumulation_steps=2)


def prove(options: dict[str, Any], *, ranks: int | None = 1) -> Proof:
    return accumulation.prove(api.resolved(options), ranks=ranks)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        LORA,
        {"sample_packing": False, "micro_batch_size": 4},
        {"bf16": True},
        {"noisy_embedding_alpha": 5, "max_grad_norm": 0.01, "loraplus_lr_ratio": 4, **LORA},
    ],
    ids=["packed", "lora", "unpacked", "bf16", "what changes by chance"],
)
def test_it_holds(options: Options, tmp_path: Path, changes: dict[str, Any]) -> None:
    proof = prove(options(**changes))
    assert proof.holds, proof.lines
    assert proof.numbers["splits"] == 3
    assert proof.numbers["samples"] >= 4
    if "bf16" not in changes:
        assert proof.numbers["tolerance"] == 1e-5
        assert proof.numbers["gradient_share"] < 2e-6
    assert "processes: one alone, for --ranks 1" in proof.lines
    assert not (tmp_path / "out").exists(), "a proof leaves nothing behind"


def test_a_mean_of_means_does_not_hold(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    row_mean = PackedTrainer.compute_loss

    def mean_of_row(self: Any, model: Any, inputs: Any, *args: Any, **more: Any) -> Any:
        items = (inputs["labels"] != -100).sum() * self.args.gradient_accumulation_steps
        more["num_items_in_batch"] = items
        return row_mean(self, model, inputs, **more)

    monkeypatch.setattr(PackedTrainer, "compute_loss", mean_of_row)
    proof = prove(options())
    assert not proof.holds
    assert proof.numbers["gradient_share"] > 1e-2


def test_too_few_samples_are_said(options: Options, tmp_path: Path) -> None:
    few = [{"path": str(write_rows(tmp_path / "few.jsonl", 1)), "type": "alpaca"}]
    with pytest.raises(AxolotlError, match="too few rows"):
        prove(options(datasets=few))


def test_a_process_that_fails_is_told(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(words, 7, "", "first\nno room\n")

    monkeypatch.setattr(subprocess, "run", ended)
    with pytest.raises(AxolotlError, match=r"(?s)2 processes ended with exit code 7.*no room"):
        prove(options(), ranks=2)


@pytest.mark.slow
def test_real_processes_give_the_gradient_of_one(options: Options) -> None:
    proof = prove(options(**LORA, sample_packing=False, micro_batch_size=3), ranks=2)
    assert proof.holds, proof.lines
    assert proof.numbers["processes"] == 2
    (line,) = [line for line in proof.lines if "2 processes" in line]
    assert "micro-batch 3, accumulation 1, 2 processes" in line


def test_the_command_ends_with_the_proof(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    file = tmp_path / "run.yml"
    file.write_text(yaml.safe_dump(options()))
    words = ["verify", "accumulation", str(file), "--ranks", "1", "--json"]
    answer = CliRunner().invoke(main, words)
    assert answer.exit_code == 0, answer.output
    assert '"holds": true' in answer.stdout
    step = accumulation.Bench.step

    def other(self: Any, rows: Any, **more: Any) -> Any:
        found = step(self, rows, **more)
        if len(rows) > 2:
            for gradient in found.gradients.values():
                gradient.mul_(torch.tensor(1.001))
        return found

    monkeypatch.setattr(accumulation.Bench, "step", other)
    assert CliRunner().invoke(main, words).exit_code == 1
