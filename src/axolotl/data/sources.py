"""From one entry of `datasets` to its files: a file, a folder, a pattern, an address, a hub id.

A local path beats a hub id of the same name.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from axolotl.core.console import note_once
from axolotl.data.files import open_files
from axolotl.data.folders import near_name, nearby, open_folder, open_matches
from axolotl.data.hub import open_hub
from axolotl.data.kinds import EXTENSIONS, KINDS, PACKED
from axolotl.data.listing import say_no_splits
from axolotl.data.remote import is_remote, open_remote
from axolotl.data.slices import parse_splits, sliced
from axolotl.data.source import Source, Wanted
from axolotl.errors import DataError

__all__ = ["Source", "find_sources"]


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
        path: File, folder, pattern, builder name (`json`, `csv`, …, with `data_files`), address of
            something remote, or hub id.
        key: The key of the YAML file, for messages.
        ds_type: What the files are, where their names do not tell.
        data_files: Files, patterns or addresses; files within the folder or repository.
        data_dir: Folder within the folder or repository.
        name: Configuration of a hub dataset.
        split: The split to read, where there are several, or rows of it: `train[:10%]`.
        revision: Revision of a hub dataset.
        token: Whether the hub gets the user's token; None leaves it to the library.

    Raises:
        DataError: nothing is there.
    """
    files = [data_files] if isinstance(data_files, str) else list(data_files or [])
    place = _Place(path.removeprefix("file://"), files, data_dir, name, revision)
    return [
        source
        for part in parse_splits(split, key)
        for source in sliced(place.open(Wanted(key, part.name, ds_type, token)), part)
    ]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an entry says that its rows are; see `find_sources`."""

    path: str
    files: Sequence[str]
    folder: str | None
    name: str | None
    revision: str | None

    def open(self, wanted: Wanted) -> Sequence[Source]:
        local = Path(self.path).expanduser()
        if is_remote(self.path):
            self._no_use_of_hub_options(self.path)
            whole = f"{self.path.rstrip('/')}/{self.folder}" if self.folder else self.path
            return open_remote(whole, self.files, wanted)
        if local.is_file():
            self._no_use_of_hub_options(self.path)
            if self.files or self.folder:
                note_once(f"{self.path} is a file: data_files and data_dir have no effect on it")
            say_no_splits(self.path, self.path, wanted.split)
            return open_files(local, self.path, wanted)
        if local.is_dir():
            self._no_use_of_hub_options(self.path)
            folder = local / self.folder if self.folder else local
            return self._matches(folder, wanted) if self.files else open_folder(folder, wanted)
        if self.path in KINDS and self.files:
            return self._matches(Path(self.folder or ""), replace(wanted, ds_type=self.path))
        if glob.has_magic(self.path):
            return open_matches(Path(), [self.path], wanted)
        if not _may_be_hub_id(self.path) or near_name(local):
            raise DataError(
                f"no file or folder '{self.path}'", where=wanted.key, hint=nearby(local)
            )
        return open_hub(
            self.path,
            wanted,
            name=self.name,
            revision=self.revision,
            data_files=self.files,
            data_dir=self.folder,
        )

    def _matches(self, folder: Path, wanted: Wanted) -> list[Source]:
        """Files that `data_files` names, in its order; local ones within the folder."""
        found: dict[str, Source] = {}
        for pattern in self.files:
            sources: Sequence[Source]
            if is_remote(pattern):
                sources = open_remote(pattern, [], wanted)
            else:
                sources = open_matches(folder, [pattern], wanted)
            for source in sources:
                found.setdefault(source.label, source)
        return list(found.values())

    def _no_use_of_hub_options(self, what: str) -> None:
        if self.name:
            note_once(f"{what} is no data set of the hub: `name: {self.name}` has no effect on it")
        if self.revision:
            hint = "; write hf://datasets/owner/name@revision" if what.startswith("hf://") else ""
            note_once(f"{what}: `revision: {self.revision}` has no effect on it{hint}")


def _may_be_hub_id(path: str) -> bool:
    """Whether `owner/name`, or `name` without a suffix, could be meant."""
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*|\w[\w-]*", path)) and Path(
        path
    ).suffix.lower() not in {*EXTENSIONS, *PACKED}
