"""`--key value` on the command line.

--key value    --key=value    --flag    --no-flag    --datasets.0.path value
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_origin

from pydantic.fields import FieldInfo

from axolotl.config.inherit import same_thing
from axolotl.config.tree import MAX_DEPTH, TOO_DEEP, Branch, Leaf, Node, Row
from axolotl.config.typed import alternatives, is_container
from axolotl.errors import ConfigError

ALLOW_UNKNOWN = "allow_unknown"
_ON_WORDS = {"true", "yes", "on"}
_SWITCH_WORDS = {*_ON_WORDS, "false", "no", "off"}


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


def take_allow_unknown(overrides: Sequence[Override]) -> tuple[bool, list[Override]]:
    """Tell `--allow_unknown`, which is about reading the file, from what replaces options of it.

    Returns:
        Whether unknown keys are allowed, and the other overrides.

    Raises:
        ConfigError: its value is neither true nor false.
    """
    allowed = False
    for override in overrides:
        if override.path == ALLOW_UNKNOWN:
            word = str(override.node.value if isinstance(override.node, Leaf) else "").lower()
            if word not in _SWITCH_WORDS:
                what = f"{ALLOW_UNKNOWN}: expected true or false"
                raise ConfigError(ALLOW_UNKNOWN, what, where=override.node.where)
            allowed = word in _ON_WORDS
    return allowed, [override for override in overrides if override.path != ALLOW_UNKNOWN]


def apply_overrides(
    tree: Branch, overrides: Sequence[Override], known: Mapping[str, FieldInfo]
) -> list[ConfigError]:
    """Write overrides into the tree; the last one for a key wins.

    Args:
        tree: The file as written; it is changed.
        overrides: What to write.
        known: The options there are.

    Returns:
        Those that have no place in it.
    """
    problems: list[ConfigError] = []
    for override in overrides:
        parts = override.path.split(".")
        try:
            _check_parts(parts, known)
            _put(tree, parts, override)
        except _NoPlaceError as error:
            what, hint = error.args
            problems.append(
                ConfigError(
                    override.path,
                    f"{override.path}: {what}",
                    where=override.node.where,
                    hint=hint,
                )
            )
    return problems


class _NoPlaceError(Exception):
    """The path leads nowhere: why, and what to write instead."""


def _check_parts(parts: Sequence[str], known: Mapping[str, FieldInfo]) -> None:
    """Whether the option that is named first can have the parts that are named behind it."""
    if len(parts) > MAX_DEPTH:
        raise _NoPlaceError(TOO_DEEP, None)
    key, *deeper = parts
    if not deeper or key not in known:
        return
    kinds = alternatives(known[key].annotation)
    if not any(is_container(kind) for kind in kinds):
        raise _NoPlaceError(f"'{key}' is a single value, without parts", f"write `--{key} VALUE`")
    if not any(is_container(kind) and get_origin(kind) is not list for kind in kinds) and not (
        deeper[0].isdecimal()
    ):
        rest = ".".join([key, "0", *deeper])
        raise _NoPlaceError(f"'{key}' is a list, whose entries have numbers", f"write --{rest}")


def _put(tree: Branch, parts: Sequence[str], override: Override) -> None:
    node: Node = tree
    for other in same_thing(parts[0]):
        # Two that were both given anew contradict each other, which is told later.
        if other in tree.items and not tree.items[other].where.startswith("--"):
            del tree.items[other]
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
                kind = Row if deeper.isdecimal() else Branch
                node.items[part] = kind(override.node.where)
            node = node.items[part]
        else:
            path = ".".join(parts[:depth])
            raise _NoPlaceError(
                f"'{path}' is a single value, without parts", f"write `--{path} VALUE`"
            )


def _number(part: str, row: Row, path: str) -> int:
    have = len(row.items)
    if part.isdecimal() and len(part) < 9 and int(part) <= have:
        return int(part)
    entries = f"entries 0 to {have - 1}" if have > 1 else "one entry, 0" if have else "no entry"
    raise _NoPlaceError(f"'{path}' has {entries}", f"`--{path}.{have}…` would add one")


def _key(typed: str) -> str:
    """`lora-r` and `datasets[0].path` as they are written in the file."""
    return re.sub(r"\[(\d+)\]", r".\1", typed).replace("-", "_")


def _is_switch(key: str, known: Mapping[str, FieldInfo]) -> bool:
    if key == ALLOW_UNKNOWN:
        return True
    return key in known and bool in alternatives(known[key].annotation)


def _is_switch_value(waiting: Sequence[str], key: str, known: Mapping[str, FieldInfo]) -> bool:
    """Whether the next argument belongs to a switch, and is not the next thing of its own."""
    if not waiting or waiting[0].startswith("--"):
        return False
    kinds = alternatives(known[key].annotation) if key in known else [bool]
    words = {str(c) for k in kinds if get_origin(k) is not None for c in getattr(k, "__args__", ())}
    return str in kinds or waiting[0].lower() in _SWITCH_WORDS | words
