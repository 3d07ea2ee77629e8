"""ReLoRA as the options ask for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from axolotl.config import Sections
from axolotl.core.console import note
from axolotl.models.adapters import with_own_base
from axolotl.models.load import weight_dtype
from axolotl.models.quantized import quantized_base
from axolotl.models.sources import base_folder
from axolotl.training.relora.relora import Relora


def loss_is_of(sections: Sections) -> dict[str, str]:
    """What the held-out loss of a run was measured on, where that is not the result.

    The merged weights of a quantised base are written to the disk layer by layer: as a whole they may
    not fit into memory, so the loss is not measured on them.

    Args:
        sections: The options.
    """
    if not sections.relora.relora_steps or quantized_base(sections) is None:
        return {}
    return {"eval_loss_of": "the quantised model with its adapter, not the merged result"}


def build_relora(sections: Sections, model: Any, tokenizer: Any, *, total: int) -> Relora | None:
    """What merges the adapter again and again; None without `relora_steps`.

    Args:
        sections: The options.
        model: The model, with its adapter.
        tokenizer: Saved with the result.
        total: Optimizer steps of the training.

    Raises:
        ModelError: the adapter cannot be merged, or the base's whole weights are not there.
    """
    every = sections.relora.relora_steps
    if not every:
        return None
    if every >= total:
        note(
            f"relora_steps: {every} is not reached, the training has {total} steps: the adapter is "
            "merged once, at the end"
        )
    source, saved = sections.model, sections.adapter.lora_model_dir

    def base() -> Path:
        return base_folder(with_own_base(source, Path(saved)) if saved else source)

    return Relora(
        model,
        sections.relora,
        seed=sections.training.seed,
        run_folder=Path(sections.saving.output_dir),
        base_folder=base,
        dtype=weight_dtype(sections.precision),
        tokenizer=tokenizer,
    )
