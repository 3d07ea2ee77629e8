"""From a tree to values, by the types that the options declare.

A scalar is read as its option wants it: `no` is false for a switch and a word for a text, `2e-4` is
a number for a number. So quotes around a number or a switch do not matter, and text needs none.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from axolotl.config.tree import (
    Branch,
    Leaf,
    Node,
    Row,
    is_unset,
    join,
    read_float,
    read_int,
    to_python,
)
from axolotl.config.unknown import unknown_key
from axolotl.config.wording import bound_problem, missing_problem, value_problem
from axolotl.config.yaml_text import read_value
from axolotl.errors import ConfigError
from axolotl.records import Finding

M = TypeVar("M", bound=BaseModel)
_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_LARGEST = 2**63 - 1
_MOST_HINTS = 200


class _WrongTypeError(Exception):
    """The node is not what the option wants; the caller says so."""


class _ReportedError(Exception):
    """Something inside the node is wrong and is among the problems already."""


@dataclass
class Reader:
    """Reads trees and collects what is wrong with them.

    Args:
        name: The file or argument as a whole, for what is missing in it.
        problems: What is wrong.
        places: Where each dotted path was written.
        allow_unknown: Whether keys that are no options are only noted.
        notes: Those keys.
    """

    name: str
    problems: list[ConfigError] = field(default_factory=list[ConfigError])
    places: dict[str, str] = field(default_factory=dict[str, str])
    allow_unknown: bool = False
    notes: list[Finding] = field(default_factory=list[Finding])

    def fields(
        self, branch: Branch, known: Mapping[str, FieldInfo], path: str = ""
    ) -> tuple[dict[str, Any], set[str]]:
        """Read the keys of a branch.

        Args:
            branch: The keys as written.
            known: The options there are.
            path: Dotted path of the branch.

        Returns:
            The values that could be read, and the keys whose values could not.
        """
        values, failed = dict[str, Any](), set[str]()
        for key, node in branch.items.items():
            at = join(path, key)
            if key not in known:
                self._report_unknown(at, node, known)
                continue
            self.places[at] = node.where
            if is_unset(node):
                continue
            try:
                values[key] = self._read(node, known[key].annotation, at)
            except _WrongTypeError:
                failed.add(key)
                self.problems.append(value_problem(node, known[key].annotation, at))
            except _ReportedError:
                failed.add(key)
        return values, failed

    def build(
        self, model: type[M], values: Mapping[str, Any], failed: set[str], path: str = ""
    ) -> M | None:
        """Make a section, or an entry of a list, out of its values.

        Args:
            model: Its class.
            values: Its values, as `fields` gave them.
            failed: Keys that have been reported already.
            path: Dotted path of the entry; empty for a section.

        Returns:
            None if something is wrong with it; all of that is in `problems`.
        """
        try:
            made = model(**values)
        except ValidationError as error:
            reported = set(failed)
            for detail in error.errors(include_url=False):
                key = str(detail["loc"][0])
                if key not in reported:
                    reported.add(key)
                    self._report_bound(dict(detail), model.model_fields[key], join(path, key))
            return None
        return None if failed else made

    def _report_unknown(self, at: str, node: Node, known: Iterable[str]) -> bool:
        """Say that a key is no option, and whether that hinders."""
        if len(self.problems) + len(self.notes) < _MOST_HINTS:
            problem = unknown_key(at, node, known)
        else:  # this is no configuration, and names of thousands of keys take long to compare
            problem = ConfigError(at, f"unknown key {at!r}", where=node.where)
        if problem is None:
            return False
        if not self.allow_unknown:
            self.problems.append(problem)
            return True
        what, hint = problem.what, problem.hint or ""
        self.notes.append(Finding("warning", "unknown-key", at, node.where, what, hint))
        return False

    def _report_bound(self, detail: Mapping[str, Any], info: FieldInfo, at: str) -> None:
        if detail["type"] == "missing":
            place = self.places.get(at.rpartition(".")[0], self.name)
            self.problems.append(missing_problem(info, at, place))
        else:
            self.problems.append(bound_problem(detail, at, self.places[at]))

    def _read(self, node: Node, wanted: Any, path: str) -> Any:
        """The value of a node as the type `wanted`."""
        kinds = alternatives(wanted)
        if isinstance(node, Leaf):
            containers = [k for k in kinds if is_container(k)]
            text = node.value
            if containers and node.plain and isinstance(text, str) and text[:1] in ("[", "{"):
                return self._read(self._parse(text, node.where, path), wanted, path)
            return _read_leaf(node, kinds)
        for kind in kinds:
            origin = get_origin(kind) or kind
            if kind is Any:
                return to_python(node)
            if origin is list and isinstance(node, Row):
                return self._read_list(node, get_args(kind)[0], path)
            if origin is dict and isinstance(node, Branch):
                return self._read_dict(node, *get_args(kind), path=path)
            if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(node, Branch):
                return self._read_model(node, kind, path)
        raise _WrongTypeError

    def _parse(self, text: str, where: str, path: str) -> Node:
        """The list or mapping that an override wrote as text."""
        try:
            node, problems = read_value(text, where, path)
        except ConfigError as error:
            self.problems.append(error)
            raise _ReportedError from error
        self.problems += problems
        return node

    def _read_list(self, row: Row, wanted: Any, path: str) -> list[Any]:
        items, good = list[Any](), True
        for number, node in enumerate(row.items):
            at = join(path, number)
            self.places[at] = node.where
            value, fine = self._read_part(node, wanted, at)
            items.append(value)
            good = good and fine
        if not good:
            raise _ReportedError
        return items

    def _read_dict(self, branch: Branch, key_type: Any, wanted: Any, *, path: str) -> Any:
        names = get_args(key_type) if get_origin(key_type) is Literal else None
        values, good = dict[str, Any](), True
        for key, node in branch.items.items():
            at = join(path, key)
            if names is not None and key not in names:
                good = not self._report_unknown(at, node, names) and good
                continue
            self.places[at] = node.where
            if is_unset(node) and wanted is not Any:
                continue
            values[key], fine = self._read_part(node, wanted, at)
            good = good and fine
        if not good:
            raise _ReportedError
        return values

    def _read_model(self, branch: Branch, model: type[BaseModel], path: str) -> BaseModel:
        before = len(self.problems)
        values, failed = self.fields(branch, model.model_fields, path)
        made = self.build(model, values, failed, path)
        if made is None or len(self.problems) > before:
            raise _ReportedError
        return made

    def _read_part(self, node: Node, wanted: Any, path: str) -> tuple[Any, bool]:
        """One value of a list or mapping, and whether it could be read."""
        try:
            return self._read(node, wanted, path), True
        except _WrongTypeError:
            self.problems.append(value_problem(node, wanted, path))
        except _ReportedError:
            pass  # it is among the problems
        return None, False


def alternatives(wanted: Any) -> list[Any]:
    """The types that a type allows, `None` left out.

    >>> alternatives(int | list[str] | None)
    [<class 'int'>, list[str]]
    """
    origin = get_origin(wanted)
    if origin is Annotated:
        return alternatives(get_args(wanted)[0])
    if origin in (Union, types.UnionType):
        return [kind for part in get_args(wanted) for kind in alternatives(part)]
    return [] if wanted is type(None) else [wanted]


def is_container(kind: Any) -> bool:
    """Whether a type has parts: a list, a mapping or an entry with keys of its own."""
    origin = get_origin(kind) or kind
    return origin in (list, dict) or (isinstance(origin, type) and issubclass(origin, BaseModel))


def _read_leaf(leaf: Leaf, kinds: list[Any]) -> Any:
    if Any in kinds:
        return to_python(leaf)
    # Where a switch and a text are possible, quotes make it a text.
    quoted = isinstance(leaf.value, str) and not leaf.plain
    order = [] if quoted and str in kinds else [bool, int, float]
    for kind in [*(k for k in kinds if get_origin(k) is Literal), *order, str]:
        if kind in kinds and (found := _as(kind, leaf.value, kinds)) is not None:
            return found
    raise _WrongTypeError


def _as(kind: Any, value: object, kinds: list[Any]) -> Any:
    """`value` as the scalar type `kind`, or None."""
    if get_origin(kind) is Literal:
        return next((c for c in get_args(kind) if c == value and type(c) is type(value)), None)
    if kind is str:
        return value if isinstance(value, str) else None
    if kind is bool:
        return _SWITCH.get(value.lower()) if isinstance(value, str) else _only(bool, value)
    if isinstance(value, bool):
        return None
    if kind is int:
        return _whole(value, shares=float in kinds)
    if isinstance(value, str):
        return read_float(value)
    return float(value) if isinstance(value, (int, float)) and abs(value) <= _LARGEST else None


def _only(kind: type, value: object) -> Any:
    return value if isinstance(value, kind) else None


def _whole(value: object, *, shares: bool) -> int | None:
    """A whole number; where shares are possible, only one written without a decimal point."""
    if isinstance(value, str):
        number = None if shares and not value.lstrip("+-").isdigit() else read_int(value)
    elif isinstance(value, float):
        number = int(value) if value.is_integer() and not shares else None
    else:
        number = _only(int, value)
    return number if number is not None and abs(number) <= _LARGEST else None
