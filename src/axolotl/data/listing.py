"""Which files of a folder, a remote folder or an archive are data, and which of them are the split's.

Files are names relative to their folder, with `/` between the parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote

from axolotl.core.console import note_once
from axolotl.data.kinds import EXTENSIONS, inner_suffix
from axolotl.errors import DataError

_SPLITS = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing", "eval", "evaluation"},
}
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_PARTITION = re.compile(r"([^=/]+)=([^/]*)")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def data_names(names: Iterable[str], *, ds_type: str | None = None) -> list[str]:
    """The names of data files, sorted.

    Args:
        names: Names of all files.
        ds_type: What the user says that the files are: only those whose names agree are taken, or all
            where no name does.
    """
    shown = sorted(name for name in names if not _hidden(name))
    data = [name for name in shown if _is_data(name)]
    if ds_type is None:
        return data
    agree = [name for name in data if EXTENSIONS.get(inner_suffix(name)) == ds_type]
    return agree or [name for name in shown if name.rpartition("/")[2] not in _NOT_DATA]


def of_split(names: Sequence[str], split: str, *, folder: str, key: str) -> list[str]:
    """The files whose names say the split; all of them where no name says any.

    Args:
        names: Names of data files.
        split: The split to read.
        folder: Name of the folder, for messages.
        key: The key of the YAML file, for messages.

    Raises:
        DataError: no file is of the split.
    """
    chosen = [name for name in names if _says(name, split)]
    if not chosen:
        if any(_says(name, known) for name in names for known in _SPLITS):
            raise DataError(
                f"no file of the split '{split}' in '{folder}'",
                where=key,
                hint=f"set train_on_split, or data_files; there are: {few(names)}",
            )
        if split != "train":
            note_once(f"{folder}: no file says of which split it is; all are read as '{split}'")
        return list(names)
    left = [name for name in names if name not in chosen]
    if left:
        note_once(f"{folder}: split '{split}' alone is read; left out: {few(left)}")
    return chosen


def say_no_splits(label: str, name: str, split: str) -> None:
    """Say that a split was asked for of a single file; an archive may have some."""
    if split != "train" and not name.lower().endswith(".zip"):
        note_once(f"{label} has no splits: all of it is read as '{split}'")


def no_data(folder: str, key: str, names: Sequence[str] = ()) -> DataError:
    """What to say about a folder without data files."""
    there = f"; it has: {few(names)}" if names else ""
    return DataError(
        f"no data files in the folder '{folder}'{there}",
        where=key,
        hint=f"files end in {', '.join(EXTENSIONS)}; name others with data_files and ds_type",
    )


def few(names: Sequence[str]) -> str:
    """The first of some names."""
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def partitions(name: str) -> tuple[tuple[str, str | None], ...]:
    """Columns that the folders of a partitioned table name instead of its files.

    >>> partitions("lang=en/year=2023/part-0.parquet")
    (('lang', 'en'), ('year', '2023'))
    """
    found = [_PARTITION.fullmatch(part) for part in name.split("/")[:-1]]
    return tuple(
        (match[1], None if match[2] == _NO_VALUE else unquote(match[2])) for match in found if match
    )


def _says(name: str, split: str) -> bool:
    """Whether the name of a file says that it belongs to the split."""
    words = _words(name)
    return bool(words & _SPLITS[split]) if split in _SPLITS else _words(split) <= words


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.lower()))


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in name.split("/"))


def _is_data(name: str) -> bool:
    last = name.rpartition("/")[2].lower()
    if last in _NOT_DATA or (last.startswith("cache-") and last.endswith(".arrow")):
        return False
    return inner_suffix(name) in EXTENSIONS or last.endswith(".zip")
