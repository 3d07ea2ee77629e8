"""The rows of the support table: what `axolotl.architectures` has files for. Nothing heavy is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from axolotl.architectures import Architecture, families


@dataclass(frozen=True)
class Row:
    """What a row of the table is about.

    Args:
        facts: The family.
        model_type: The architecture.
        changes: What the configuration of this kind of it says otherwise than its class.
    """

    facts: Architecture
    model_type: str
    changes: Mapping[str, Any]


def rows() -> dict[str, Row]:
    """The rows of the table: every `model_type` that a family names, and the other kinds of it."""
    table: dict[str, Row] = {}
    for facts in families().values():
        table |= {kind: Row(facts, kind, {}) for kind in facts.model_types}
        first = facts.model_types[0]
        for name, changes in facts.kinds.items():
            table[f"{first}, {name}"] = Row(facts, first, changes)
    return table
