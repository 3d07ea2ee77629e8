"""What a checkpoint consists of, whether all of it is there, and how it is loaded."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from axolotl.errors import ModelError
from axolotl.models.adapters.saved import RELORA_BASE
from axolotl.training.distributed.deepspeed import ZERO, damaged_zero
from axolotl.training.distributed.shards import MODEL_SHARDS, OPTIMIZER_SHARDS, damaged_shards

STATE_FILE = "trainer_state.json"
_PICKLED = ("optimizer.pt", "scheduler.pt")
_WEIGHTS = ("adapter_model.safetensors", "model.safetensors")
_INDEX = "model.safetensors.index.json"
_LOAD_ERRORS = (
    *(RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError, OSError),
    *(SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile),
)
"""What torch, safetensors, peft and transformers raise for files that are broken or do not fit."""


def damage(folder: Path) -> str | None:
    """The first file of a checkpoint that is missing or cut short, and why; None if it is whole.

    Reads the ends and the tables of contents, not all the bytes.
    """
    state = _json(folder / STATE_FILE)
    if isinstance(state, str):
        return state
    if not isinstance(state.get("global_step"), int):
        return f"{STATE_FILE} does not say at which step it was written"
    random = sorted(path.name for path in folder.glob("rng_state*.pth")) or ["rng_state.pth"]
    in_parts = [folder / name for name in (MODEL_SHARDS, OPTIMIZER_SHARDS)]
    sharded = in_parts[0].is_dir()
    elsewhere = sharded or (folder / ZERO).is_file()  # states of the optimizer
    for name in (*(_PICKLED[1:] if elsewhere else _PICKLED), *random):
        if not (folder / name).is_file():
            return f"{name} is missing"
        if not zipfile.is_zipfile(folder / name):
            return f"{name} is damaged"
    if sharded:
        return next((bad for part in in_parts if (bad := damaged_shards(part))), None)
    if (bad := damaged_zero(folder)) is not None:
        return bad
    below = [folder / RELORA_BASE] if (folder / RELORA_BASE).is_dir() else []
    return next((bad for place in (folder, *below) if (bad := _bad_place(place))), None)


def step_of(folder: Path) -> int:
    """The optimizer steps that a whole checkpoint has behind it."""
    return int(json.loads((folder / STATE_FILE).read_text("utf-8"))["global_step"])


@contextmanager
def loading(folder: Path | str | None) -> Iterator[None]:
    """Turn what the libraries raise while loading a checkpoint into one message.

    Raises:
        ModelError: the checkpoint is damaged or of another model.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _LOAD_ERRORS as error:
        first_lines = " ".join(str(error).split())[:300]
        raise ModelError(
            f"the checkpoint '{folder}' does not load: {first_lines or type(error).__name__}",
            where="resume_from_checkpoint",
            hint="it is damaged, or was written with another base_model or other adapter options: "
            "name another checkpoint, or leave it out to start anew",
        ) from error


def _weights(folder: Path) -> list[str] | str:
    """Names of the weight files, or what is wrong."""
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return [name]
    if not (folder / _INDEX).is_file():
        return f"neither {' nor '.join(_WEIGHTS)} is there"
    index = _json(folder / _INDEX)
    if isinstance(index, str):
        return index
    shards = index.get("weight_map")
    return sorted(set(shards.values())) if isinstance(shards, dict) else f"{_INDEX} is damaged"


def _bad_place(folder: Path) -> str | None:
    """What is wrong with the weights in a folder."""
    weights = _weights(folder)
    if isinstance(weights, str):
        return f"in {folder.name}, {weights}" if folder.name == RELORA_BASE else weights
    return next((bad for name in weights if (bad := _bad_weights(folder / name))), None)


def _bad_weights(file: Path) -> str | None:
    if not file.is_file():
        return f"{file.name} is missing"
    try:
        with safe_open(file, framework="numpy"):
            return None
    except (SafetensorError, OSError) as error:
        return f"{file.name} is damaged ({error})"


def _json(file: Path) -> dict[str, Any] | str:
    """The object in a JSON file, or what is wrong with the file."""
    if not file.is_file():
        return f"{file.name} is missing"
    try:
        content = json.loads(file.read_text("utf-8"))
    except (ValueError, OSError) as error:
        return f"{file.name} is damaged ({error})"
    return content if isinstance(content, dict) else f"{file.name} is damaged (no object)"
