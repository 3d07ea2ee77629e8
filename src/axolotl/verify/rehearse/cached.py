"""Rows of hub data sets that the library has prepared on this machine; its cache is only read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from axolotl.config.sources import DatasetSource
from axolotl.errors import DataError

ROWS_AT_ONCE = 32


def cache_of_user() -> Path:
    """Folder of the prepared data sets of whoever asks for the rehearsal; loads no `datasets`.

    The stages have a cache of their own, so that they write to no other; they are told this one.
    """
    from huggingface_hub import constants

    named = os.environ.get("HF_DATASETS_CACHE")
    return Path(named or Path(constants.HF_HOME) / "datasets").expanduser()


def prepared_rows(entry: DatasetSource, cache: Path) -> Iterator[Mapping[str, Any]]:
    """Rows of a hub data set that is in the cache.

    Args:
        entry: The data set; of several names in it, the rows of each are given.
        cache: The folder of the cache.

    Raises:
        DataError: it is not in the cache, or not in that configuration, revision or split.
    """
    import pyarrow as pa

    names = entry.name if isinstance(entry.name, list) else [entry.name]
    files = [file for name in names for file in _files(entry, name, cache)]
    for file in files:
        with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as stream:
            for batch in stream:
                yield from batch.slice(0, ROWS_AT_ONCE).to_pylist()


def folder_name(path: str) -> str:
    """How the cache calls a data set: capitals become small ones behind a line.

    >>> folder_name("Open-Orca/OpenOrca"), folder_name("tatsu-lab/alpaca"), folder_name("me/SQLPairs")
    ('Open-Orca___open_orca', 'tatsu-lab___alpaca', 'me___sql_pairs')
    """
    owner, line, name = path.rpartition("/")
    name = re.sub(r"([A-Z]+)(?=[A-Z][a-z])", r"\1_", name)
    name = re.sub(r"([a-z\d])(?=[A-Z])", r"\1_", name).lower()
    return f"{owner}___{name}" if line else name


def _files(entry: DatasetSource, name: str | None, cache: Path) -> list[Path]:
    """The Arrow files of a split, of the preparation that was made last."""
    prepared = [path for path in cache.glob(f"{folder_name(entry.path)}/*/*/*") if _is_whole(path)]
    if not prepared:
        raise DataError(f"'{entry.path}' is not on this machine")
    of_name = _of_configuration(prepared, entry, name)
    if not of_name:
        wanted = f"its configuration '{name}'" if name else "a configuration to take"
        raise DataError(f"'{entry.path}' is on this machine, but not {wanted}")
    wanted = _commit(entry.revision)
    of_revision = [path for path in of_name if wanted is None or path.name.startswith(wanted)]
    if not of_revision:
        raise DataError(f"'{entry.path}' is on this machine, but not its revision {wanted}")
    folder = max(of_revision, key=lambda path: path.stat().st_mtime)
    split = entry.train_on_split.partition("[")[0].partition("+")[0]
    form = re.compile(rf".+-{re.escape(split)}(-\d+-of-\d+)?\.arrow")
    files = sorted(file for file in folder.glob("*.arrow") if form.fullmatch(file.name))
    if not files:
        raise DataError(f"'{entry.path}' is on this machine, but not its split '{split}'")
    return files


def _is_whole(folder: Path) -> bool:
    """Whether it was prepared to its end."""
    return not folder.name.endswith("incomplete") and (folder / "dataset_info.json").is_file()


def _of_configuration(prepared: list[Path], entry: DatasetSource, name: str | None) -> list[Path]:
    """Those of a configuration: the one that is named, else the default or the only one.

    Files or a folder that the entry chooses are behind the name, in a form that cannot be read.
    """
    chosen = bool(entry.data_files or entry.data_dir)

    def is_called(path: Path, wanted: str) -> bool:
        found = path.parts[-3]
        return found.startswith(f"{wanted}-") if chosen else found == wanted

    if name or any(is_called(path, "default") for path in prepared):
        return [path for path in prepared if is_called(path, name or "default")]
    return prepared if not chosen and len({path.parts[-3] for path in prepared}) == 1 else []


def _commit(revision: str | None) -> str | None:
    """A revision that is a commit, by which the cache tells preparations apart; branches are not."""
    return revision if revision and re.fullmatch(r"[0-9a-f]{7,40}", revision) else None
