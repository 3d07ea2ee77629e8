"""Which model answers: what was trained, its base, the merged one, or one that the user names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from axolotl.artifacts.format_record import trained_format
from axolotl.artifacts.run_folder import read_run
from axolotl.artifacts.trained import MERGE_FILE, MERGED, Trained, find_full, find_trained
from axolotl.core.console import note_once
from axolotl.core.hashing import hash_file, hash_values
from axolotl.errors import located
from axolotl.models.quantized import Quantized, gptq_base, quantized_base
from axolotl.models.sources import local_source

if TYPE_CHECKING:
    from axolotl.resolve import Resolved

_TYPED = "--base_model"
_CONFIG = "config.json"
_WEIGHTS = (".safetensors", ".bin", ".gguf")
_DIGITS = 16
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
    found = _find(resolved, base=base, merged=merged)
    if found.model.base_model == resolved.model.base_model:
        with located(resolved.origin("base_model")):
            local_source(found.model.base_model)
    return found


def _find(resolved: Resolved, *, base: bool, merged: bool) -> Trained:
    output_dir = Path(resolved.saving.output_dir)
    if base:
        return Trained(resolved.model)
    if merged:
        return find_full(resolved.model, output_dir / MERGED, key="--merged")
    if names_whole(resolved):
        return _named(resolved)
    return find_trained(resolved.model, resolved.adapter, output_dir=output_dir)


def names_whole(resolved: Resolved) -> bool:
    """Whether `--base_model` names a model that answers by itself, and not a base for an adapter."""
    adapter = resolved.adapter
    if resolved.origin("base_model") != _TYPED or adapter.lora_model_dir is not None:
        return False
    folder = Path(resolved.model.base_model)
    is_folder = (folder / _CONFIG).is_file()
    made_here = is_folder and (
        (folder / MERGE_FILE).is_file()
        or read_run(folder) is not None
        or trained_format(folder) is not None
    )
    return adapter.adapter is None or made_here


def _named(resolved: Resolved) -> Trained:
    """The whole model that `--base_model` names."""
    name = resolved.model.base_model
    if resolved.adapter.adapter is not None:
        note_once(f"'{name}' is a whole model, so it answers by itself, without an adapter")
    if not (Path(name) / _CONFIG).is_file():
        return Trained(resolved.model)
    return find_full(resolved.model, Path(name), key="base_model")


def weights_of(found: Trained) -> str:
    """Which weights a model has at present: another text once it was trained or merged anew.

    That is when its run ended and what its merge said of itself; of a folder without either, the
    sizes and times of its files. Of a model of the hub, its revision.
    """
    folder = found.adapter or Path(found.model.base_model)
    known = [f"trained {found.run['finished']}"] if found.run and "finished" in found.run else []
    if (folder / MERGE_FILE).is_file():
        known.append(f"merged {hash_file(folder / MERGE_FILE)[:_DIGITS]}")
    if not known and folder.is_dir():
        files = sorted(f for f in folder.iterdir() if f.suffix in _WEIGHTS and f.is_file())
        facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        known.append(f"files {hash_values(facts)[:_DIGITS]}")
    base = [f"on {found.model.base_model}"] if found.adapter else []
    revision = [f"revision {found.model.model_revision}"] if found.model.model_revision else []
    return ", ".join([*known, *base, *revision])


def bits_of(resolved: Resolved, found: Trained, *, base: bool) -> Quantized | None:
    """In how many bits its weights are held.

    What the file says of that is about the base model in training. A whole model that was trained or
    merged is held so only where the command line asks for it.
    """
    typed = any(resolved.origin(key) == f"--{key}" for key in _FEWER_BITS)
    if base or found.adapter or typed:
        return quantized_base(resolved)
    return gptq_base(resolved, found.model)
