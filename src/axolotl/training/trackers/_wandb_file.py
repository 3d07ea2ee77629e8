"""What an offline run of wandb has on the disk; its package has no reader of its own files.

The file is a log of pieces in blocks of 32 KiB, each with its length and whether it begins, goes on
or ends a record; a record is a message of the package's own protocol.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MAGIC = b":W&B"
_FILE_HEADER = 7
_BLOCK = 1 << 15
_PIECE = struct.Struct("<IHB")
_WHOLE, _BEGINS, _GOES_ON, _ENDS = 1, 2, 3, 4


def records(file: Path) -> Iterator[Any]:
    """The records of a file, as far as they are whole.

    Args:
        file: `run-ID.wandb`.

    Raises:
        ValueError: it is no such file.
    """
    from google.protobuf.message import DecodeError
    from wandb.proto import wandb_internal_pb2

    for data in _pieces(file.read_bytes()):
        record: Any = wandb_internal_pb2.Record()  # pyright: ignore[reportAttributeAccessIssue]
        try:
            record.ParseFromString(data)
        except DecodeError as error:
            raise ValueError(f"{file} holds what is no record: {error}") from error
        yield record


def last_step(folder: Path) -> int:
    """The last step that a run's folder has numbers of; -1 where it has none or cannot be read."""
    try:
        return max(
            (r.history.step.num for f in folder.glob("run-*.wandb") for r in records(f)),
            default=-1,
        )
    except (ValueError, ImportError):
        return -1


def _pieces(data: bytes) -> Iterator[bytes]:
    if data[: len(_MAGIC)] != _MAGIC:
        raise ValueError("no file of wandb")
    place, whole = _FILE_HEADER, b""
    while place + _PIECE.size <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < _PIECE.size:
            place += left
            continue
        _, size, kind = _PIECE.unpack_from(data, place)
        place += _PIECE.size
        if kind not in (_WHOLE, _BEGINS, _GOES_ON, _ENDS) or place + size > len(data):
            return
        whole = (b"" if kind in (_WHOLE, _BEGINS) else whole) + data[place : place + size]
        place += size
        if kind in (_WHOLE, _ENDS):
            yield whole
