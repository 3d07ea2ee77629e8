"""What was written, before any of it has a type: leaves, branches and lists, each with its place.

A file, the command line and a mapping from Python all become such a tree, so that one reader
(`axolotl.config.typed`) turns all of them into values by the same rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from axolotl.errors import ConfigError

MAX_NODES = 100_000
"""More is no configuration; a few lines of aliases can describe far more than memory holds."""

MAX_DEPTH = 50
"""Deeper nesting is no configuration, and more than some libraries can follow."""

TOO_DEEP = "lists and mappings are nested too deeply to be read"


@dataclass(slots=True)
class Leaf:
    """A scalar.

    Args:
        value: The text as written, or a Python value.
        where: Where it was written.
        plain: Text without quotes, which may stand for a number, a boolean or nothing.
    """

    value: object
    where: str
    plain: bool = False


@dataclass(slots=True)
class Branch:
    """Keys and their values.

    Args:
        where: Where it was written.
        items: Its nodes by key, in the order of writing.
    """

    where: str
    items: dict[str, Node] = field(default_factory=dict[str, "Node"])


@dataclass(slots=True)
class Row:
    """A list.

    Args:
        where: Where it was written.
        items: Its nodes.
    """

    where: str
    items: list[Node] = field(default_factory=list["Node"])


Node = Leaf | Branch | Row

_NOTHING = {"", "~", "null", "Null", "NULL", "None"}


def is_unset(node: Node) -> bool:
    """Whether the key is there without a value, which is the same as not being there."""
    if not isinstance(node, Leaf):
        return False
    return node.value is None or (node.plain and node.value in _NOTHING)


def from_python(value: object, where: str, *, path: str = "", depth: int = 0) -> Node:
    """The tree of a Python value.

    Args:
        value: Mappings, sequences and scalars, nested.
        where: Where it comes from, for messages.
        path: Dotted path of the value, for messages.
        depth: How many lists and mappings it is in.

    Raises:
        ConfigError: something in it is no configuration value.
    """
    if depth > MAX_DEPTH:
        raise ConfigError(path.partition(".")[0], TOO_DEEP, where=where)
    depth += 1
    if isinstance(value, Mapping):
        branch = Branch(where)
        for key, item in cast(Mapping[object, object], value).items():
            if not isinstance(key, str):
                raise ConfigError(
                    path, f"keys are text, got {key!r}", where=where, hint=f"write {str(key)!r}"
                )
            branch.items[key] = from_python(item, where, path=join(path, key), depth=depth)
        return branch
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        items = enumerate(cast(Sequence[object], value))
        nodes = [from_python(v, where, path=join(path, i), depth=depth) for i, v in items]
        return Row(where, nodes)
    if value is None or isinstance(value, (str, bool, int, float)):
        return Leaf(value, where)
    if hasattr(value, "__fspath__"):
        return Leaf(str(value), where)
    raise ConfigError(
        path,
        f"{path}: a {type(value).__name__} is no configuration value",
        where=where,
        hint="use text, numbers, booleans, lists and dicts",
    )


def leaves(node: Node, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """All scalars of a tree with their dotted paths."""
    if isinstance(node, Leaf):
        yield path, node
        return
    parts = node.items.items() if isinstance(node, Branch) else enumerate(node.items)
    for key, part in parts:
        yield from leaves(part, join(path, key))


def to_python(node: Node) -> Any:
    """The values of a tree, plain text read as YAML 1.2 does."""
    if isinstance(node, Branch):
        return {key: to_python(item) for key, item in node.items.items()}
    if isinstance(node, Row):
        return [to_python(item) for item in node.items]
    if not node.plain or not isinstance(node.value, str):
        return node.value
    return read_scalar(node.value)


def read_scalar(text: str) -> Any:
    """What unquoted text stands for where any type will do.

    >>> [read_scalar(t) for t in ("2e-4", "8", "true", "no", "~")]
    [0.0002, 8, True, 'no', None]
    """
    if text in _NOTHING:
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    whole = read_int(text) if text.strip("+-").isdigit() else None
    return whole if whole is not None else (text if (n := read_float(text)) is None else n)


def read_int(text: str) -> int | None:
    """A whole number, also written as `1e3` or `8.0`; None if it is none."""
    try:
        return int(text)
    except ValueError:
        number = read_float(text)
        return int(number) if number is not None and number.is_integer() else None


def read_float(text: str) -> float | None:
    """A finite number, also written as `2e-4`; None if it is none."""
    if not text[:1] or text[0] not in "+-.0123456789" or "n" in text.lower():
        return None  # Python would take "nan" and "infinity" as well
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def join(path: str, key: object) -> str:
    """The dotted path of `key` inside `path`."""
    return f"{path}.{key}" if path else str(key)
