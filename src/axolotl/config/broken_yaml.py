"""What is wrong with text that is no YAML, in words that help to mend it."""

from __future__ import annotations

import re

import yaml
from yaml.error import Mark
from yaml.reader import ReaderError

from axolotl.errors import ConfigError

_QUOTE = "put the value in quotes"

_ADVICE: list[tuple[str, str, str, bool]] = [
    # what the parser says, what that means, what to do, whether the line where it began is meant
    (
        r"found character '\\t'",
        "a tab stands where only spaces may",
        "write spaces instead",
        False,
    ),
    (
        r"found character '(.)' that cannot start",
        "a value cannot begin with '{0}'",
        f"{_QUOTE}: '…'",
        False,
    ),
    (
        r"could not find expected ':'",
        "this line is no `key: value`",
        "put a colon and a space behind the key",
        True,
    ),
    (
        r"mapping values are not allowed",
        "this line is indented further than the one that it follows",
        "keys of one level begin in the same column",
        False,
    ),
    (
        r"unknown escape character",
        "a backslash in double quotes begins a code such as \\n",
        "use single quotes, or double the backslash",
        False,
    ),
    (r"unexpected end of stream", "a quote is never closed", "close it with the same mark", True),
    (
        r"expected ',' or '([\]}])'",
        "a list or mapping in brackets is not closed, or lacks a comma",
        "end it with '{0}', and put commas between its values",
        True,
    ),
    (
        r"expected <block end>, but found '-'",
        "a list item stands among keys",
        "indent the `- ` below the key that it belongs to",
        False,
    ),
    (
        r"expected <block end>, but found '<scalar>'",
        "text follows a value that is complete",
        "put the whole value in quotes",
        False,
    ),
    (r"expected <block end>, but found ':'", "a colon stands without a key", _QUOTE, False),
    (
        r"expected <block end>",
        "this line is not indented like the ones it belongs to",
        "keys of one level begin in the same column",
        False,
    ),
    (
        r"found another document",
        "a second document begins here",
        "remove the line `---`; one file is one configuration",
        False,
    ),
    (
        r"second occurrence",
        "an anchor of this name stands before",
        "give each `&name` once; quote a text that begins with &",
        False,
    ),
    (
        r"undefined alias '(.*)'",
        "a value that begins with * refers to an anchor, and there is no '&{0}' before it",
        "put the value in quotes if it is text",
        False,
    ),
    (
        r"expected '<document start>'",
        "this line cannot follow what stands before it",
        "begin with a line `base_model: …`, without brackets or lines with % before it",
        False,
    ),
    (
        r"incompatible YAML document|a digit|directive",
        "the lines before `---` are none that a configuration needs",
        "remove what stands before the first key",
        False,
    ),
    (
        r"tag",
        "a text that begins with ! is a tag, and tags have no meaning here",
        _QUOTE,
        False,
    ),
    (r"sequence entries are not allowed", "a list cannot begin here", "begin a new line", False),
    (r"expected alphabetic or numeric", "* and & have a meaning of their own", _QUOTE, True),
    (r"expected the node content", "a value is missing, or a bracket too many", _QUOTE, False),
    (
        r"chomping or indentation|a comment or a line break",
        "text cannot follow | or > on the same line",
        _QUOTE,
        False,
    ),
]


def explain(error: yaml.YAMLError, text: str, name: str) -> ConfigError:
    """Turn what the parser says into a place, a reason and a way out.

    Args:
        error: What it raised.
        text: The file.
        name: Its name.
    """
    if isinstance(error, ReaderError):
        return _bad_character(error, text, name)
    said = str(getattr(error, "problem", None) or error)
    at: Mark | None = getattr(error, "problem_mark", None)
    began: Mark | None = getattr(error, "context_mark", None)
    what, hint, where_it_began = _advice(said)
    mark = (began or at) if where_it_began else (at or began)
    line = mark.line if mark else 0
    if at and _bracketed_variable(text, at.line):
        line = at.line
        what, hint = "in brackets, braces have a meaning of their own", 'write "${NAME}" in quotes'
    elif glued := _without_space(text, line):
        line, key = glued
        what, hint = f"no space behind the colon of '{key}'", f"write `{key}: …`"
    elif said.startswith("mapping values") and mark and _second_colon(text, mark):
        what, hint = "a second colon follows a value", "put the whole value in quotes"
    return ConfigError("", f"not valid YAML: {what}", where=f"{name}:{line + 1}", hint=hint)


def _advice(said: str) -> tuple[str, str, bool]:
    for pattern, what, hint, where_it_began in _ADVICE:
        if match := re.search(pattern, said):
            groups = match.groups()
            return what.format(*groups), hint.format(*groups), where_it_began
    return said, "check colons, quotes and indentation of this line and the one before", False


def _without_space(text: str, line: int) -> tuple[int, str] | None:
    """A line `key:value` at the place of the error or just before it."""
    lines = text.splitlines()
    for number in (line, line - 1):
        if 0 <= number < len(lines) and (match := re.match(r"\s*(\w+):[^\s:/]", lines[number])):
            return number, match[1]
    return None


def _bracketed_variable(text: str, line: int) -> bool:
    """Whether a line has `[${NAME}]`, which would be fine outside of brackets."""
    lines = text.splitlines()[line : line + 1]
    return any(re.search(r"[\[{].*\$\{", part) for part in lines)


def _second_colon(text: str, mark: Mark) -> bool:
    lines = text.splitlines()[mark.line : mark.line + 1]
    return any(": " in line[: mark.column] for line in lines)


def _bad_character(error: ReaderError, text: str, name: str) -> ConfigError:
    position = int(error.position)
    line = text.count("\n", 0, position) + 1
    code = error.character if isinstance(error.character, int) else ord(str(error.character)[:1])
    return ConfigError(
        "",
        f"not valid YAML: the character U+{code:04X} is not allowed in it",
        where=f"{name}:{line}",
        hint="remove it; is this a text file, saved as UTF-8?",
    )
