"""Write the pages of this folder that follow from the code: `make docs`.

`options.md` is the list of all options, made of the types, defaults, bounds and descriptions in
`axolotl.config`; `rules.md` that of all rules across options and of names from other releases.
`tests/test_project.py` fails when one is out of date.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

from pydantic.fields import FieldInfo

from axolotl.config import SECTIONS
from axolotl.config.legacy import old_names
from axolotl.config.reference import default_words, first_upper, value_words, what_it_does
from axolotl.config.section import Section
from axolotl.config.typed import alternatives
from axolotl.resolve.case import Rule
from axolotl.resolve.rules import RULES

HERE = Path(__file__).resolve().parent
INTRODUCTION = """\
# Options

<!-- Generated from src/axolotl/config by `make docs`; changes belong there. -->

All keys of the YAML file. They are flat: the headings only group them here. `--key value` on the command line overrides
any of them, also nested ones (`--datasets.0.path other.jsonl`), and `axolotl check FILE` shows what each came to and where
that comes from; `axolotl explain KEY` says all there is to say of one. A key that is not listed is an error, and the
message names the nearest one. A key without a value counts as not written. `base: other.yml` takes over another file, and
`${NAME}` or `${NAME:-default}` in a value an environment variable.
"""
RULES_PAGE = """\
# Rules and old names

<!-- Generated from src/axolotl/resolve/rules and src/axolotl/config/legacy_names.py by `make docs`. -->

## Rules across options

What `axolotl check` holds a configuration against, besides types, bounds and names. A finding names the rule, the key with
its line, and the way out. Errors stop every command; what only the machine lacks stops only training.

| rule | looks at | what it is about |
|---|---|---|
{rules}

## Names of other releases

`axolotl migrate OLD.yml` rewrites them, and says what became of each key.

| key | what is done with it |
|---|---|
{names}
"""


def options_page() -> str:
    """The text of `options.md`."""
    return "\n".join([INTRODUCTION, *(line for s in SECTIONS.values() for line in _section(s))])


def rules_page() -> str:
    """The text of `rules.md`."""
    rules = [
        f"| `{rule.id}` | {_keys(rule)} | {_cell(_first_line(rule.check))} |" for rule in RULES
    ]
    names = [f"| `{key}` | {_cell(first_upper(what))} |" for key, what in old_names().items()]
    return RULES_PAGE.format(rules="\n".join(rules), names="\n".join(names))


def _keys(rule: Rule) -> str:
    return "all" if rule.keys == ("*",) else ", ".join(f"`{key}`" for key in rule.keys)


def _section(section: type[Section]) -> Iterator[str]:
    yield f"## {_first_line(section).rstrip('.')}\n"
    yield from _table(section.model_fields)
    yield from _nested(section.model_fields)


def _nested(fields: Mapping[str, FieldInfo], before: str = "") -> Iterator[str]:
    """Tables of what stands inside others."""
    for key, info in fields.items():
        for entry, listed in _entries(info):
            yield f"### {'An entry of' if listed else 'The mapping'} `{before}{key}`\n"
            yield from _table(entry.model_fields)
            yield from _nested(entry.model_fields, f"{before}{key}.")


def _table(fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    yield "| key | value | default | what it does |\n|---|---|---|---|"
    for key, info in fields.items():
        cells = f"`{key}`", value_words(info), default_words(info), what_it_does(info)
        yield f"| {' | '.join(map(_cell, cells))} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", chr(92) + "|")


def _entries(info: FieldInfo) -> Iterator[tuple[type[Section], bool]]:
    """The classes of mappings with keys of their own, and whether a list holds them."""
    for kind in alternatives(info.annotation):
        for part, listed in ((kind, False), *((part, True) for part in get_args(kind))):
            if isinstance(part, type) and issubclass(part, Section):
                yield part, listed


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    (HERE / "options.md").write_text(options_page(), encoding="utf-8")
    (HERE / "rules.md").write_text(rules_page(), encoding="utf-8")
