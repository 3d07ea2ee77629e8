"""Changes to the text of a YAML file that leave every other character as it was.

    text    what the file says        spans   where each key and value of it stands
    tree    what the reader reads     edit    remove a key, rename it, set its value

An edit becomes patches of the text. The new text is read again: what the reader reads must be what
it read before with exactly this edit made, else the edit is not applied. So what a key inherits by
an alias or by `<<`, and whatever else cannot be changed where it stands, is left as it is and said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from axolotl.config.edit_text import (
    Line,
    Patch,
    entry_lines,
    find,
    insertion,
    line_break,
    new_line,
    removal,
    renaming,
    replacement,
    setting,
    written,
)
from axolotl.config.edit_tree import Refused, change, node_at, same
from axolotl.config.tree import Branch
from axolotl.config.yaml_spans import Span, read_spans
from axolotl.config.yaml_text import read_yaml
from axolotl.config.yaml_write import write_node, write_value
from axolotl.errors import ConfigError
from axolotl.records import Edit

_BOM = "\ufeff"


def apply(text: str, edits: Sequence[Edit]) -> tuple[str, list[Edit]]:
    r"""Make changes to a YAML file.

    Removing the last key of a mapping that is itself a value removes that key too. A key renamed to
    a path with another parent moves there with its value. A key that is set and not written yet is
    added behind the key that the edit before it renamed or set, in the place of the key that the
    edit before it removed, or else behind the last key of its mapping.

    Args:
        text: The file.
        edits: The changes, made one after the other.

    Returns:
        The new text, and the edits that could not be made.

    >>> print(apply("a: 1  # one\nb: 2\n", [Edit("rename", "a", "c"), Edit("set", "d", "no")])[0])
    c: 1  # one
    d: 'no'
    b: 2
    <BLANKLINE>
    """
    bom = _BOM if text.startswith(_BOM) else ""
    document, left = _read(text.removeprefix(_BOM)), list[Edit]()
    if document is None:
        return text, list(edits)
    behind, waiting = "", list(edits)
    while waiting:
        edit = waiting.pop(0)
        changed = None
        if waiting and _replaces(document, edit, waiting[0]):
            changed = _attempt(document, (edit, waiting[0]), behind)
            if changed:
                edit = waiting.pop(0)
        changed = changed or _attempt(document, (edit,), behind)
        if changed is None:
            left.append(edit)
            continue
        document = changed
        behind = {"remove": "", "rename": str(edit.value), "set": edit.key}[edit.action]
    return bom + document.text, left


@dataclass(frozen=True, slots=True)
class _Document:
    text: str
    tree: Branch
    spans: Span
    problems: int


def _read(text: str) -> _Document | None:
    try:
        tree, problems = read_yaml(text, "")
        return _Document(text, tree, read_spans(text), len(problems))
    except (ConfigError, RecursionError):
        return None


def _replaces(document: _Document, first: Edit, second: Edit) -> bool:
    """Whether a key is removed to set a new one of the same mapping in its place."""
    return (
        (first.action, second.action) == ("remove", "set")
        and first.key.rpartition(".")[0] == second.key.rpartition(".")[0]
        and not _is_written(document.spans, second.key)
    )


def _is_written(spans: Span, key: str) -> bool:
    parts = key.split(".")
    return len(find(spans, parts)) == len(parts)


def _attempt(document: _Document, edits: tuple[Edit, ...], behind: str) -> _Document | None:
    """The document with edits made as one change; None where they cannot be made."""
    changed = _made(document, edits, behind)
    end = line_break(document.text)
    if changed or document.text.endswith(end):
        return changed
    # What moves around the end of a file needs the line end that the last line lacks.
    ended = _read(document.text + end)
    if ended is None or not same(ended.tree, document.tree):
        return None
    changed = _made(ended, edits, behind)
    bare = _read(changed.text.removesuffix(end)) if changed else None
    return bare if changed and bare and same(bare.tree, changed.tree) else changed


def _made(document: _Document, edits: tuple[Edit, ...], behind: str) -> _Document | None:
    try:
        expected = document.tree
        for edit in edits:
            expected = change(expected, edit)
        text = _patched(document.text, _patches(document, edits, behind))
    except Refused:
        return None
    # a text over lines (`key: |`) that becomes the end of the file needs the line end it had
    for candidate in (text, text + line_break(text)):
        changed = _read(candidate)
        if changed and changed.problems <= document.problems and same(changed.tree, expected):
            return changed
    return None


def _patches(document: _Document, edits: tuple[Edit, ...], behind: str) -> list[Patch]:
    text, spans, edit = document.text, document.spans, edits[0]
    if len(edits) == 2:
        name, value = edits[1].key.rpartition(".")[2], edits[1].value
        return [*renaming(text, spans, edit.key, name), *setting(text, spans, edit.key, value)]
    if edit.action == "remove":
        return removal(text, spans, edit.key)
    if edit.action == "rename":
        return _renaming(document, edit.key, str(edit.value))
    if _is_written(spans, edit.key):
        return setting(text, spans, edit.key, edit.value)
    parts = edit.key.split(".")
    line = new_line(parts[-1], edit.value)
    return insertion(text, spans, parts, line, behind=behind.split("."))


def _renaming(document: _Document, key: str, new: str) -> list[Patch]:
    text, spans = document.text, document.spans
    taken = new != key and _is_written(spans, new)  # it has no value and makes way
    if key.rpartition(".")[0] == new.rpartition(".")[0]:
        making_way = removal(text, spans, new) if taken else []
        return [*making_way, *renaming(text, spans, key, new.rpartition(".")[2])]
    line = _moved(document, key, new)
    if taken:
        return [*removal(text, spans, key), replacement(text, spans, new, line)]
    behind = key.split(".")
    return [
        *removal(text, spans, key),
        *insertion(text, spans, new.split("."), line, behind=behind),
    ]


def _moved(document: _Document, key: str, new: str) -> Line:
    """A key with its value, to be written elsewhere under its new name."""
    name, node = new.rpartition(".")[2], node_at(document.tree, key)
    holder, number = written(document.spans, key)[-1]
    if node is None or holder.kind != "map":
        raise Refused
    flow = f"{write_value(name)}: {write_node(node)}".rstrip()
    block = flow if holder.flow else entry_lines(document.text, holder.entries[number], name)
    return Line(block, flow)


def _patched(text: str, patches: Sequence[Patch]) -> str:
    for patch in sorted(patches, key=lambda p: (p.start, p.end), reverse=True):
        text = text[: patch.start] + patch.text + text[patch.end :]
    return text
