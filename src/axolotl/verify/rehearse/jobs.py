"""What the processes of a rehearsal do, one function for each stage; all of them give plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from axolotl.config import load_config
from axolotl.data.prepare import prepare, prepare_tests
from axolotl.models.tokenizer import load_tokenizer
from axolotl.resolve import Resolved, resolve
from axolotl.training.callbacks.metrics import MEASURED, read_metrics
from axolotl.training.run import run_training
from axolotl.training.trackers import Trackers
from axolotl.verify import packing
from axolotl.verify.rehearse.base import make_base as make_base
from axolotl.verify.rehearse.base import make_rows as make_rows
from axolotl.verify.rehearse.process import come_so_far

Given = Mapping[str, Any]
Command = Callable[..., Any]

_SHARED_EVAL = 1e-3
"""Share that two measurements of one loss may be apart, for rounding in bfloat16."""


def _resolved(options: Given) -> Resolved:
    torch.set_num_threads(1)  # the fastest for a model as small as this, and always the same
    return resolve(load_config(options), purpose="train")


def prepare_rows(options: Given) -> dict[str, Any]:
    """Fill the token store; what became of the rows."""
    resolved = _resolved(options)
    tokenizer = load_tokenizer(resolved.model)
    if resolved.streaming.asked_by is not None:
        held_out = prepare_tests(resolved, tokenizer=tokenizer)
        return {"streamed": True, "eval_rows": len(held_out) if held_out else 0}
    prepared = prepare(resolved, tokenizer=tokenizer)
    summary = prepared.summary
    return {
        "train_rows": summary.train_rows,
        "eval_rows": summary.eval_rows,
        "tokens": prepared.train.tokens,
        "trained_tokens": prepared.train.trained_tokens,
        "warnings": list(summary.warnings),
        "sample": prepared.train[0].input_ids.tolist()[:8],
    }


def prove_packing(options: Given) -> dict[str, Any]:
    """Packed rows against their samples alone; see `axolotl.verify.packing`."""
    proof = packing.prove(_resolved(options), rows=1)
    return {
        "claim": proof.claim,
        "holds": proof.holds,
        "numbers": dict(proof.numbers),
        "lines": list(proof.lines),
    }


def train(options: Given, command: Command) -> dict[str, Any]:
    """A whole training, by the command's own function; its steps, losses and files."""
    result = command(_resolved(options))
    folder = Path(result.output_dir)
    losses = [line["loss"] for line in read_metrics(folder / "metrics.jsonl") if "loss" in line]
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return {
        "steps": result.steps,
        "losses": losses,
        "eval_loss": result.eval_loss,
        "eval_loss_of": result.metrics.get("eval_loss_of"),
        "plan": run["plan"],
        "files": run["files"],
        "checkpoints": sorted(path.name for path in folder.glob("checkpoint-*")),
    }


class _DiesHere(Trackers):
    """Says that the process may be killed, at the beginning of a step.

    Args:
        step: The step, counted from 1.
        connection: Whom to tell.
    """

    def __init__(self, step: int, connection: Connection) -> None:
        super().__init__()
        self._step = step
        self._connection = connection

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Tell it, and wait for the end."""
        if state.global_step == self._step - 1:
            come_so_far(self._connection)


def train_until_killed(options: Given, step: int, connection: Connection) -> None:
    """The same training, which is killed at the beginning of a step."""
    resolved = _resolved(options)
    output = Path(resolved.saving.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    run_training(resolved, on_start=lambda: None, trackers=_DiesHere(step, connection))


def compare_runs(one: str, other: str) -> dict[str, Any]:
    """Whether two run folders hold the same bits: every tensor of the result, and every logged figure."""
    first, second = _tensors(Path(one)), _tensors(Path(other))
    different = sorted(first.keys() ^ second.keys())
    different += [n for n in first.keys() & second.keys() if not _same(first[n], second[n])]
    lines = [_figures(Path(folder)) for folder in (one, other)]
    return {
        "tensors": len(first),
        "different": different,
        "lines": len(lines[0]),
        "same_lines": lines[0] == lines[1],
    }


def look_at_result(run: str, base: str) -> dict[str, Any]:
    """Whether the tensors of a result are numbers, and how many of them training has moved."""
    saved, before = _tensors(Path(run)), _tensors(Path(base))
    broken = [name for name, tensor in saved.items() if not bool(tensor.float().isfinite().all())]
    if any("lora_" in name for name in saved):
        moving = [name for name in saved if "lora_B" in name or "lora_embedding_B" in name]
        moved = [name for name in moving if bool(saved[name].any())]
    else:
        moving = [n for n in saved if n in before and saved[n].shape == before[n].shape]
        moved = [n for n in moving if not torch.equal(saved[n].float(), before[n].float())]
    return {"tensors": len(saved), "broken": broken, "moving": len(moving), "moved": len(moved)}


def evaluate(options: Given, command: Command, said: float | None) -> dict[str, Any]:
    """The held-out loss of what was saved, against the one that the run has said."""
    found = command(_resolved(options))
    apart = None if said is None else abs(found.loss - said) / max(abs(said), 1e-12)
    return {
        "loss": found.loss,
        "perplexity": found.perplexity,
        "trained_tokens": found.trained_tokens,
        "apart": apart,
        "same": apart is None or apart <= _SHARED_EVAL,
    }


def merge(options: Given, command: Command) -> dict[str, Any]:
    """Merge the adapter; how far the merged model is from base and adapter."""
    report = command(_resolved(options))
    return {
        "dtype": report.dtype,
        "largest": report.difference.largest,
        "relative": report.difference.relative,
        "agreeing": report.difference.agreeing,
        "positions": report.difference.positions,
        "folder": str(report.folder),
    }


def answer(options: Given, command: Command, question: str) -> dict[str, Any]:
    """Ask what was trained."""
    resolved = _resolved(options)
    (said,) = command(resolved, [question], max_new_tokens=8, temperature=0)
    return {"question": question, "answer": said}


def _tensors(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            found |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    return found


def _same(one: Tensor, other: Tensor) -> bool:
    """Bit for bit; a NaN is like a NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one.nan_to_num(), other.nan_to_num()) and torch.equal(
        one.isnan(), other.isnan()
    )


def _figures(folder: Path) -> list[dict[str, Any]]:
    """What was logged, without what is of a run of the program alone."""
    return [
        {k: v for k, v in line.items() if k not in MEASURED and not _is_nan(v)}
        for line in read_metrics(folder / "metrics.jsonl")
    ]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
