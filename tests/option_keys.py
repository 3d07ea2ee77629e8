"""Every key that a file may have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from pydantic.fields import FieldInfo

from axolotl.config import options
from axolotl.config.section import Section
from axolotl.config.typed import alternatives


def option_keys() -> list[str]:
    """All keys; those inside others as `datasets.type.format`, and once for each kind of entry."""
    return list(_keys(options(), "", set()))


def _keys(
    fields: Mapping[str, FieldInfo], before: str, listed: set[type[Section]]
) -> Iterator[str]:
    for name, info in fields.items():
        yield f"{before}{name}"
        for kind in alternatives(info.annotation):
            for entry in (kind, *get_args(kind)):
                if isinstance(entry, type) and issubclass(entry, Section) and entry not in listed:
                    listed.add(entry)
                    yield from _keys(entry.model_fields, f"{before}{name}.", listed)
