"""The options as a JSON Schema, for editors that complete and check YAML files by one.

Draft 7, which the YAML extension of VS Code reads. A key without a value is unset, so every option
may be null; a list or mapping of the wrong form, an unknown key and a number out of bounds fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from axolotl.config.config import SECTIONS, options
from axolotl.config.reference import what_it_does
from axolotl.config.section import Section, facts
from axolotl.config.typed import alternatives

_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "min_length": "minLength",
}
_SCALARS: Mapping[Any, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
_BASE = "Another file that this one is laid over; its place is relative to this file."


def json_schema() -> dict[str, Any]:
    """The schema of a whole file."""
    properties = {key: _option(info) for key, info in options().items()}
    properties["base"] = {"type": ["string", "null"], "description": _BASE}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Axolotl configuration",
        "description": f"Options of a fine-tuning run, in {len(SECTIONS)} groups; the keys are flat.",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        # a file with `base` need not name a model itself
        "anyOf": [{"required": ["base_model"]}, {"required": ["base"]}],
    }


def _option(info: FieldInfo) -> dict[str, Any]:
    made: dict[str, Any] = {"description": what_it_does(info).replace("**", "")}
    default: Any = None if info.is_required() else info.get_default(call_default_factory=True)
    if default not in (None, {}, []):
        made["default"] = default
    if choices := facts(info).get("choices"):
        made["examples"] = choices
    bounds = _bounds(info)
    kinds = [_kind(kind, bounds) for kind in alternatives(info.annotation)]
    return {**made, "anyOf": [*kinds, {"type": "null"}]}


def _bounds(info: FieldInfo) -> dict[str, Any]:
    return {
        name: getattr(rule, attribute)
        for rule in info.metadata
        for attribute, name in _BOUNDS.items()
        if getattr(rule, attribute, None) is not None
    }


def _kind(kind: Any, bounds: Mapping[str, Any]) -> dict[str, Any]:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(args)}
    if origin is Annotated:
        return _kind(args[0], bounds)
    if origin is list:
        return {"type": "array", "items": _any_of(alternatives(args[0]))}
    if origin is dict:
        return _mapping(args[0], args[1])
    if isinstance(kind, type) and issubclass(kind, Section):
        return _section(kind)
    if kind is Any:
        return {}
    numeric = kind in (int, float)
    own = {name: v for name, v in bounds.items() if (name == "minLength") != numeric}
    return {"type": _SCALARS[kind], **(own if numeric or kind is str else {})}


def _any_of(kinds: Iterable[Any]) -> dict[str, Any]:
    made = [_kind(kind, {}) for kind in kinds]
    return made[0] if len(made) == 1 else {"anyOf": made}


def _mapping(key: Any, value: Any) -> dict[str, Any]:
    values = _any_of(alternatives(value))
    if get_origin(key) is not Literal:
        return {"type": "object", "additionalProperties": values}
    nullable = {"anyOf": [values, {"type": "null"}]}
    names = dict.fromkeys(get_args(key), nullable)
    return {"type": "object", "properties": names, "additionalProperties": False}


def _section(section: type[Section]) -> dict[str, Any]:
    fields = section.model_fields
    required = [name for name, info in fields.items() if info.is_required()]
    return {
        "type": "object",
        "properties": {name: _option(info) for name, info in fields.items()},
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }
