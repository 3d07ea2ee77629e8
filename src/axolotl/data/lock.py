"""`data.lock`: what the data files were, so that a run with others is refused.

    {"version": 2, "configurations": {
      "chat.yml": [
        {"file": "data/a.jsonl", "kind": "json", "bytes": 1024, "hash": "9f86d0…"},
        {"file": "owner/name", "kind": "hub", "rows": 52002, "hash": "6c1f…"}
      ]
    }}

Each configuration of the folder has a part of its own, since each may have other data. The file is
meant to be kept under version control beside them: nothing in it depends on the machine, and its
lines change only where the data does. Its first version had one list of files for whatever read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl.core.atomic import write_atomic
from axolotl.core.console import note
from axolotl.data.hub import HubSource
from axolotl.data.slices import SlicedSource
from axolotl.data.sources import Source
from axolotl.errors import DataError

LOCK_FILE = "data.lock"
LOCK_VERSION = 2
_SHOWN = 10
_WHERE = "dataset_lock"

Entry = Mapping[str, Any]


def check_lock(folder: Path, name: str, entries: Sequence[Entry]) -> None:
    """Hold the data against `data.lock`, where that says something of it.

    Args:
        folder: Where it lies.
        name: Name of the configuration.
        entries: What the data is now.

    Raises:
        DataError: something has changed, is new or is gone; or the lock cannot be read.
    """
    file = folder / LOCK_FILE
    lock = _read(file)
    then = lock.of(name)
    if then is None or then == entries:
        return
    found = list(_differences(_by_name(then), _by_name(entries)))
    more = f"\n    … and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    part = "" if lock.shared is not None else f", or {name} in it,"
    raise DataError(
        f"the data is not that of {file}:\n    " + "\n    ".join(found[:_SHOWN]) + more,
        where=_WHERE,
        hint=f"bring the old data back; or, where the new one is meant, remove {file}{part} and the "
        "next run writes it anew, or go without it: `--no-dataset_lock`",
    )


def write_lock(folder: Path, name: str, entries: Sequence[Entry]) -> None:
    """Write what the data of a configuration is into `data.lock`, unless it is there.

    It is written when the data has been prepared: until then a bad row may have to be mended.

    Args:
        folder: Where it is to lie.
        name: Name of the configuration.
        entries: What the data is.

    Raises:
        DataError: what is there cannot be read.
        EnvironmentFault: it cannot be written.
    """
    file = folder / LOCK_FILE
    parts = _read(file).parts  # now, as another configuration may have been prepared meanwhile
    if name in parts:
        return
    parts = {**parts, name: entries}
    write_atomic(file, _text({key: parts[key] for key in sorted(parts)}))
    note(f"{file}: {name} written; a later run of it with other data is refused")


def _text(parts: Mapping[str, Sequence[Entry]]) -> str:
    """The file: a line for each data file."""

    def written(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    lists = [
        f"  {written(name)}: [\n"
        + ",\n".join(f"    {written(entry)}" for entry in entries)
        + "\n  ]"
        for name, entries in parts.items()
    ]
    return f'{{"version": {LOCK_VERSION}, "configurations": {{\n' + ",\n".join(lists) + "\n}}\n"


def lock_entries(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """One entry for each file or table, in the order of their names; a file that is read twice has one.

    Args:
        sources: The files and tables.
    """
    found = {json.dumps(entry): entry for entry in map(_entry, sources)}
    return sorted(found.values(), key=lambda entry: json.dumps(entry))


def _entry(source: Source) -> dict[str, Any]:
    while isinstance(source, SlicedSource):  # the file is locked, not what is taken of it
        source = source.source
    kind, content = source.identity().split(":")[:2]
    if isinstance(source, HubSource):
        size = {"rows": source.count()}
    else:
        size = {"bytes": int(source.weight)}
    return {"file": source.label, "kind": kind, **size, "hash": content}


def _by_name(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Entries by name: of a hub data set there may be several, one for each configuration."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry["file"], []).append(entry)
    return found


def _differences(then: Mapping[str, list[Entry]], now: Mapping[str, list[Entry]]) -> Iterator[str]:
    for name in sorted({*then, *now}):
        before, after = then.get(name), now.get(name)
        if before is None:
            yield f"{name}: new"
        elif after is None:
            yield f"{name}: gone"
        elif before != after:
            yield f"{name}: changed{_in_what(before, after)}"


def _in_what(before: Sequence[Entry], after: Sequence[Entry]) -> str:
    """How many bytes or rows there were and are, or how they were read, where that differs."""
    if len(before) != len(after):
        return f" (there {'was' if len(before) == 1 else 'were'} {len(before)}, now {len(after)})"
    for unit in ("bytes", "rows"):
        counts = [sum(entry.get(unit, 0) for entry in entries) for entries in (before, after)]
        if counts[0] != counts[1]:
            return f" ({counts[0]:,} {unit}, now {counts[1]:,})"
    kinds = [", ".join(str(entry.get("kind")) for entry in entries) for entries in (before, after)]
    return f" (read as {kinds[0]}, now as {kinds[1]})" if kinds[0] != kinds[1] else ""


@dataclass(frozen=True, slots=True)
class _Lock:
    """What `data.lock` says.

    Args:
        parts: The data of each configuration.
        shared: The data of whichever wrote it, in a file of the first version; it holds for all.
    """

    parts: Mapping[str, Sequence[Entry]]
    shared: Sequence[Entry] | None = None

    def of(self, name: str) -> Sequence[Entry] | None:
        """The data of a configuration; None where nothing is said of it."""
        return self.parts.get(name, self.shared)


def _read(file: Path) -> _Lock:
    try:
        content = json.loads(file.read_text("utf-8"))
        match content["version"]:
            case 1:
                return _Lock({}, _entries(content["files"]))
            case 2:
                found = content["configurations"].items()
                return _Lock({name: _entries(entries) for name, entries in found})
            case other:
                raise ValueError(f"version {other}, this program reads up to {LOCK_VERSION}")
    except FileNotFoundError:
        return _Lock({})
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file} cannot be read: {error}",
            where=_WHERE,
            hint="remove it, and the next run writes it anew",
        ) from error


def _entries(found: Sequence[Entry]) -> list[Entry]:
    return sorted(
        ({**entry, "file": str(entry["file"])} for entry in found),
        key=lambda entry: json.dumps(entry),
    )
