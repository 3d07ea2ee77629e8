"""By what the weights that a run starts from are known again, without reading all of them.

Of a large file the table of its tensors is read, and a piece out of each of them: a model of 140 GB
is a few thousand short reads in files that were loaded just before. A training moves all of a tensor
that it moves at all, so that a piece shows it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from axolotl.core.hashing import hash_file, hash_values
from axolotl.models.sources import local_source

_READ_WHOLE = 16 << 20
_PIECE = 256
_MOST_PIECES = 4096
"""For each file."""
_LONGEST_TABLE = 100_000_000
"""The format's own limit; longer is no safetensors file."""
_KINDS = ("*.safetensors", "*.bin")
_NOT_SAID = ("transformers_version", "_name_or_path")


def base_mark(base_model: str, revision: str | None) -> dict[str, str]:
    """By what the weights of a base model are known: name → mark.

    Args:
        base_model: As the file names it.
        revision: Branch, tag or commit of a hub repository.

    Returns:
        For a folder, also one made of a `.gguf` file, a mark of each file of weights and of
        `config.json`; for a hub id the commit; nothing where the cache does not know it.
    """
    source = local_source(base_model)
    if Path(source).is_dir():
        return folder_mark(Path(source))
    commit = _commit(source, revision)
    return {"commit": commit} if commit else {}


def folder_mark(folder: Path) -> dict[str, str]:
    """Name → mark of the files of a model in a folder."""
    kinds = next((found for kind in _KINDS if (found := sorted(folder.glob(kind)))), [])
    marks = {file.name: file_mark(file) for file in kinds}
    config = folder / "config.json"
    return {**({config.name: _config_mark(config)} if config.is_file() else {}), **marks}


def adapter_mark(folder: str) -> dict[str, str]:
    """Name → hash of the weights of a saved adapter, which are few, and of their settings."""
    names = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
    files = [Path(folder).expanduser() / name for name in names]
    return {file.name: hash_file(file) for file in files if file.is_file()}


def file_mark(file: Path) -> str:
    """A hash of a small file; of a large one of its size, its table and a piece of each tensor."""
    size = file.stat().st_size
    if size <= _READ_WHOLE:
        return hash_file(file)[:32]
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as stream:
        table = _table(stream) if file.suffix == ".safetensors" else b""
        digest.update(table)
        for at in _places(table, size):
            stream.seek(at)
            digest.update(stream.read(_PIECE))
    return digest.hexdigest()[:32]


def _table(stream: BinaryIO) -> bytes:
    """The table of contents of a safetensors file; nothing where there is none."""
    length = int.from_bytes(stream.read(8), "little")
    return stream.read(length) if length <= _LONGEST_TABLE else b""


def _places(table: bytes, size: int) -> list[int]:
    """Where a piece is read: in the middle of each tensor, or evenly over a file without a table."""
    begin = 8 + len(table)
    try:
        entries: Mapping[str, Any] = json.loads(table) if table else {}
        ends = [entry["data_offsets"] for name, entry in entries.items() if name != "__metadata__"]
        places = sorted(begin + max(a, (a + b - _PIECE) // 2) for a, b in ends)
    except (ValueError, LookupError, TypeError):  # loading it says what is wrong with it
        places = []
    if not places:
        places = [at * (size - _PIECE) // _MOST_PIECES for at in range(_MOST_PIECES + 1)]
    return places[:: -(-len(places) // _MOST_PIECES)]


def _config_mark(file: Path) -> str:
    try:
        content = json.loads(file.read_text("utf-8"))
    except ValueError:
        return hash_file(file)[:32]
    return hash_values({k: v for k, v in content.items() if k not in _NOT_SAID})[:32]


def _commit(name: str, revision: str | None) -> str | None:
    """The commit of a hub repository that the cache holds; its folder is called after it."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(found).parent.name if isinstance(found, str) else None
