"""From one entry of `datasets` to its files: a file, a folder, a pattern, a saved dataset, a hub id.

A local path beats a hub id of the same name.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from axolotl.core.console import note_once
from axolotl.data.files import EXTENSIONS, KINDS, file_faults, open_file
from axolotl.data.hub import open_hub
from axolotl.data.rows import RowChunk
from axolotl.errors import DataError
from axolotl.registry import nearest

_SPLITS = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing", "eval", "evaluation"},
}
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_PACKED = (".gz", ".bz2", ".xz")


class Source(Protocol):
    """Rows in order, from one file or table."""

    @property
    def label(self) -> str:
        """Its name for messages."""
        ...

    @property
    def weight(self) -> float:
        """Its size in bytes, to share out a progress bar."""
        ...

    def identity(self) -> str:
        """Hash of its content."""
        ...

    def chunks(self, start_row: int = 0) -> Iterator[RowChunk]:
        """Its rows behind the first `start_row`, a bounded number at a time."""
        ...


def find_sources(
    path: str,
    *,
    key: str = "datasets",
    ds_type: str | None = None,
    data_files: str | Sequence[str] | None = None,
    data_dir: str | None = None,
    name: str | None = None,
    split: str = "train",
    revision: str | None = None,
    token: bool | None = None,
) -> list[Source]:
    """The files or the table that one entry of `datasets` stands for, in a fixed order.

    Args:
        path: File, folder, pattern, builder name (`json`, `csv`, …, with `data_files`), URL, or
            hub id.
        key: The key of the YAML file, for messages.
        ds_type: What the files are, where their names do not tell.
        data_files: Files or patterns within the folder or repository.
        data_dir: Folder within the folder or repository.
        name: Configuration of a hub dataset.
        split: The split to read, where there are several.
        revision: Revision of a hub dataset.
        token: Whether the hub gets the user's token; None leaves it to the library.

    Raises:
        DataError: nothing is there.
    """
    files = [data_files] if isinstance(data_files, str) else list(data_files or [])
    local = Path(path).expanduser()
    if "://" in path:
        kind = ds_type or EXTENSIONS.get(Path(path).suffix, "json")
        return [open_hub(kind, key=key, data_files=path, split="train")]
    if local.is_file():
        return [open_file(local, path, ds_type=ds_type)]
    if local.is_dir():
        folder = local / data_dir if data_dir else local
        found = _match(folder, files, key) if files else _folder(folder, split, key)
        return [open_file(file, str(file), ds_type=ds_type) for file in found]
    if path in KINDS and files:
        return [open_file(file, str(file), ds_type=path) for file in _match(Path(), files, key)]
    if glob.has_magic(path):
        return [open_file(f, str(f), ds_type=ds_type) for f in _match(Path(), [path], key)]
    if not _may_be_hub_id(path) or _near_name(local):
        raise DataError(f"no file or folder '{path}'", where=key, hint=_nearby(local))
    return [
        open_hub(
            path,
            key=key,
            name=name,
            split=split,
            revision=revision,
            data_files=files or None,
            data_dir=data_dir,
            token=token,
        )
    ]


def _match(folder: Path, patterns: Sequence[str], key: str) -> list[Path]:
    """Files that the patterns name, each pattern's sorted; none twice."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        whole = folder / Path(pattern).expanduser()
        names = glob.iglob(str(Path(pattern).expanduser()), root_dir=folder, recursive=True)  # noqa: PTH207  Path.glob takes no absolute pattern
        hits = (
            [whole] if whole.is_file() else sorted(f for n in names if (f := folder / n).is_file())
        )
        if not hits:
            raise DataError(f"no file '{whole}'", where=key, hint=_nearby(whole))
        found.update(dict.fromkeys(hits))
    return list(found)


def _folder(folder: Path, split: str, key: str) -> list[Path]:
    if (folder / "dataset_dict.json").is_file():
        with file_faults(str(folder)):
            splits = json.loads((folder / "dataset_dict.json").read_text("utf-8"))["splits"]
        if split not in splits:
            raise DataError(
                f"no split '{split}' in '{folder}'",
                where=key,
                hint=f"set train_on_split to one of: {', '.join(splits)}",
            )
        folder = folder / split
    if (folder / "state.json").is_file():
        with file_faults(str(folder)):
            state = json.loads((folder / "state.json").read_text("utf-8"))
        return [folder / entry["filename"] for entry in state["_data_files"]]
    files = sorted(file for file in folder.rglob("*") if _is_data(file, folder))
    if not files:
        raise DataError(
            f"no data files in the folder '{folder}'",
            where=key,
            hint=f"files end in {', '.join(EXTENSIONS)}; name others with data_files and ds_type",
        )
    return _of_split(files, folder, split, key)


def _is_data(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    if any(part.startswith((".", "_")) for part in parts) or file.name in _NOT_DATA:
        return False
    inner = file.with_suffix("") if file.suffix.lower() in _PACKED else file
    return inner.suffix.lower() in EXTENSIONS and file.is_file()


def _of_split(files: list[Path], folder: Path, split: str, key: str) -> list[Path]:
    """The files whose names say the split; all of them where no name says any."""
    words = {f: set(re.split(r"[^a-z0-9]+", str(f.relative_to(folder)).lower())) for f in files}
    known = set().union(*_SPLITS.values())
    if not any(words[file] & known for file in files):
        return files
    chosen = [file for file in files if words[file] & _SPLITS.get(split, {split.lower()})]
    if not chosen:
        raise DataError(
            f"no file of the split '{split}' in '{folder}'",
            where=key,
            hint=f"set train_on_split, or data_files; there are: {_few(files, folder)}",
        )
    left = [file for file in files if file not in chosen]
    if left:
        note_once(f"{folder}: split '{split}' alone is read; left out: {_few(left, folder)}")
    return chosen


def _few(files: Sequence[Path], folder: Path) -> str:
    names = [str(file.relative_to(folder)) for file in files[:6]]
    return ", ".join(names) + (", …" if len(files) > 6 else "")


def _may_be_hub_id(path: str) -> bool:
    """Whether `owner/name`, or `name` without a suffix, could be meant."""
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*|\w[\w-]*", path)) and Path(
        path
    ).suffix.lower() not in {*EXTENSIONS, *_PACKED}


def _near_name(missing: Path) -> str | None:
    folder = missing.parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    stems = {Path(name).stem: name for name in names}
    near_stem = nearest(missing.stem, stems)
    return nearest(missing.name, names) or (stems[near_stem] if near_stem else None)


def _nearby(missing: Path) -> str:
    folder = missing.parent
    if guess := _near_name(missing):
        return f"did you mean '{folder / guess}'?"
    if not folder.is_dir():
        return f"there is no folder '{folder}' either (from {Path.cwd()})"
    return f"the folder '{folder}' is there, but nothing of that name (from {Path.cwd()})"
