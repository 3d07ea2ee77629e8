"""A table that the `datasets` library opens: an id of the hub, or a file behind a URL.

This is the only part of reading data that may use the network.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from axolotl.core.hashing import hash_values
from axolotl.data.rows import RowChunk
from axolotl.data.table_rows import arrow_chunks
from axolotl.errors import DataError


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
        """Hash of what the library read: its cache files carry configuration and commit."""
        files = [entry["filename"] for entry in self.table.cache_files]
        return "hub:" + hash_values([files, self.table.num_rows, self.table.column_names])

    def chunks(self, start_row: int = 0) -> Iterator[RowChunk]:
        """The rows behind the first `start_row`, a bounded number at a time."""
        total = self.table.num_rows
        if start_row < total:
            batches = self.table.skip(start_row).with_format("arrow").iter(1000)
            yield from arrow_chunks(batches, total, first=start_row + 1)


def open_hub(
    path: str,
    *,
    key: str,
    name: str | None = None,
    split: str = "train",
    revision: str | None = None,
    data_files: Any = None,
    data_dir: str | None = None,
    token: bool | None = None,
) -> HubSource:
    """Open a dataset of the hub, from the local cache when it is there.

    Args:
        path: Hub id, or the name of a builder such as `json` together with `data_files`.
        key: The key of the YAML file, for messages.
        name: Configuration of the dataset.
        split: The split to read.
        revision: Branch, tag or commit.
        data_files: Files of the repository.
        data_dir: Folder of the repository.
        token: Whether to send the user's token; None leaves it to the library.

    Raises:
        DataError: there is no such dataset or split, or it cannot be reached.
    """
    import datasets
    from datasets.exceptions import DatasetsError

    options: dict[str, Any] = {} if token is None else {"token": token}
    try:
        table = datasets.load_dataset(
            path,
            name,
            data_files=data_files,
            data_dir=data_dir,
            split=split,
            revision=revision,
            **options,
        )
    except (OSError, ValueError, DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
        raise DataError(
            f"'{path}' is no local file or folder, and not to be had from the hub: {reason}",
            where=key,
            hint="HF_HUB_OFFLINE is set: only datasets in the local cache can be used"
            if offline
            else "check the spelling, the `name`, the split (`train_on_split`) and the connection",
        ) from error
    return HubSource(path, table)
