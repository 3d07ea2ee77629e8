"""Whole weights written as safetensors, a bounded part of them in memory; and folders shared by links."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from axolotl.core.atomic import disk_faults, write_json
from axolotl.core.units import bytes_in_words
from axolotl.errors import EnvironmentFault

SHARD_BYTES = 2 << 30
"""How large a file of weights becomes at most; so much is in memory before it is written."""


class ShardWriter:
    """Writes weights into a folder, file by file.

    Args:
        folder: An empty folder.
        shard_bytes: Size of a file at most, unless one weight alone is larger.
    """

    def __init__(self, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
        self.folder = folder
        self.shard_bytes = shard_bytes
        self._pending: dict[str, torch.Tensor] = {}
        self._written: list[list[str]] = []
        self._bytes = 0

    def add(self, name: str, value: torch.Tensor) -> None:
        """Take one weight; it must not change before the next call."""
        if self._pending and _size(self._pending) + value.nbytes > self.shard_bytes:
            self._flush()
        self._pending[name] = value.detach().cpu().contiguous()

    def finish(self) -> None:
        """Write the rest, name the files, and write an index if there are several."""
        self._flush()
        count = len(self._written)
        if count == 1:
            self._part(0).rename(self.folder / "model.safetensors")
            return
        places: dict[str, str] = {}
        for number, names in enumerate(self._written):
            file = f"model-{number + 1:05}-of-{count:05}.safetensors"
            self._part(number).rename(self.folder / file)
            places |= dict.fromkeys(names, file)
        index = {"metadata": {"total_size": self._bytes}, "weight_map": places}
        write_json(self.folder / "model.safetensors.index.json", index)

    def _flush(self) -> None:
        if self._pending:
            save_file(self._pending, self._part(len(self._written)), metadata={"format": "pt"})
            self._bytes += _size(self._pending)
            self._written.append(list(self._pending))
            self._pending = {}

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number}"


def _size(tensors: dict[str, torch.Tensor]) -> int:
    return sum(value.nbytes for value in tensors.values())


def write_settings(model: Any, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """The model's configuration, without a word of how its weights were held in training.

    Args:
        model: The base model.
        folder: Where its weights are.
        dtype: Theirs.
    """
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    if dtype is not None:
        config.dtype = dtype
    config.save_pretrained(folder)
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.save_pretrained(folder)


def existing(folder: Path) -> Path:
    """A folder, or the nearest above it that is there."""
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())


def bytes_of(state: Mapping[str, torch.Tensor]) -> int:
    """What weights take on the disk, shared ones once."""
    return sum({value.data_ptr(): value.nbytes for value in state.values()}.values())


def check_room(folder: Path, needed_bytes: int) -> None:
    """See that a long write will not end for want of room.

    Raises:
        EnvironmentFault: there is none.
    """
    free = shutil.disk_usage(existing(folder)).free
    if free < needed_bytes:
        raise EnvironmentFault(
            f"the merged weights need {bytes_in_words(needed_bytes)}, {bytes_in_words(free)} are free",
            where=str(folder),
            hint="free some space, or set a smaller save_total_limit; then go on with "
            "--auto_resume_from_checkpoints",
        )


def share(source: Path, target: Path) -> None:
    """Have the files of one folder in another as well, without a second copy where the disk can.

    Each folder keeps the files for itself: removing one takes nothing from the other.
    """
    with disk_faults(target):
        target.mkdir(parents=True)
        for file in source.iterdir():
            try:
                os.link(file, target / file.name)
            except OSError:  # another disk, or one without hard links
                shutil.copyfile(file, target / file.name)


def name_base(adapter: Path, base: Path) -> None:
    """Write into an adapter's settings on which weights it stands."""
    file = adapter / "adapter_config.json"
    settings = json.loads(file.read_text("utf-8"))
    write_json(file, {**settings, "base_model_name_or_path": str(base.absolute())})
