"""Keys that are no options: misspelt, or known from elsewhere and not supported yet."""

from __future__ import annotations

import re
from collections.abc import Iterable

from axolotl.config.tree import Leaf, Node, is_unset, read_scalar
from axolotl.errors import ConfigError
from axolotl.registry import nearest


def unknown_key(path: str, node: Node, known: Iterable[str]) -> ConfigError | None:
    """Say what is the matter with a key that is no option.

    A key that this version does not support yet may stand in the file without a value, or with the
    value that says what happens anyway (`load_in_8bit: false`).

    Args:
        path: Its dotted path.
        node: Its value.
        known: The options that it could be.

    Returns:
        The problem; None if the key asks for nothing.
    """
    from axolotl.config.later_names import LATER  # only read when something is unknown

    general = re.sub(r"\.\d+\.", ".", path)
    parent, _, key = path.rpartition(".")
    names = list(known)
    if general in LATER:
        if is_unset(node) or _is_idle(node, LATER[general]):
            return None
        return ConfigError(
            path,
            f"option '{path}' is known, but this version does not support it yet",
            where=node.where,
            hint=_later_hint(general),
        )
    # `key` against names alone: the same parent on both sides would make anything look alike
    key = key.lower().replace("-", "_")
    if guess := nearest(key, names) or _longer(key, names):
        hint = f"did you mean '{f'{parent}.' if parent else ''}{guess}'?"
    elif guess := nearest(general, LATER):
        hint = f"the nearest name is '{guess}', which this version does not support yet"
    elif parent:
        hint = f"'{parent}' has: {', '.join(names)}"
    else:
        hint = "remove it, or see docs/options.md for all options"
    return ConfigError(path, f"unknown key {path!r}", where=node.where, hint=hint)


def _longer(key: str, names: list[str]) -> str | None:
    """The only name that begins with `key`: `pad` for `pad_token`."""
    found = [name for name in names if name.startswith(key)]
    return found[0] if len(found) == 1 and len(key) > 1 else None


def _is_idle(node: Node, idle: str | None) -> bool:
    if idle is None or not isinstance(node, Leaf):
        return False
    value = read_scalar(node.value) if isinstance(node.value, str) else node.value
    return value == read_scalar(idle) and type(value) is type(read_scalar(idle))


def _later_hint(name: str) -> str:
    from axolotl.config.later_names import INSTEAD

    return INSTEAD.get(name, "remove it; what this version can do is in docs/options.md")
