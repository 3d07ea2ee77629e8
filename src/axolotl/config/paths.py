"""Every key that can be written, also those inside of lists and mappings, by its dotted path.

A path here is without numbers: `datasets.path` stands for that key in any entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from axolotl.config.config import SECTIONS


@dataclass(frozen=True, slots=True)
class Key:
    """A key that can be written.

    Args:
        path: Its dotted path without numbers.
        example: The same with the number of the first entry, as it would be written.
        section: The section that it belongs to.
        info: What it is; for the name in a mapping of like values, what such a value is.
    """

    path: str
    example: str
    section: str
    info: FieldInfo

    @property
    def parent(self) -> str:
        """The key that it stands under; empty for an option of the file as a whole."""
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition(".")[2]


@cache
def paths() -> Mapping[str, Key]:
    """All keys by their paths, in the order of the sections; those inside follow what they are in."""
    return {
        key.path: key
        for section, model in SECTIONS.items()
        for name, info in model.model_fields.items()
        for key in _with_inner(Key(name, name, section, info))
    }


def general(path: str) -> str:
    """A path without its numbers.

    >>> general("datasets.0.path"), general("lora_target_modules.1"), general("seed")
    ('datasets.path', 'lora_target_modules', 'seed')
    """
    return re.sub(r"\.\d+(?=\.|$)", "", path)


def _with_inner(key: Key) -> Iterator[Key]:
    yield key
    for way, name, info in _inner(key.info.annotation, key.info):
        inner = Key(f"{key.path}.{name}", f"{key.example}{way}.{name}", key.section, info)
        yield from _with_inner(inner)


def _inner(wanted: Any, holder: FieldInfo, way: str = "") -> Iterator[tuple[str, str, FieldInfo]]:
    """The keys inside of a type: how they are reached, their names, and what they are."""
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        for name, info in wanted.model_fields.items():
            yield way, name, info
        return
    origin, args = get_origin(wanted), get_args(wanted)
    if origin is dict and get_origin(args[0]) is Literal:
        value = FieldInfo(annotation=args[1], default=None, description=holder.description)
        for name in get_args(args[0]):
            yield way, str(name), value
    elif origin is not Literal:
        for part in args:
            yield from _inner(part, holder, f"{way}.0" if origin is list else way)
