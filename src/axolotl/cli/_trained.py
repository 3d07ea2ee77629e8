"""What is said at the end of a training: what it came to, and where to go next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from axolotl.records import RunResult
    from axolotl.reports.curves import Curve

_OF_A_RESUME = ("--resume_from_checkpoint", "--auto_resume_from_checkpoints")


def say_trained(result: RunResult, arguments: Sequence[str], *, adapter: bool) -> None:
    """Print it.

    Args:
        result: What the training came to.
        arguments: The file and the overrides, as typed.
        adapter: Whether an adapter was trained, which can be merged.
    """
    from axolotl.core.console import note, print_pairs
    from axolotl.core.units import bytes_in_words
    from axolotl.reports.curves import read_curves

    figures = result.metrics
    evaluations = read_curves(result.output_dir / "metrics.jsonl").curve("eval_loss")
    print_pairs(
        "Stopped early" if result.interrupted else "Trained",
        {
            "steps": f"{result.steps:,}",
            "loss": f"{result.train_loss:.4f} in training{_held_out(result)}",
            **dict(_on_the_way(result, evaluations)),
            "speed": f"{figures['tokens_per_second']:,.0f} tokens per second",
            "time": f"{figures['seconds']:.0f} s",
            "peak memory": bytes_in_words(figures["peak_memory_bytes"]),
            "result": str(result.output_dir),
            "report": str(result.output_dir / "run.json"),
        },
    )
    typed = shlex.join(without_resume(arguments))
    if result.interrupted:
        note("go on with: --resume_from_checkpoint=true")
    elif typed and "-" not in arguments:  # what came from standard input cannot be read again
        ways = {"ask it": f"axolotl inference {typed}"}
        if adapter:
            ways["merge it"] = f"axolotl merge-lora {typed}"
        ways["look at it"] = f"axolotl report {shlex.quote(str(result.output_dir))}"
        print_pairs("Next", ways)


def _held_out(result: RunResult) -> str:
    """The loss on the held-out rows, and what it was measured on where that is not the result."""
    if result.eval_loss is None:
        return ""
    of = result.metrics.get("eval_loss_of")
    return f", {result.eval_loss:.4f} on held-out rows" + (f" (of {of})" if of else "")


def _on_the_way(result: RunResult, evaluations: Curve) -> Iterator[tuple[str, str]]:
    """How the loss on the held-out rows has changed, and where it was lowest."""
    if len(evaluations.steps) < 2 or evaluations.best is None:
        return
    first, last = evaluations.values[0], evaluations.values[-1]
    step, lowest = evaluations.best
    change = f"{first:.4f} at step {evaluations.steps[0]:,.0f} → {last:.4f}"
    if step != evaluations.steps[-1]:
        change += f"; lowest {lowest:.4f} at step {step:,.0f}"
    yield "held-out loss", change
    kept = result.metrics.get("checkpoint")
    if kept is not None:
        yield "best checkpoint", f"checkpoint-{kept}, which is the result"


def without_resume(arguments: Sequence[str]) -> list[str]:
    """The arguments without those that say where a training goes on from.

    >>> without_resume(["a.yml", "--resume_from_checkpoint", "out/checkpoint-2", "--lora_r=8"])
    ['a.yml', '--lora_r=8']
    >>> without_resume(["a.yml", "--auto_resume_from_checkpoints", "--resume_from_checkpoint=true"])
    ['a.yml']
    """
    kept: list[str] = []
    value_of_resume = False
    for argument in arguments:
        name, mark, _ = argument.replace("-", "_").partition("=")
        resumes = name in {option.replace("-", "_") for option in _OF_A_RESUME}
        if not resumes and not (value_of_resume and not argument.startswith("--")):
            kept.append(argument)
        value_of_resume = resumes and not mark
    return kept
