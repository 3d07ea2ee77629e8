"""Checkpoints of which each process writes its part: safetensors, and no part is gathered.

torch's distributed checkpoints know where in the whole each part belongs, so another number of
processes can read them. Its own format keeps that in a pickle; the one used here, beside the tensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

MODEL_SHARDS, OPTIMIZER_SHARDS = "model_shards", "optimizer_shards"
_REST = "rest.json"


def write_shards(state: Mapping[str, Any], folder: Path) -> None:
    """Write the tensors of a flat state, each process its parts; what is no tensor, the first one.

    Args:
        state: Name → a tensor, whole or in parts, or a plain value; the same names on every process.
        folder: Where to; made anew.
    """
    tensors, rest = _split(state)
    folder.mkdir(parents=True, exist_ok=True)
    save(
        tensors,
        storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
    )
    if dist.get_rank() == 0:
        (folder / _REST).write_text(json.dumps(rest), encoding="utf-8")


def read_shards(state: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The state in a folder, in the parts in which `state` is; its tensors are overwritten."""
    tensors, _ = _split(state)
    load(tensors, storage_reader=HuggingFaceStorageReader(str(folder)))
    found = {name: value.reshape(state[name].shape) for name, value in tensors.items()}
    return {**found, **json.loads((folder / _REST).read_text("utf-8"))}


def names_in(folder: Path) -> set[str]:
    """The names of all tensors in a folder."""
    found: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as opened:
            found |= set(opened.keys())
    return found


def damaged_shards(folder: Path) -> str | None:
    """The first file that is missing or cut short; None where all is there."""
    files = sorted(folder.glob("*.safetensors"))
    if not files or not (folder / _REST).is_file():
        return f"{folder.name} is not whole"
    for file in files:
        try:
            with safe_open(file, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            return f"{folder.name}/{file.name} is damaged ({error})"
    return None


def _split(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    # A safetensors file has no scalars of this kind; one number is as good.
    tensors = {
        name: value.reshape(1) if value.dim() == 0 else value for name, value in tensors.items()
    }
    return tensors, {name: value for name, value in state.items() if name not in tensors}
