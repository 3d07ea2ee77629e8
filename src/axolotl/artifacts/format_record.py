"""In which format a model was trained, as the records in its folder say.

A run says it in `run.json`, a merge in `merge.json`, a copy in files of another size in `shard.json`.
Of a checkpoint it is the run in the folder above, whether that has ended or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axolotl.artifacts.run_folder import RUN_FILE, START_FILE, read_record, read_run
from axolotl.data.entries import shared_for_all
from axolotl.training.checkpoints import list_checkpoints

MERGE_FILE = "merge.json"
"""What a merge says of itself, in the folder of the merged model."""
SHARD_FILE = "shard.json"
"""The same of a model saved again in other files; such a folder may be replaced by the next call."""


def trained_format(folder: Path) -> dict[str, Any] | None:
    """The format of the training data, as `of_first_entry` gave it to the run.

    Args:
        folder: Folder of an adapter or of a whole model.

    Returns:
        The format; None where no record says it. A run of an earlier version kept what is shared by
        all datasets with its configuration only.

    Raises:
        ModelError: a record cannot be read.
    """
    record = read_run(folder) or _run_above(folder)
    if record is None:
        record = read_record(folder / MERGE_FILE) or read_record(folder / SHARD_FILE) or {}
    found = record.get("format")
    if not isinstance(found, Mapping):
        return None
    options = (record.get("config") or {}).get("resolved")
    return {**({"shared": shared_for_all(options)} if options else {}), **found}


def _run_above(folder: Path) -> dict[str, Any] | None:
    """The record of the run that a checkpoint is of; None for any other folder."""
    place = folder.expanduser().resolve()
    if place not in list_checkpoints(place.parent):
        return None
    return read_record(place.parent / RUN_FILE) or read_record(place.parent / START_FILE)
