"""A name in the YAML file is the name of a file in a plug-in folder; nothing else is to be registered.

An import error inside a plug-in stays an import error: it is never reported as an unknown name.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from types import ModuleType

from axolotl.errors import UnknownName


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name most like `name`, or None when none is close.

    >>> nearest("alpca", ["completion", "alpaca"])
    'alpaca'
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


@cache
def available(package: str) -> tuple[str, ...]:
    """Names of the plug-ins in `package`, sorted; files that begin with `_` are not plug-ins."""
    folder = importlib.import_module(package)
    return tuple(sorted(m.name for m in pkgutil.iter_modules(folder.__path__) if m.name[0] != "_"))


def load(package: str, name: str, *, where: str | None = None) -> ModuleType:
    """Import the plug-in `name` of `package`.

    Args:
        package: Dotted name of the plug-in folder, such as `axolotl.formats`.
        name: Name of the plug-in.
        where: Where the user wrote the name, for the message.

    Raises:
        UnknownName: no file of that name; names the nearest one and all there are.
    """
    names = available(package)
    if name not in names:
        kind = package.rpartition(".")[2]
        guess = nearest(name, names)
        hint = f"did you mean '{guess}'? " if guess else ""
        raise UnknownName(
            f"{kind} has no '{name}'", where=where, hint=f"{hint}Available: {', '.join(names)}"
        )
    return importlib.import_module(f"{package}.{name}")
