"""Keys that are no options: misspelt, at the wrong level, or known from later releases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from axolotl.config.paths import general, paths
from axolotl.config.tree import Leaf, Node, is_unset, join, read_scalar
from axolotl.errors import ConfigError
from axolotl.registry import nearest

_ALMOST = 0.75
"""How much of a name must be right to be taken for one of another level or release."""


def unknown_key(path: str, node: Node, known: Iterable[str]) -> ConfigError | None:
    """Say what is the matter with a key that is no option.

    A key of a later release may stand in the file without a value, or with the value that says what
    happens anyway.

    Args:
        path: Its dotted path.
        node: Its value.
        known: The keys that there are at its place.

    Returns:
        The problem; None if the key asks for nothing.
    """
    from axolotl.config.later_names import INSTEAD, LATER  # only read when something is unknown

    name = general(path)
    if name in LATER:
        if is_unset(node) or _is_idle(node, LATER[name]):
            return None
        return ConfigError(
            path,
            f"'{path}' is known since a later release, but not supported yet",
            where=node.where,
            hint=INSTEAD.get(name, "remove it; what this version can do is in docs/options.md"),
        )
    hint = unknown_hint(path, list(known))
    return ConfigError(path, f"unknown key {path!r}", where=node.where, hint=hint)


def unknown_hint(path: str, known: Sequence[str]) -> str:
    """What a key that is no option was probably meant to be.

    Args:
        path: Its dotted path.
        known: The keys that there are at its place.
    """
    parent, _, key = path.rpartition(".")
    if found := _elsewhere(key, parent):
        return found
    # `key` against names alone: the same parent on both sides would make anything look alike
    guess = nearest(key, known) or _longer(key, known)
    here = guess and f"did you mean '{join(parent, guess)}'?"
    if here and (nearest(key, known, cutoff=_ALMOST) or guess == _longer(key, known)):
        return here
    if found := _later(key, general(parent)) or _like_elsewhere(key) or here:
        return found
    if parent:
        return f"'{parent}' has: {', '.join(known)}"
    return "remove it, or see docs/options.md for all options"


def _elsewhere(key: str, parent: str) -> str | None:
    """Where a key belongs that is right, but stands at the wrong level."""
    if key in paths():
        return f"it is no part of '{parent}': write it at the top level" if parent else None
    places = [k.example for k in paths().values() if k.name == key]
    if "datasets" in {place.partition(".")[0] for place in places}:
        places = places[:1]  # other lists have entries of the same kind, and are rarely meant
    if not places:
        return None
    holders = " or ".join(f"'{place.rpartition('.')[0]}'" for place in places)
    written = " or ".join(f"'{place}'" for place in places)
    return f"it belongs under {holders}: did you mean {written}?"


def _longer(key: str, names: Sequence[str]) -> str | None:
    """The only name that begins with `key`, or else has it as a part: `pad` for `pad_token`."""
    key = key.lower().replace("-", "_")
    begin = [name for name in names if name.startswith(key)]
    within = [name for name in names if f"_{key}_" in f"_{name}_"]
    found = begin or within
    return found[0] if len(found) == 1 and len(key) > 1 else None


def _later(key: str, parent: str) -> str | None:
    from axolotl.config.later_names import LATER

    levels = [name.rpartition(".") for name in LATER]
    for above, _, name in levels:
        if name == key:
            return f"'{join(above, name)}' is known since a later release, but not supported yet"
    here = [name for above, _, name in levels if above == parent]
    if guess := nearest(key, here, cutoff=_ALMOST):
        return f"the nearest name is '{join(parent, guess)}' of a later release, not supported yet"
    return None


def _like_elsewhere(key: str) -> str | None:
    names = {k.name: k for k in reversed(list(paths().values()))}
    guess = nearest(key, names, cutoff=_ALMOST)
    return f"did you mean '{names[guess].example}'?" if guess else None


def _is_idle(node: Node, idle: str | None) -> bool:
    if idle is None or not isinstance(node, Leaf):
        return False
    value = read_scalar(node.value) if isinstance(node.value, str) else node.value
    return value == read_scalar(idle) and type(value) is type(read_scalar(idle))
