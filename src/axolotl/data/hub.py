"""A data set of the hub: opened by the `datasets` library, or file by file where it is none for it.

Besides `remote.py` this is the only part of reading data that may use the network.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl.core.console import note_once
from axolotl.core.hashing import hash_values
from axolotl.core.hub_reach import hub_asked_briefly
from axolotl.data.files import FileSource, open_files
from axolotl.data.listing import few
from axolotl.data.rows import RowChunk
from axolotl.data.source import Wanted
from axolotl.data.table_rows import arrow_chunks, hash_table
from axolotl.errors import DataError
from axolotl.registry import nearest


@dataclass(frozen=True, slots=True)
class HubSource:
    """A table opened by the `datasets` library.

    Args:
        label: Its name for messages.
        table: The opened `datasets.Dataset`.
    """

    label: str
    table: Any

    @property
    def weight(self) -> float:
        """Its size in bytes, to share out a progress bar."""
        return float(self.table.data.nbytes)

    def identity(self) -> str:
        """Hash of what the library read: its cache files carry configuration, commit and split."""
        from datasets import config

        cache = Path(config.HF_DATASETS_CACHE)
        files = [Path(entry["filename"]) for entry in self.table.cache_files]
        names = [str(f.relative_to(cache) if f.is_relative_to(cache) else f) for f in files]
        what = names or hash_table(self.table.data)
        return "hub:" + hash_values([what, self.table.num_rows, self.table.column_names])

    def count(self) -> int:
        """How many rows it has."""
        return self.table.num_rows

    def chunks(self, start_row: int = 0) -> Iterator[RowChunk]:
        """The rows behind the first `start_row`, a bounded number at a time."""
        total = self.table.num_rows
        if start_row < total:
            batches = self.table.skip(start_row).with_format("arrow").iter(1000)
            yield from arrow_chunks(batches, total, first=start_row + 1)


def open_hub(
    path: str,
    wanted: Wanted,
    *,
    name: str | None = None,
    revision: str | None = None,
    data_files: Sequence[str] = (),
    data_dir: str | None = None,
) -> list[HubSource] | list[FileSource]:
    """Open a dataset of the hub, from the local cache when it is there.

    A repository that the library cannot open as a data set is read file by file, where `data_files`
    names the files.

    Args:
        path: Hub id.
        wanted: The split to read, and whether the user's token is sent.
        name: Configuration of the dataset.
        revision: Branch, tag or commit.
        data_files: Files of the repository.
        data_dir: Folder of the repository.

    Raises:
        DataError: there is no such dataset or split, or it cannot be reached.
    """
    import datasets
    from datasets.exceptions import DatasetsError

    options: dict[str, Any] = {} if wanted.token is None else {"token": wanted.token}
    try:
        with hub_asked_briefly():
            table = datasets.load_dataset(
                path,
                name,
                data_files=list(data_files) or None,
                data_dir=data_dir,
                split=wanted.split,
                revision=revision,
                **options,
            )
    except (*hub_faults(), RuntimeError, DatasetsError) as error:
        repository = _Repository(path, revision, options)
        reached = not isinstance(error, ConnectionError)
        if (
            reached
            and data_files
            and (names := repository.fitting(data_files, data_dir, wanted.key))
        ):
            note_once(f"{path} is no data set for the library; read as files: {few(names)}")
            return repository.open(names, wanted)
        raise _unopened(path, wanted.key, error, repository) from error
    which = [part for part in (name, wanted.split) if part not in (None, "train")]
    return [HubSource(f"{path} ({', '.join(which)})" if which else path, table)]


@dataclass(frozen=True, slots=True)
class _Repository:
    """A repository of data on the hub, as files."""

    path: str
    revision: str | None
    options: dict[str, Any]

    def names(self) -> list[str]:
        """Its files; none where it cannot be asked."""
        from huggingface_hub import HfApi

        try:
            return HfApi(**self.options).list_repo_files(
                self.path, repo_type="dataset", revision=self.revision
            )
        except hub_faults():
            return []

    def fitting(self, patterns: Sequence[str], folder: str | None, key: str) -> list[str]:
        """Its files that the patterns name, in their order; none where it cannot be asked."""
        from fnmatch import fnmatch

        there = sorted(self.names())
        found: dict[str, None] = {}
        for pattern in patterns if there else ():
            whole = f"{folder.strip('/')}/{pattern}" if folder else pattern
            names = [name for name in there if fnmatch(name, whole)]
            if not names:
                near = nearest(whole, there)
                raise DataError(
                    f"no file '{whole}' in the repository '{self.path}'",
                    where=key,
                    hint=f"did you mean '{near}'?" if near else f"it has: {few(there)}",
                )
            found.update(dict.fromkeys(names))
        return list(found)

    def open(self, names: Sequence[str], wanted: Wanted) -> list[FileSource]:
        """Files of it, fetched into the cache of the hub's library."""
        from huggingface_hub import hf_hub_download

        found: list[FileSource] = []
        for name in names:
            try:
                local = hf_hub_download(
                    self.path, name, repo_type="dataset", revision=self.revision, **self.options
                )
            except hub_faults() as error:
                raise DataError(
                    f"'{name}' of '{self.path}' is not to be had from the hub: {hub_reason(error)}",
                    where=wanted.key,
                    hint="check the connection",
                ) from error
            found += open_files(Path(local), f"{self.path}/{name}", wanted, relative=name)
        return found


def _unopened(path: str, key: str, error: Exception, repository: _Repository) -> DataError:
    """What to say of a data set that the library did not open."""
    import datasets

    said = str(error).lower()
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        hint = (
            "if a local file is meant, check its path; HF_HUB_OFFLINE is set: only datasets in the "
            "local cache can be used"
        )
    elif isinstance(error, ConnectionError):
        hint = (
            "if a local file is meant, check its path; if not, the connection: without one, only "
            "datasets in the local cache can be used"
        )
    elif "token is required" in said:
        hint = "log in with `hf auth login`, or set HF_TOKEN"
    elif "script" in said:
        hint = "data sets that bring code are not run; try `revision: refs/convert/parquet`"
    elif "gated" in said:
        hint = "ask for it on its page, log in with `hf auth login`, add `hf_use_auth_token: true`"
    elif "config" in said and (names := _asked(datasets.get_dataset_config_names, repository)):
        hint = f"set `name` to one of: {', '.join(names)}"
    elif "split" in said and (names := _asked(datasets.get_dataset_split_names, repository)):
        hint = f"set train_on_split to one of: {', '.join(names)}"
    elif names := repository.names():
        hint = f"name the files in data_files; the repository has: {few(names)}"
    else:
        hint = (
            "check the spelling and the connection; a private data set needs "
            "`hf_use_auth_token: true` and `hf auth login`; if a local file is meant, check its path"
        )
    return DataError(
        f"'{path}' is no local file or folder, and not to be had from the hub: {hub_reason(error)}",
        where=key,
        hint=hint,
    )


def _asked(ask: Callable[..., list[str]], repository: _Repository) -> list[str]:
    """Names that the library tells of a data set; none where it cannot."""
    try:
        return ask(repository.path, revision=repository.revision, **repository.options)
    except (*hub_faults(), RuntimeError):
        return []


def hub_faults() -> tuple[type[Exception], ...]:
    """What the hub's library raises: what is refused is an OSError, too; a lost connection is not."""
    # It is the HTTP library's, and which library that is depends on the version.
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]

    return OSError, ValueError, HTTPError


def hub_reason(error: BaseException) -> str:
    """What the hub's library says, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
