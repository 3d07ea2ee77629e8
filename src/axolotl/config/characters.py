"""Characters that no file name, message or document can hold, and messages without them."""

from __future__ import annotations

import re

from axolotl.config.tree import Branch, Leaf, Node, Row, join
from axolotl.errors import ConfigError

_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_ENDLESS = re.compile(r"\S{200,}")
_LONGEST_MESSAGE = 2000
_LONGEST_KEY = 200


def refuse_characters(tree: Branch) -> list[ConfigError]:
    r"""Tell of texts with NUL or half a character (`"\ud800"`) and of endless keys; leave them out.

    Args:
        tree: What was written; it is changed.
    """
    return _refuse(tree, "")


def _refuse(node: Node, path: str) -> list[ConfigError]:
    if isinstance(node, Leaf):
        found = _NO_TEXT.search(node.value) if isinstance(node.value, str) else None
        if found is None:
            return []
        node.value = None
        return [_problem(path, found[0], node.where)]
    if isinstance(node, Row):
        return [p for n, item in enumerate(node.items) for p in _refuse(item, join(path, n))]
    problems: list[ConfigError] = []
    for key, item in list(node.items.items()):
        if len(key) > _LONGEST_KEY:
            del node.items[key]
            what = f"a key of {len(key):,} characters is none: {key[:40]!r}…"
            hint = "is a quote or a colon missing here?"
            problems.append(ConfigError(join(path, key[:40]), what, where=item.where, hint=hint))
        elif found := _NO_TEXT.search(key):
            del node.items[key]
            problems.append(_problem(join(path, key), found[0], item.where))
        else:
            problems += _refuse(item, join(path, key))
    return problems


def _problem(path: str, character: str, where: str) -> ConfigError:
    what = f"{path}: the character U+{ord(character):04X} cannot be part of a text"
    return ConfigError(printable(path), what, where=where, hint="remove it")


def printable(text: str) -> str:
    r"""A message on one line, of bounded length, with codes for what no terminal should get.

    >>> printable("a\nb\x1b[31m é")
    'a\\nb\\x1b[31m é'
    """
    text = _ENDLESS.sub(lambda word: f"{word[0][:60]}…", text)
    if len(text) > _LONGEST_MESSAGE:
        half = _LONGEST_MESSAGE // 2
        text = f"{text[:half]} … {text[-half:]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
