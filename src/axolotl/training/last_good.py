"""What can be gone on from, and what to change, where a run has ended because of a fault."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from axolotl.config import Sections
from axolotl.errors import EnvironmentFault
from axolotl.training.callbacks.metrics import read_metrics
from axolotl.training.checkpoint_files import damage, step_of
from axolotl.training.checkpoints import list_checkpoints
from axolotl.training.divergence import Diverged


@contextmanager
def naming_last_checkpoint(options: Sections) -> Iterator[None]:
    """Say what can be gone on from, where a run ends because it diverged or the disk failed.

    Args:
        options: The configuration of the run.
    """
    run_folder = Path(options.saving.output_dir)
    try:
        yield
    except Diverged as error:
        error.hint = f"{_way_out(error, options)}; {_before(run_folder, error.good_until)}"
        raise
    except EnvironmentFault as error:
        whole = list(_whole(run_folder))
        said = f"{whole[-1]} is whole" if whole else "there is no checkpoint yet"
        error.hint = f"{error.hint}; {said}" if error.hint else said
        raise


def _way_out(error: Diverged, options: Sections) -> str:
    """What of the file may have led to this."""
    precision = options.precision
    tries = [*([error.first] if error.first else []), "lower learning_rate", "warm up longer"]
    if not options.optimizer.max_grad_norm:
        tries.append("set max_grad_norm")
    if precision.float16:
        tries.append("write bfloat16 instead of float16, in which small numbers are 0")
    elif precision.fp16:
        tries.append("write bf16 instead of fp16")
    *others, last = tries
    return f"{', '.join(others)}, or {last}"


def _before(run_folder: Path, until: int) -> str:
    """The checkpoint to go on from after a divergence: that of the lowest held-out loss.

    Where none has been evaluated it is the newest; a held-out loss that is no number rules out.
    """
    losses = _held_out_losses(run_folder)
    whole = list(_whole(run_folder))
    good = [path for path in whole if step_of(path) <= until]
    good = [path for path in good if math.isfinite(losses.get(step_of(path), 0.0))]
    evaluated = [path for path in good if step_of(path) in losses]
    if evaluated:
        best = min(reversed(evaluated), key=lambda path: losses[step_of(path)])
        step = step_of(best)
        return (
            f"{best} is whole: it has the lowest held-out loss, {losses[step]:.4f} at step {step}"
        )
    if good:
        return f"{good[-1]} is whole, of step {step_of(good[-1])}"
    if whole:
        names = ", ".join(path.name for path in whole)
        return f"there is no checkpoint of before this began: {names} would lead here again"
    return "there is no checkpoint yet"


def _whole(run_folder: Path) -> Iterator[Path]:
    return (path for path in list_checkpoints(run_folder) if damage(path) is None)


def _held_out_losses(run_folder: Path) -> Mapping[int, float]:
    """The held-out loss at each step that has one; NaN where it was no number."""
    lines = read_metrics(run_folder / "metrics.jsonl")
    found = {line["step"]: line["eval_loss"] for line in lines if "eval_loss" in line}
    return {step: math.nan if loss is None else loss for step, loss in found.items()}
