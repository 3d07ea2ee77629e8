"""Write the pages of this folder that follow from the code: `make docs`.

`options.md` is the list of all options, made of the types, defaults, bounds and descriptions in
`axolotl.config`. `tests/test_project.py` fails when it is out of date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from axolotl.config import SECTIONS
from axolotl.config.section import Section
from axolotl.config.typed import alternatives
from axolotl.config.wording import describe

HERE = Path(__file__).resolve().parent
INTRODUCTION = """\
# Options

<!-- Generated from src/axolotl/config by `make docs`; changes belong there. -->

All keys of the YAML file. They are flat: the headings only group them here. `--key value` on the command line overrides
any of them, and `axolotl check FILE` shows what each came to and where that comes from. A key that is not listed is an
error, and the message names the nearest one. A key without a value counts as not written.
"""
BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def options_page() -> str:
    """The text of `options.md`."""
    return "\n".join([INTRODUCTION, *(line for s in SECTIONS.values() for line in _section(s))])


def _section(section: type[Section]) -> Iterator[str]:
    yield f"## {_first_line(section).rstrip('.')}\n"
    yield from _table(section.model_fields)
    for key, info in section.model_fields.items():
        for entry in _entries(info):
            yield f"### An entry of `{key}`\n"
            yield from _table(entry.model_fields)


def _table(fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    yield "| key | value | default | what it does |\n|---|---|---|---|"
    for key, info in fields.items():
        cells = f"`{key}`", _value(info), _default(info), _first_upper(info.description or "")
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _value(info: FieldInfo) -> str:
    words = describe(info.annotation).replace("'", "`").replace("a text", "text")
    words = words.replace("a whole number or a number", "a count, or a share below 1")
    bounds = [
        f"{word} {getattr(rule, name)}"
        for rule in info.metadata
        for name, word in BOUNDS.items()
        if hasattr(rule, name)
    ]
    return ", ".join([words, *bounds])


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "**required**"
    value: Any = info.get_default(call_default_factory=True)
    if value is None or value in ({}, []):
        return "—"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _entries(info: FieldInfo) -> Iterator[type[Section]]:
    """The classes of what a list holds, where that is a mapping with keys of its own."""
    for kind in alternatives(info.annotation):
        for part in get_args(kind):
            if isinstance(part, type) and issubclass(part, Section):
                yield part


def _first_line(thing: type) -> str:
    return (thing.__doc__ or "").partition("\n")[0]


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    (HERE / "options.md").write_text(options_page(), encoding="utf-8")
