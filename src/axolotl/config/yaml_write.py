"""Values as YAML on one line, so that this and other readers take them for what they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

import yaml

from axolotl.config.tree import Branch, Leaf, Node, Row, read_scalar

_SAFE_PLAIN = re.compile(r"-?[\w.</+~$][^,:#\[\]{}\r\n\x85\u2028\u2029]*")


def write_value(value: object) -> str:
    """A value in flow style; text that looks like a number, a switch or nothing gets quotes.

    >>> write_value({"pad_token": "<pad>", "steps": [1, 2e-4, True, None], "kind": "no"})
    "{pad_token: <pad>, steps: [1, 0.0002, true, null], kind: 'no'}"
    """
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return f"{{{', '.join(f'{write_value(k)}: {write_value(v)}' for k, v in items)}}}"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Sequence):
        return f"[{', '.join(write_value(item) for item in cast('Sequence[object]', value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def write_node(node: Node) -> str:
    """The same of what was written elsewhere; unquoted text stays unquoted."""
    if isinstance(node, Branch):
        inner = (f"{_text(key)}: {write_node(item)}" for key, item in node.items.items())
        return f"{{{', '.join(inner)}}}"
    if isinstance(node, Row):
        return f"[{', '.join(map(write_node, node.items))}]"
    assert isinstance(node.value, str), "a file has only text"
    if node.plain and (not node.value or _SAFE_PLAIN.fullmatch(node.value)):
        return node.value
    return _text(node.value) if node.plain else _quoted(node)


def _quoted(leaf: Leaf) -> str:
    text = _text(str(leaf.value))
    return text if text[:1] in ("'", '"') else f"'{text}'"


def _text(text: str) -> str:
    """Text, quoted where YAML or this project's reader would take it for something else."""
    style = '"' if re.search(r"[\r\n\x85\u2028\u2029]", text) else None
    if style is None and not isinstance(read_scalar(text), str):
        style = "'"
    done = yaml.safe_dump(
        [text],
        default_flow_style=True,
        default_style=style,
        width=float("inf"),
        allow_unicode=True,
    )
    return done[1:-2]  # without the brackets and the line end
