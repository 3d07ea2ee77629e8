"""What the sets of an evaluation are called in metrics: a short name for each entry of the file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from axolotl.config.sources import DatasetSource

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.\-]+")


def set_names(entries: Sequence[DatasetSource]) -> list[str]:
    """A name for each entry, made of letters, digits, points, dashes and underscores.

    It is the entry's `name`, where that is one configuration of a hub data set; else the last part
    of its `path` without the ending of a file. Where several entries come to the same, the second
    has `_2` behind it, and so on.

    >>> paths = ["data/alpaca.jsonl", "s3://bucket/alpaca.jsonl.gz", "owner/open set"]
    >>> set_names([DatasetSource(path=path, type="alpaca") for path in paths])
    ['alpaca', 'alpaca_2', 'open_set']
    """
    found: list[str] = []
    for entry in entries:
        found.append(unused(metric_name(_plain(entry)), found))
    return found


def metric_name(text: str) -> str:
    """A text as part of the name of a metric; `set` where nothing is left of it.

    >>> metric_name("MMLU: abstract algebra")
    'MMLU_abstract_algebra'
    """
    return _NOT_IN_NAMES.sub("_", text).strip("_.") or "set"


def unused(name: str, taken: Sequence[str]) -> str:
    """The name, with a number behind it where it is taken.

    >>> unused("a", ["a", "a_2"])
    'a_3'
    """
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _plain(entry: DatasetSource) -> str:
    if isinstance(entry.name, str):
        return entry.name
    last = entry.path.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    return last.partition(".")[0] or last
