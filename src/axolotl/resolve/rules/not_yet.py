"""Names of plug-ins that are known from elsewhere, and that this version does not have."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.registry import available
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.later import LATER_ATTENTION, LATER_TYPES, is_later


def not_yet(case: Case) -> Iterator[Found]:
    """A name that this version does not have yet is said by `check`, refused by what would run it."""
    level = "error" if case.runs else "warning"
    for key, name, folder in _names(case):
        message = f"{key}: '{name}' is known, but this version does not support it yet"
        there_are = f"there are: {', '.join(available(f'axolotl.{folder}'))}"
        yield Found(level, key, message, there_are)


def _names(case: Case) -> Iterator[tuple[str, str, str]]:
    """Key, the name that it asks for, and the folder where such plug-ins are."""
    config = case.config
    for number, source in enumerate(config.data.datasets):
        if isinstance(source.type, str) and is_later(source.type, LATER_TYPES):
            yield f"datasets.{number}.type", source.type, "formats"
    attention = config.attention.attn_implementation
    if attention and is_later(attention, LATER_ATTENTION):
        yield "attn_implementation", attention, "attention"


TABLE: Table = [(not_yet, "datasets attn_implementation")]
