"""What became of each key of a file that was migrated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from axolotl.config.tree import Branch, Node, Row, join
from axolotl.config.yaml_write import write_value
from axolotl.records import Edit, Finding

Status = Literal["kept", "renamed", "changed", "without effect", "not yet", "refused"]
STATUSES: tuple[Status, ...] = (
    "kept",
    "renamed",
    "changed",
    "without effect",
    "not yet",
    "refused",
)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one key.

    Args:
        key: Its path in the old file.
        line: Its line there; None for a key that is missing there.
        status: `kept`, `renamed`, `changed` in value or form, `without effect` and removed,
            `not yet` carried out by this version and kept, or `refused` and kept.
        new: What stands in the new file instead.
        why: What is the matter.
        hint: The way out.
    """

    key: str
    line: int | None
    status: Status = "kept"
    new: str = ""
    why: str = ""
    hint: str = ""


class Fates:
    """The keys of a file, and what becomes of them one change after the other.

    Args:
        tree: The old file.
    """

    def __init__(self, tree: Branch) -> None:
        self._rows = {key: Fate(key, line_of(node.where)) for key, node in _keys(tree, "")}
        self._lines = {key: line_of(node.where) for key, node in _all_keys(tree, "")}
        self._renamed: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[Fate]:
        """The keys in the order of the old file; those that are missing there at the end."""
        return iter(self._rows.values())

    def original(self, key: str) -> str:
        """The path in the old file of what has the path `key` now."""
        for old, new in reversed(self._renamed):
            if key == new or key.startswith(f"{new}."):
                key = old + key[len(new) :]
        return key

    def line(self, key: str) -> int | None:
        """The line in the old file of what has the path `key` now, or of what it belongs to."""
        key = self.original(key)
        while key not in self._lines and "." in key:
            key = key.rpartition(".")[0]
        return self._lines.get(key)

    def mended(self, finding: Finding) -> None:
        """Take note that the edits of a finding were made."""
        added = {e.key: e.value for e in finding.fix if e.action == "set" and self._is_new(e.key)}
        for edit in finding.fix:
            if edit.action == "rename":
                self._move(edit, str(edit.value), added, finding)
            elif edit.action == "remove":
                self._move(edit, next(iter(added), ""), added, finding)
            elif edit.key not in added:
                key, value = self.original(edit.key), write_value(edit.value)
                new = value if key == edit.key else f"{edit.key}: {value}"
                self._set(key, "changed", new, finding)
        if added:  # neither renamed to, nor in the place of another
            about = self.original(finding.key)
            row = self._rows.get(about)
            before = [row.new] if row and row.why == finding.message and row.new else []
            new = [*before, *(f"{key}: {write_value(value)}" for key, value in added.items())]
            self._set(about, "changed", ", ".join(new), finding)

    def told(self, finding: Finding, status: Status) -> None:
        """Take note that a finding remains."""
        key = self.original(finding.key)
        if key not in self._lines:
            by_line = [k for k, n in self._lines.items() if n == line_of(finding.where)]
            key = by_line[-1] if by_line and not _is_missing(finding) else key
        self._set(key, status, None, finding)

    def _move(self, edit: Edit, new: str, added: dict[str, object], finding: Finding) -> None:
        old = self.original(edit.key)
        if new in added:
            self._set(old, "changed", f"{new}: {write_value(added.pop(new))}", finding)
        else:
            self._set(old, "renamed" if new else "without effect", new, finding)
        if new:
            self._renamed.append((edit.key, new))

    def _is_new(self, key: str) -> bool:
        return self.original(key) not in self._lines

    def _set(self, key: str, status: Status, new: str | None, finding: Finding) -> None:
        """Put a row in; a mapping that is told of as a whole takes the place of its kept keys."""
        inner = [k for k in self._rows if k.startswith(f"{key}.")]
        if key not in self._rows:
            fresh, at = Fate(key, self._lines.get(key)), inner[0] if inner else None
            rows: dict[str, Fate] = {}
            for name, row in self._rows.items():
                if name == at:
                    rows[key] = fresh
                rows[name] = row
            rows.setdefault(key, fresh)
            self._rows = rows
        for name in inner:
            if self._rows[name].status == "kept":
                del self._rows[name]
        row = self._rows[key]
        keeps = status in ("refused", "not yet")
        self._rows[key] = replace(
            row,
            status=status,
            new=row.new if new is None else new,
            why=finding.message,
            hint=finding.hint if keeps else "",
        )


def line_of(where: str) -> int | None:
    """The line of a place such as `file.yml:12`."""
    line = where.rpartition(":")[2]
    return int(line) if line.isdecimal() and len(line) < 9 else None


def _is_missing(finding: Finding) -> bool:
    return f"{finding.key} is missing" in finding.message


def _keys(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """The keys whose values have no keys of their own."""
    inner = list(_parts(node, path))
    if not inner:
        yield path, node
    for at, item in inner:
        yield from _keys(item, at)


def _all_keys(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    for at, item in _parts(node, path):
        yield at, item
        yield from _all_keys(item, at)


def _parts(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    if isinstance(node, Branch):
        for key, item in node.items.items():
            yield join(path, key), item
    elif isinstance(node, Row) and any(isinstance(item, Branch) for item in node.items):
        for number, item in enumerate(node.items):
            yield join(path, number), item
