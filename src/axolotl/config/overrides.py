"""`--key value` on the command line.

--key value    --key=value    --flag    --no-flag    --datasets.0.path value
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_origin

from pydantic.fields import FieldInfo

from axolotl.config.tree import Branch, Leaf, Node, Row
from axolotl.config.typed import alternatives
from axolotl.errors import ConfigError

_SWITCH_WORDS = {"true", "false", "yes", "no", "on", "off"}


@dataclass(frozen=True, slots=True)
class Override:
    """One value from the command line or from Python.

    Args:
        path: Dotted path of the key.
        node: Its value, with its place.
    """

    path: str
    node: Node


def split_arguments(
    arguments: Sequence[str], known: Mapping[str, FieldInfo]
) -> tuple[list[str], list[Override]]:
    """Tell overrides from other arguments.

    Args:
        arguments: What was typed.
        known: The options there are; a switch takes the next argument only if that is `true`,
            `false` or the like.

    Returns:
        The arguments that are no overrides, and the overrides, both in order.

    Raises:
        ConfigError: an option of one letter, or an override without its value.
    """
    others, overrides = list[str](), list[Override]()
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("--") or word == "--":
            if re.match(r"-[a-zA-Z]", word):
                raise ConfigError("", "no such option", where=word, hint="write `--key value`")
            if word != "--":
                others.append(word)
            continue
        typed, equals, value = word[2:].partition("=")
        key, where = _key(typed), f"--{typed}"
        if equals:
            overrides.append(Override(key, Leaf(value, where, plain=True)))
        elif key.startswith("no_") and key not in known and _is_switch(key[3:], known):
            overrides.append(Override(key[3:], Leaf(False, where)))
        elif _is_switch(key, known) and not _is_switch_value(waiting, key, known):
            overrides.append(Override(key, Leaf(True, where)))
        elif waiting and not waiting[0].startswith("--"):
            overrides.append(Override(key, Leaf(waiting.pop(0), where, plain=True)))
        elif key.split(".")[0] in known:
            raise ConfigError(key, f"{key} needs a value", where=where, hint=f"write {where}=…")
        else:
            overrides.append(Override(key, Leaf(True, where)))  # reported as unknown
    return others, overrides


def apply_overrides(tree: Branch, overrides: Sequence[Override]) -> list[ConfigError]:
    """Write overrides into the tree; the last one for a key wins.

    Args:
        tree: The file as written; it is changed.
        overrides: What to write.

    Returns:
        Those that have no place in it.
    """
    problems: list[ConfigError] = []
    for override in overrides:
        try:
            _put(tree, override.path.split("."), override)
        except _NoPlaceError as error:
            problems.append(
                ConfigError(
                    override.path,
                    f"{override.path}: {error}",
                    where=override.node.where,
                )
            )
    return problems


class _NoPlaceError(Exception):
    """The path leads nowhere."""


def _put(tree: Branch, parts: Sequence[str], override: Override) -> None:
    node: Node = tree
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(node, Row):
            number = _number(part, node, ".".join(parts[:depth]))
            if number == len(node.items):
                node.items.append(Branch(override.node.where))
            if last:
                node.items[number] = override.node
            node = node.items[number]
        elif isinstance(node, Branch):
            if last:
                node.items[part] = override.node
                return
            if not isinstance(node.items.get(part), (Branch, Row)):
                deeper = parts[depth + 1]
                kind = Row if deeper.isdigit() else Branch
                node.items[part] = kind(override.node.where)
            node = node.items[part]
        else:
            raise _NoPlaceError(f"'{'.'.join(parts[:depth])}' is a single value, without parts")


def _number(part: str, row: Row, path: str) -> int:
    if part.isdigit() and len(part) < 9 and int(part) <= len(row.items):
        return int(part)
    have = len(row.items)
    entries = f"entries 0 to {have - 1}" if have > 1 else "one entry, 0" if have else "no entry"
    raise _NoPlaceError(f"'{path}' has {entries}; {have} would be a new one")


def _key(typed: str) -> str:
    """`lora-r` and `datasets[0].path` as they are written in the file."""
    return re.sub(r"\[(\d+)\]", r".\1", typed).replace("-", "_")


def _is_switch(key: str, known: Mapping[str, FieldInfo]) -> bool:
    return key in known and bool in alternatives(known[key].annotation)


def _is_switch_value(waiting: Sequence[str], key: str, known: Mapping[str, FieldInfo]) -> bool:
    """Whether the next argument belongs to a switch, and is not the next thing of its own."""
    if not waiting or waiting[0].startswith("--"):
        return False
    kinds = alternatives(known[key].annotation)
    words = {str(c) for k in kinds if get_origin(k) is not None for c in getattr(k, "__args__", ())}
    return str in kinds or waiting[0].lower() in _SWITCH_WORDS | words
