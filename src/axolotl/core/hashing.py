"""Content hashes: the same bytes give the same name, on every machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO


def hash_file(path: Path) -> str:
    """SHA-256 of the bytes of one file, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hash_stream(stream)


def hash_stream(stream: BinaryIO) -> str:
    """SHA-256 of what is left of a stream, as hexadecimal digits."""
    digest = hashlib.sha256()
    while piece := stream.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def hash_text(text: str) -> str:
    """SHA-256 of `text` as UTF-8, as hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def hash_bytes(*pieces: bytes) -> str:
    """SHA-256 of some pieces of bytes and their sizes, as hexadecimal digits."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(len(piece).to_bytes(8, "little"))
        digest.update(piece)
    return digest.hexdigest()


def hash_values(values: Any) -> str:
    """SHA-256 of anything that JSON can hold, independent of the order of keys.

    >>> hash_values({"a": 1, "b": 2}) == hash_values({"b": 2, "a": 1})
    True
    """
    return hash_text(json.dumps(values, sort_keys=True, default=str))
