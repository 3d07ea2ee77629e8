"""What is said at the end of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from axolotl.cli._trained import say_trained
from axolotl.core import console
from axolotl.records import RunResult
from tests.reports.runs import metric_lines, write_lines

FIGURES = {"tokens_per_second": 1234.5, "seconds": 61.0, "peak_memory_bytes": 2_530_000_000}


def said(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    *arguments: str,
    adapter: bool = True,
    interrupted: bool = False,
    **figures: int,
) -> str:
    result = RunResult(folder, 40, 2.5, 2.25, interrupted, {**FIGURES, **figures})
    console.console.cache_clear()
    say_trained(result, arguments, adapter=adapter)
    return " ".join(capsys.readouterr().err.split())


def test_the_held_out_loss_is_followed_and_the_best_checkpoint_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(tmp_path / "metrics.jsonl", metric_lines(40))
    told = said(tmp_path, capsys, "a.yml", checkpoint=30)
    assert "loss 2.5000 in training, 2.2500 on held-out rows" in told
    assert "held-out loss 3.0000 at step 10 → 2.2500; lowest 2.0000 at step 30" in told
    assert "best checkpoint checkpoint-30, which is the result" in told
    assert "best checkpoint" not in said(tmp_path, capsys, "a.yml")
    write_lines(tmp_path / "metrics.jsonl", metric_lines(10))
    assert "at step" not in said(tmp_path, capsys, "a.yml"), "once is no change"
    (tmp_path / "metrics.jsonl").unlink()
    assert "speed 1,234 tokens per second time 61 s peak memory 2.53 GB" in said(tmp_path, capsys)


def test_the_next_commands_have_what_was_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my run"
    told = said(folder, capsys, "a.yml", "--lora_r", "4", "--resume_from_checkpoint=true")
    assert "ask it axolotl inference a.yml --lora_r 4 merge it" in told
    assert "merge it axolotl merge-lora a.yml --lora_r 4 look at it" in told
    assert told.endswith(f"look at it axolotl report '{folder}'")
    assert "merge" not in said(folder, capsys, "a.yml", adapter=False)
    assert "Next" not in said(folder, capsys, "-")
    stopped = said(folder, capsys, "a.yml", interrupted=True)
    assert "Stopped early" in stopped
    assert stopped.endswith("go on with: --resume_from_checkpoint=true")
