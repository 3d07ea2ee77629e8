"""Weights written as safetensors files of a size at most, one tensor in memory at a time.

What a file holds is known from the shapes before any tensor is there, so each is written to its
place as it comes, and is forgotten.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from axolotl.core.atomic import sync, write_json
from axolotl.errors import ConfigError

DEFAULT_SHARD = "5GB"
WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True)
class Entry:
    """A tensor that will be written.

    Args:
        name: Its name in the file.
        shape: Its shape.
        dtype: Its dtype.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size_bytes(self) -> int:
        """What its numbers take."""
        return math.prod(self.shape) * self.dtype.itemsize


def shard_bytes(text: str) -> int:
    """A size such as `5GB` or `500MiB` in bytes.

    >>> shard_bytes("2.5MB")
    2500000

    Raises:
        ConfigError: it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    unit = _UNITS.get(match[2].upper()) if match else None
    size = int(float(match[1]) * unit) if match and unit else 0
    if size <= 0:
        raise ConfigError(
            "max_shard_size",
            f"'{text}' is no size",
            where="--max_shard_size",
            hint="write it as 5GB, 500MB or 2GiB",
        )
    return size


def split(entries: Iterable[Entry], max_bytes: int) -> list[list[Entry]]:
    """Deal tensors out to files, in their order; a larger one gets a file of its own."""
    files: list[list[Entry]] = []
    taken = 0
    for entry in entries:
        if not files or taken + entry.size_bytes > max_bytes:
            files.append([])
            taken = 0
        files[-1].append(entry)
        taken += entry.size_bytes
    return files


class ShardFiles:
    """Safetensors files that are filled tensor by tensor, in any order.

    Args:
        folder: An empty folder.
        entries: All that will be written.
        max_bytes: Size of a file at most, unless one tensor alone is larger.
    """

    def __init__(self, folder: Path, entries: Sequence[Entry], *, max_bytes: int) -> None:
        self.folder = folder
        files = split(entries, max_bytes)
        self.names = [
            WHOLE if len(files) == 1 else f"model-{number:05}-of-{len(files):05}.safetensors"
            for number in range(1, len(files) + 1)
        ]
        self._places: dict[str, tuple[str, int, Entry]] = {}
        self._left = {entry.name: entry.size_bytes for entry in entries}
        self._open: tuple[str, IO[bytes]] | None = None
        for name, held in zip(self.names, files, strict=True):
            self._begin(name, held)

    def put(self, name: str, tensor: Tensor, first: int = 0) -> None:
        """Write a tensor, or some of its rows; they have the shape and dtype that were told of them.

        Args:
            name: Its name.
            tensor: It or the rows.
            first: Which row is the first of them; each must come once.
        """
        file, offset, entry = self._places[name]
        found = Entry(name, tuple(tensor.shape), tensor.dtype)
        rows = (*tensor.shape[:1], *entry.shape[1:])
        fits = found == Entry(name, rows, entry.dtype) and first + sum(rows[:1]) <= sum(
            entry.shape[:1]
        )
        assert fits, f"{found} was announced as {entry}"
        out = self._file(file)
        out.seek(offset + first * (entry.size_bytes // max(1, sum(entry.shape[:1]))))
        if found.size_bytes:
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            out.write(flat.view(torch.uint8).numpy().data)
        self._left[name] -= found.size_bytes

    def finish(self) -> None:
        """See that all is there, and write the index where there are several files."""
        self.close()
        left = [name for name, size_bytes in self._left.items() if size_bytes]
        assert not left, f"never written as a whole: {left[:3]}"
        if len(self.names) > 1:
            total = sum(entry.size_bytes for _, _, entry in self._places.values())
            where = {name: file for name, (file, _, _) in self._places.items()}
            index = {"metadata": {"total_size": total}, "weight_map": where}
            write_json(self.folder / INDEX, index)

    def close(self) -> None:
        """Let go of the file that was written to last."""
        if self._open:
            sync(self._open[1])
            self._open[1].close()
            self._open = None

    def _begin(self, file: str, held: Sequence[Entry]) -> None:
        """Write the head of a file and note the place of each of its tensors."""
        head, starts = _head(held)
        with (self.folder / file).open("wb") as out:
            out.write(head)
            out.truncate(len(head) + sum(entry.size_bytes for entry in held))
        for entry in held:
            self._places[entry.name] = (file, len(head) + starts[entry.name], entry)

    def _file(self, name: str) -> IO[bytes]:
        if self._open is None or self._open[0] != name:
            self.close()
            self._open = (name, (self.folder / name).open("r+b"))
        return self._open[1]


def _head(held: Sequence[Entry]) -> tuple[bytes, Mapping[str, int]]:
    """The beginning of a safetensors file, and where in the rest each tensor starts.

    It is eight bytes with its length, little-endian, and JSON, filled up so that numbers lie aligned.
    """
    content: dict[str, object] = {"__metadata__": {"format": "pt"}}
    starts: dict[str, int] = {}
    at = 0
    # Alignment: the wider numbers come first, as safetensors itself writes them.
    for entry in sorted(held, key=lambda entry: -entry.dtype.itemsize):
        starts[entry.name] = at
        content[entry.name] = {
            "dtype": _CODES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [at, at := at + entry.size_bytes],
        }
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, starts
