"""`${NAME}` and `${NAME:-default}` in values: variables of the environment.

Only these two forms mean something; `$NAME` and `$(…)` are text, and `$${NAME}` is the text
`${NAME}`. The default is text up to the first `}` and stands in for a variable that is unset or
empty, as in a shell. What a variable holds is not looked into again. A `${` that begins neither form
is an error, because it was hardly meant as text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from axolotl.config.tree import Branch, Node, leaves
from axolotl.errors import ConfigError

_PART = re.compile(r"\$\$\{|\$\{(?P<inside>[^}]*)\}|\$\{")
_FORM = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?", re.DOTALL)
_LONGEST_SHOWN = 40


class _Unread(str):
    """A text whose variables could not be read, with what is wrong and what to do."""

    __slots__ = ("hint", "what")

    def __new__(cls, text: str, what: str, hint: str) -> _Unread:
        made = super().__new__(cls, text)
        made.what, made.hint = what, hint
        return made


class _BadReferenceError(Exception):
    """What is wrong with a reference, and what to do."""


def expand(node: Node, variables: Mapping[str, str] = os.environ) -> None:
    """Put variables into the values of a tree, keys left alone.

    A plain value is typed afterwards, so that `lora_r: ${R}` may be a number, or unset if nothing
    comes out. What cannot be read stays, and `take_unread` tells of it: another file or the command
    line may still replace it.

    Args:
        node: The tree; it is changed.
        variables: Name → text.
    """
    for _, leaf in leaves(node):
        if isinstance(leaf.value, str) and "${" in leaf.value:
            try:
                text = expand_text(leaf.value, variables)
            except _BadReferenceError as error:
                leaf.value = _Unread(leaf.value, *error.args)
            else:
                leaf.value = text.strip() if leaf.plain else text


def expand_text(text: str, variables: Mapping[str, str] = os.environ) -> str:
    """Put variables into a text.

    >>> expand_text("${HERE}/$HERE/$${HERE}/${THERE:-x}", {"HERE": "a"})
    'a/$HERE/${HERE}/x'
    """

    def value(part: re.Match[str]) -> str:
        return "${" if part[0] == "$${" else _value(part, variables)

    return _PART.sub(value, text)


def take_unread(tree: Branch) -> list[ConfigError]:
    """Tell of all values whose variables could not be read, and leave them unset.

    Args:
        tree: What is left after files and overrides were laid over one another.
    """
    problems: list[ConfigError] = []
    for path, leaf in leaves(tree):
        if isinstance(leaf.value, _Unread):
            what, hint = leaf.value.what, leaf.value.hint
            problems.append(ConfigError(path, f"{path}: {what}", where=leaf.where, hint=hint))
            leaf.value = None
    return problems


def _value(part: re.Match[str], variables: Mapping[str, str]) -> str:
    inside = part["inside"]
    if inside is None:
        raise _BadReferenceError(
            "'${' is not closed",
            "write ${NAME} or ${NAME:-default}; as plain text it is `$${`",
        )
    if "${" in inside:
        raise _BadReferenceError(
            f"'{_short(part[0])}' has a variable inside of another",
            "a default is plain text; set the variable before the command",
        )
    form = _FORM.fullmatch(inside)
    if form is None:
        raise _BadReferenceError(
            f"'{_short(part[0])}' names no variable",
            "write ${NAME} or ${NAME:-default}; as plain text it is `$${`",
        )
    name, default = form["name"], form["default"]
    text = variables.get(name)
    if default is not None:
        return text or default[2:]
    if text is None:
        raise _BadReferenceError(
            f"the environment variable '{_short(name)}' is not set",
            f"set it (`export {_short(name)}=…`), or give a default: ${{{_short(name)}:-…}}",
        )
    return text


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
