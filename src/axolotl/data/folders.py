"""Local folders and patterns, and what stands near a name that is not there."""

from __future__ import annotations

import glob
import json
from collections.abc import Sequence
from pathlib import Path

from axolotl.data.files import FileSource, file_faults, open_files
from axolotl.data.listing import data_names, no_data, of_split
from axolotl.data.source import Wanted
from axolotl.errors import DataError
from axolotl.registry import nearest


def open_matches(folder: Path, patterns: Sequence[str], wanted: Wanted) -> list[FileSource]:
    """Files that the patterns name, each pattern's sorted; none twice.

    Raises:
        DataError: a pattern names none.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        whole = folder / Path(pattern).expanduser()
        names = glob.iglob(str(Path(pattern).expanduser()), root_dir=folder, recursive=True)  # noqa: PTH207  Path.glob takes no absolute pattern
        hits = (
            [whole] if whole.is_file() else sorted(f for n in names if (f := folder / n).is_file())
        )
        if not hits:
            raise DataError(f"no file '{whole}'", where=wanted.key, hint=nearby(whole))
        found.update(dict.fromkeys(hits))
    return [
        source
        for file in found
        for source in open_files(file, str(file), wanted, relative=_relative(file, folder))
    ]


def open_folder(folder: Path, wanted: Wanted) -> list[FileSource]:
    """The data files of a folder and of those in it, or of a data set that was saved into it.

    Raises:
        DataError: there are none, or none of the split.
    """
    saved = folder / "dataset_dict.json"
    if saved.is_file():
        with file_faults(str(folder)):
            splits = json.loads(saved.read_text("utf-8"))["splits"]
        if wanted.split not in splits:
            raise DataError(
                f"no split '{wanted.split}' in '{folder}'",
                where=wanted.key,
                hint=f"set train_on_split to one of: {', '.join(splits)}",
            )
        folder = folder / wanted.split
    if (folder / "state.json").is_file():
        with file_faults(str(folder)):
            state = json.loads((folder / "state.json").read_text("utf-8"))
        names = [entry["filename"] for entry in state["_data_files"]]
    else:
        there = [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]
        names = data_names(there, ds_type=wanted.ds_type)
        if not names:
            raise no_data(str(folder), wanted.key, sorted(there))
        names = of_split(names, wanted.split, folder=str(folder), key=wanted.key)
    return [
        source
        for name in names
        for source in open_files(folder / name, str(folder / name), wanted, relative=name)
    ]


def near_name(missing: Path) -> str | None:
    """The name in the same folder that a name which is not there was likely meant to be."""
    folder = missing.parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    stems = {Path(name).stem: name for name in names}
    near_stem = nearest(missing.stem, stems)
    return nearest(missing.name, names) or (stems[near_stem] if near_stem else None)


def nearby(missing: Path) -> str:
    """What there is in the place of a file that is not there."""
    folder = missing.parent
    if guess := near_name(missing):
        return f"did you mean '{folder / guess}'?"
    if not folder.is_dir():
        return f"there is no folder '{folder}' either (from {Path.cwd()})"
    return f"the folder '{folder}' is there, but nothing of that name (from {Path.cwd()})"


def _relative(file: Path, folder: Path) -> str:
    return str(file.relative_to(folder)) if file.is_relative_to(folder) else file.name
