"""Whole weights on disk: read one at a time, whatever files they are in."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from axolotl.errors import ModelError
from axolotl.models.sources import first_line

_SAFE, _BIN = "model.safetensors", "pytorch_model.bin"
_READ_ERRORS = (
    *(SafetensorError, OSError, RuntimeError, ValueError, LookupError, TypeError),
    pickle.UnpicklingError,
)
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class WeightFiles:
    """The weights in the folder of a model: safetensors, or else pickled ones read as weights only.

    Args:
        folder: Holds `model.safetensors`, `pytorch_model.bin`, or the index of several of a kind.
        where: The option that the folder comes from, for messages.

    Raises:
        ModelError: no such files, or damaged ones.
    """

    def __init__(self, folder: Path, *, where: str = "base_model") -> None:
        self.folder = folder
        self.where = where
        self._open: tuple[Path, Any] | None = None
        self._files = self._listed()
        self.shapes = {name: self._shape(name) for name in self._files}
        """Shape of every weight, in the order of the files."""

    def find(self, name: str, *, prefix: str = "") -> str | None:
        """The name here of a weight of the model; None if it is not here.

        Args:
            name: Its name in the loaded model.
            prefix: What files of the bare model without a head leave out of the names.
        """
        short = name.removeprefix(f"{prefix}.")
        names = (name, short, f"{prefix}.{short}")
        return next((n for n in names if n in self._files), None)

    def read(self, name: str) -> torch.Tensor:
        """One weight, on the CPU.

        Raises:
            ModelError: the file is damaged.
        """
        with self._readable(self._files[name]):
            source = self._source(self._files[name])
            return source[name] if isinstance(source, dict) else source.get_tensor(name)

    def dtype(self, name: str) -> torch.dtype:
        """Its dtype."""
        with self._readable(self._files[name]):
            source = self._source(self._files[name])
            if isinstance(source, dict):
                return source[name].dtype
            # None of a tensor is read to learn its dtype; a single number cannot be cut.
            whole = not self.shapes[name]
            return source.get_tensor(name).dtype if whole else source.get_slice(name)[:0].dtype

    def close(self) -> None:
        """Let go of the file that was read last."""
        self._open = None

    def _listed(self) -> dict[str, Path]:
        for name in (_SAFE, _BIN):
            index = self.folder / f"{name}.index.json"
            if (self.folder / name).is_file():
                with self._readable(self.folder / name):
                    source = self._source(self.folder / name)
                    return dict.fromkeys(source.keys(), self.folder / name)
            if index.is_file():
                with self._readable(index):
                    names = json.loads(index.read_text("utf-8"))["weight_map"]
                    ordered = sorted(names.items(), key=lambda item: item[1])
                    return {key: self.folder / file for key, file in ordered}
        raise ModelError(
            f"'{self.folder}' holds neither {_SAFE} nor {_BIN}",
            where=self.where,
            hint="ReLoRA needs the weights of the base model in one of these forms",
        )

    def _shape(self, name: str) -> tuple[int, ...]:
        with self._readable(self._files[name]):
            source = self._source(self._files[name])
            if isinstance(source, dict):
                return tuple(source[name].shape)
            return tuple(source.get_slice(name).get_shape())

    def _source(self, file: Path) -> Any:
        """The open file; one at a time, none of it in memory before it is asked for."""
        if self._open is None or self._open[0] != file:
            self._open = None
            source = (
                torch.load(file, map_location="cpu", weights_only=True, mmap=True)
                if file.suffix == ".bin"
                else safe_open(file, framework="pt")
            )
            self._open = (file, source)
        return self._open[1]

    @contextmanager
    def _readable(self, file: Path) -> Iterator[None]:
        """Turn what the libraries raise for a damaged file into one message."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except _READ_ERRORS as error:
            raise ModelError(
                f"'{file}' cannot be read: {first_line(error)}",
                where=self.where,
                hint="it is damaged or missing: fetch it again, or go on from another checkpoint",
            ) from error


def check_whole(files: WeightFiles, shapes: dict[str, tuple[int, ...]], *, prefix: str) -> None:
    """See that weights are there in full precision, before a training that will need them.

    Args:
        files: Where they are to be.
        shapes: Names and shapes of them.
        prefix: See `WeightFiles.find`.

    Raises:
        ModelError: names the first that is not.
    """
    for name, shape in shapes.items():
        found = files.find(name, prefix=prefix)
        if found is None or files.shapes[found] != shape or files.dtype(found) not in _FLOATS:
            there = (
                f"of shape {files.shapes[found]} and {files.dtype(found)}" if found else "missing"
            )
            raise ModelError(
                f"ReLoRA needs '{name}' in full precision, and in '{files.folder}' it is {there}",
                where=files.where,
                hint="name a base model that is not quantised itself, in today's file layout, or "
                "remove relora_steps",
            )
