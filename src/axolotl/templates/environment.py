"""The Jinja environment of chat templates, and the marks that say where each turn stands.

Templates come with models and files from anywhere, so they run in a sandbox that can change nothing
and reach no internals of Python. What they see is what transformers shows them, so the text is the
same. Import this file inside functions: Jinja is not needed to check a configuration.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, cast

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from axolotl.core.console import note_once

MARK = "\U0010fffd"
"""Stands around the number of a mark in what is rendered; no text has it."""
MARKS = "_axolotl_marks"
DAY = "_axolotl_day"
TODAY = "2024-07-26"
"""What `strftime_now` says: the same file gives the same tokens on every day."""
_OF_DICT = frozenset(dir(dict))
_CAPTURES = (nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.AssignBlock)
"""What keeps text back, so that the template may change it before it comes out."""


class Marks:
    """The marks that one rendering sets.

    Args:
        messages: The messages; an object of a loop is one of them if it is the very same.
    """

    __slots__ = ("_numbers", "_open", "set")

    def __init__(self, messages: Sequence[Any]) -> None:
        self._numbers = {id(message): number for number, message in enumerate(messages)}
        self._open: set[int] = set()
        self.set: list[tuple[int, int]] = []

    def begin(self, value: object, loop: int) -> str:
        """Mark that a loop has come to a message."""
        number = self._numbers.get(id(value))
        if number is None:
            return ""
        self._open.add(loop)
        marks = self.set
        marks.append((loop, number))
        return f"{MARK}{len(marks) - 1}{MARK}"

    def end(self, loop: int) -> str:
        """Mark that a loop has ended, if it came to messages."""
        if loop not in self._open:
            return ""
        self._open.discard(loop)
        self.set.append((loop, -1))
        return f"{MARK}{len(self.set) - 1}{MARK}"


class _Generation(Extension):
    """`{% generation %}`, which other programs find answers by; here it is as if it were not there."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


class _Dict:
    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace takes no name with an underscore in front: {name!r}")


def _raise_exception(message: object) -> str:
    raise TemplateError(str(message))


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


@pass_context
def _strftime_now(context: Context, form: str) -> str:
    day = context.parent.get(DAY)
    if day is None:
        day = TODAY
        note_once(
            f"the chat template asks for today's date and is told {TODAY}, so that texts stay the "
            "same; `chat_template_kwargs: {strftime_now: 2025-01-31}` gives another"
        )
    return date.fromisoformat(day).strftime(form)


@pass_context
def _begin(context: Context, value: object, loop: int) -> str:
    marks = context.parent.get(MARKS)
    return "" if marks is None else marks.begin(value, loop)


@pass_context
def _end(context: Context, loop: int) -> str:
    marks = context.parent.get(MARKS)
    return "" if marks is None else marks.end(loop)


class _Environment(ImmutableSandboxedEnvironment):
    """A sandbox that looks into plain objects of a row without a detour; it finds the same."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict and attribute not in _OF_DICT:
            if attribute in obj:
                return cast("Any", obj[attribute])
            return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if type(obj) is dict and type(argument) is str:
            if argument in obj:
                return cast("Any", obj[argument])
            if argument not in _OF_DICT:
                return self.undefined(obj=obj, name=argument)
        return super().getitem(obj, argument)


def chat_environment() -> ImmutableSandboxedEnvironment:
    """The environment that chat templates are compiled in."""
    made: Any = _Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    made.filters.update(tojson=_tojson, _axolotl_begin=_begin, _axolotl_end=_end)
    made.globals.update(
        raise_exception=_raise_exception,
        strftime_now=_strftime_now,
        dict=_Dict(),
        namespace=_Namespace,
    )
    return made


def set_marks(tree: nodes.Template) -> frozenset[int]:
    """Have every loop of a template say which message it has come to, and when it ends.

    Nothing else of the template changes: what it does with spaces was settled when it was parsed.

    Args:
        tree: The template; it is changed.

    Returns:
        Numbers of the loops whose text the template may still change.
    """
    numbers = iter(range(1_000_000))
    captured: set[int] = set()
    _mark(tree, numbers, captured, inside=False)
    return frozenset(captured)


def _mark(node: nodes.Node, numbers: Iterator[int], captured: set[int], *, inside: bool) -> None:
    inside = inside or isinstance(node, _CAPTURES)
    for name, value in list(node.iter_fields()):
        if isinstance(value, nodes.Node):
            _mark(value, numbers, captured, inside=inside)
        elif isinstance(value, list):
            marked: list[Any] = []
            for child in cast("list[Any]", value):
                marked.append(child)
                if isinstance(child, nodes.Node):
                    _mark(child, numbers, captured, inside=inside)
                if isinstance(child, nodes.For) and isinstance(child.target, nodes.Name):
                    loop = next(numbers)
                    if inside:
                        captured.add(loop)
                    item = nodes.Name(child.target.name, "load")
                    child.body.insert(0, _output(item, "_axolotl_begin", [loop], child.lineno))
                    marked.append(_output(nodes.Const(loop), "_axolotl_end", [], child.lineno))
            setattr(node, name, marked)


def _output(value: nodes.Expr, name: str, arguments: list[int], line: int) -> nodes.Node:
    given: list[nodes.Expr] = [nodes.Const(argument) for argument in arguments]
    made = nodes.Output([nodes.Filter(value, name, given, [], None, None)])
    return made.set_lineno(line, override=True)
