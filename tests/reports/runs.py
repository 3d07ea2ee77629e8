"""Run folders as trainings leave them, written here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HOSTILE = '</script><script>alert(1);document.title="taken"</script><img src=x onerror=alert(2)>'
NO_ROWS: dict[str, Any] = {"count": 0, "places": []}
SOURCE = {
    "key": "datasets.0",
    "name": f"rows {HOSTILE}.jsonl",
    "format": "alpaca",
    "rows_read": 61,
    "rows_kept": 58,
    "split": NO_ROWS,
    "truncated": {"count": 2, "places": []},
    "dropped": {"the answer is empty": {"count": 3, "places": []}},
    "bad": {},
    "tokens": 2872,
    "trained_tokens": 718,
    "median_tokens": 47,
    "longest_tokens": 76,
    "lengths": [[16, 0], [32, 8], [64, 50]],
}
START: dict[str, Any] = {
    "plan": {
        "attention": "per_document",
        "matmul": {"setting": "highest"},
        "device": "cpu",
        "dtype": "float32",
        "parameters": 123200,
        "trainable_parameters": 16384,
        "steps": 40,
    },
    "data": {
        "by_source": [SOURCE],
        "train_rows": 50,
        "eval_rows": 8,
        "warnings": [f"odd rows: {HOSTILE}"],
    },
    "config": {
        "given": {"base_model": HOSTILE, "learning_rate": 0.003, "lora_r": 8},
        "resolved": {
            "base_model": HOSTILE,
            "learning_rate": 0.003,
            "adapter": "lora",
            "lora_r": 8,
            "warmup_steps": 4,
            "sequence_len": 2048,
        },
        "origins": {
            "base_model": "a.yml:1",
            "learning_rate": "--learning_rate",
            "lora_r": "a.yml:3",
            "warmup_steps": "implied by max_steps",
        },
    },
    "processes": {"count": 1, "machines": 1, "method": None},
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "platform": {"system": "Linux", "accelerator": None, "threads": 2},
}
FINAL = {
    "train_loss": 2.5,
    "eval_loss": 2.1,
    "steps": 40,
    "seconds": 3725.0,
    "trained_tokens": 4000,
    "tokens_per_second": 107.5,
    "peak_memory_bytes": 2_530_000_000,
    "checkpoint": 30,
}


def metric_lines(steps: int, *, evaluations: bool = True) -> list[dict[str, Any]]:
    """Lines of a training of so many steps, evaluated at every tenth."""
    lines: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        lines.append(
            {
                "step": step,
                "epoch": step / 10,
                "loss": 3 - step / 40,
                "grad_norm": 1 + step % 3,
                "learning_rate": 0.003 * (1 - step / 40),
                "trained_tokens": step * 100,
                "tokens_per_second": 100.5,
                "peak_memory_bytes": 2_000_000_000,
                "memory_bytes": 1_000_000_000,
            }
        )
        if evaluations and step % 10 == 0:
            lines.append({"step": step, "eval_loss": 2 + (step - 30) ** 2 / 400, "eval_tokens": 9})
    return lines


def write_lines(file: Path, lines: Iterable[Any], *, end: str = "") -> None:
    """JSON lines, and perhaps something behind them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + end, "utf-8")


def finished_run(folder: Path, **changes: Any) -> Path:
    """A run with evaluations, samples and checkpoints, of which much is hostile."""
    write_lines(folder / "metrics.jsonl", metric_lines(40))
    record = {**START, "interrupted": False, "final": FINAL, **changes}
    (folder / "run.json").write_text(json.dumps(record), "utf-8")
    answers = [
        {"step": step, "prompt": prompt, "answer": f"{step}: {HOSTILE}", "stopped": step > 10}
        for step in (10, 20, 30, 40)
        for prompt in ("Name three colours.", HOSTILE)
    ]
    write_lines(folder / "samples.jsonl", answers)
    rows = [
        {"step": step, "id": 0, "prompt": HOSTILE, "correct": "Red.", "generated": f"at {step}"}
        for step in (30, 40)
    ]
    write_lines(folder / "predictions.jsonl", rows)
    for step in (20, 30, 40):
        (folder / f"checkpoint-{step}").mkdir()
        (folder / f"checkpoint-{step}" / "weights").write_bytes(b"0" * 5000)
    return folder
