"""What two configurations come to, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from axolotl.config.paths import general, paths
from axolotl.records import Finding
from axolotl.resolve.resolved import Resolved


@dataclass(frozen=True, slots=True)
class Difference:
    """An option whose values differ.

    Args:
        key: Its dotted path.
        values: Its value in each of the two; None where it has none.
        origins: Where each comes from.
        does: What the option does.
    """

    key: str
    values: tuple[Any, Any]
    origins: tuple[str, str]
    does: str


def differences(one: Resolved, other: Resolved) -> list[Difference]:
    """The options whose values differ, in the order of the reference; entries of lists one by one."""
    here, there = (dict(_flat("", resolved.as_dict())) for resolved in (one, other))
    order = {path: number for number, path in enumerate(paths())}
    changed = [key for key in {**here, **there} if here.get(key) != there.get(key)]
    changed.sort(key=lambda key: (order.get(general(key), len(order)), key))
    return [
        Difference(
            key,
            (here.get(key), there.get(key)),
            (one.origin(key), other.origin(key)),
            _does(key),
        )
        for key in changed
    ]


def only_here(one: Resolved, other: Resolved) -> Sequence[Finding]:
    """What the rules say of one and not of the other."""
    said = {(f.rule, f.key, f.message) for f in other.findings}
    return [f for f in one.findings if (f.rule, f.key, f.message) not in said]


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Dotted paths and their values; lists of plain values stay whole."""
    if isinstance(value, dict) and value:
        for key, part in cast("dict[str, Any]", value).items():
            yield from _flat(f"{path}.{key}" if path else key, part)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, part in enumerate(cast("list[Any]", value)):
            yield from _flat(f"{path}.{number}", part)
    else:
        yield path, value


def _does(key: str) -> str:
    found = paths().get(general(key)) or paths().get(key.partition(".")[0])
    return (found.info.description or "").split("; ")[0].split(": ")[0] if found else ""
