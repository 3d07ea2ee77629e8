"""What ReLoRA takes of the disk, told before the start."""

from __future__ import annotations

import shutil
from pathlib import Path

from axolotl.config import Sections
from axolotl.core.units import bytes_in_words
from axolotl.models.load import weight_dtype
from axolotl.models.quantized import quantized_base
from axolotl.models.weights import Weights
from axolotl.training.relora.writer import existing

_FP32 = 4


def disk_need(sections: Sections, weights: Weights, *, total: int) -> tuple[int, int]:
    """Copies of the merged weights that lie on the disk at once, at most, and all bytes with the result.

    Checkpoints of one cycle share a copy. A quantised base has the last copy and the one that is
    being written besides.

    Args:
        sections: The options.
        weights: What the model holds.
        total: Optimizer steps of the training.
    """
    every, saving = sections.relora.relora_steps, sections.saving
    assert every
    restarts = (total - 1) // every
    quantised = quantized_base(sections) is not None
    kept = restarts
    if saving.save_strategy == "no":
        kept = 0
    elif saving.save_total_limit:
        # The newest is written before the oldest is removed.
        kept = saving.save_total_limit + 1 + bool(sections.evaluation.load_best_model_at_end)
    copies = min(restarts, kept + 2 * quantised)
    count = weights.parameters - weights.trainable
    one = count * _FP32 if quantised else weights.frozen_bytes
    result = count * weight_dtype(sections.precision).itemsize if quantised else one
    return copies, copies * one + result


def disk_line(sections: Sections, weights: Weights, *, total: int) -> dict[str, str]:
    """The line of the table on it; none without ReLoRA.

    Args:
        sections: The options.
        weights: What the model holds.
        total: Optimizer steps of the training.
    """
    if not sections.relora.relora_steps:
        return {}
    copies, needed = disk_need(sections, weights, total=total)
    free = shutil.disk_usage(existing(Path(sections.saving.output_dir))).free
    what = f"{copies} copies of the merged weights and the result" if copies else "the result"
    short = "; warning: that is more than is free" if needed > free else ""
    return {
        "disk": f"up to {bytes_in_words(needed)} for {what}, {bytes_in_words(free)} are free{short}"
    }
