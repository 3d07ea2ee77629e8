"""Which model answers: what was trained, its base, the merged one, or one that the user names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from axolotl.artifacts.run_folder import read_run
from axolotl.artifacts.trained import MERGE_FILE, MERGED, Trained, find_full, find_trained
from axolotl.core.console import note_once
from axolotl.models.quantized import Quantized, gptq_base, quantized_base

if TYPE_CHECKING:
    from axolotl.resolve import Resolved

_TYPED = "--base_model"
_FEWER_BITS = ("load_in_8bit", "load_in_4bit")


def find_answering(resolved: Resolved, *, base: bool, merged: bool) -> Trained:
    """Find the model that is to answer.

    Args:
        resolved: The configuration.
        base: Take the base model without what was trained.
        merged: Take the merged model in `output_dir/merged`.

    Raises:
        ModelError: nothing of that kind is there.
    """
    output_dir = Path(resolved.saving.output_dir)
    if base:
        return Trained(resolved.model)
    if merged:
        return find_full(resolved.model, output_dir / MERGED)
    if resolved.origin("base_model") == _TYPED and (named := _named(resolved)) is not None:
        return named
    return find_trained(resolved.model, resolved.adapter, output_dir=output_dir)


def _named(resolved: Resolved) -> Trained | None:
    """The whole model that `--base_model` names; None where it is a base for an adapter."""
    name = resolved.model.base_model
    folder = Path(name)
    adapted = resolved.adapter.adapter is not None or resolved.adapter.lora_model_dir is not None
    is_folder = (folder / "config.json").is_file()
    made_here = is_folder and ((folder / MERGE_FILE).is_file() or read_run(folder) is not None)
    if resolved.adapter.lora_model_dir is not None or (adapted and not made_here):
        return None
    if adapted:
        note_once(f"'{name}' is a whole model, so it answers by itself, without an adapter")
    if not is_folder:
        return Trained(resolved.model)
    return find_full(resolved.model, folder, key="base_model")


def bits_of(resolved: Resolved, found: Trained, *, base: bool) -> Quantized | None:
    """In how many bits its weights are held.

    What the file says of that is about the base model in training. A whole model that was trained or
    merged is held so only where the command line asks for it.
    """
    typed = any(resolved.origin(key) == f"--{key}" for key in _FEWER_BITS)
    if base or found.adapter or typed:
        return quantized_base(resolved)
    return gptq_base(resolved, found.model)
