"""A name in the YAML file is the name of a file in a plug-in folder; nothing else is to be registered.

An import error inside a plug-in stays an import error: it is never reported as an unknown name.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache, lru_cache
from types import ModuleType

from axolotl.errors import UnknownName

_BITS = 64
_LONGEST = 200
"""Longer ones are no names, and would take long to compare."""
_GOES_ON = 2
"""Errors that a name counts at most which only goes on, or stops short, as `lora_rank` for `lora_r`."""


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that `name` was most likely meant to be, or None when none is close.

    Upper case and hyphens do not matter. Of several that are as close, it is the one that begins
    alike the longest, then the one that ends so, then the first.

    Args:
        name: What was written.
        known: What it could be.
        cutoff: The share of the longer name that must be right.

    >>> nearest("alpca", ["completion", "alpaca"])
    'alpaca'
    """
    typed = _plain(name)
    if len(typed) > _LONGEST:
        return None
    names = [(one, _plain(one)) for one in known if len(one) <= _LONGEST]
    # The likely ones come first, so that most of the others need not be compared.
    order = sorted((_at_least(typed, meant), place) for place, (_, meant) in enumerate(names))
    best: tuple[int, ...] = (len(typed) + 1,)
    found = None
    for least, place in order:
        candidate, meant = names[place]
        most = int((1 - cutoff) * max(len(typed), len(meant)) + 1e-9)
        if least > most:
            continue
        if typed.startswith(meant) or meant.startswith(typed):
            errors = min(least, _GOES_ON)
        elif least > best[0]:
            continue
        else:
            errors = _typing_errors(typed, meant, min(most, best[0]))
        rank = (errors, -_alike(typed, meant), -_alike(typed[::-1], meant[::-1]), place)
        if errors <= most and rank < best:
            best, found = rank, candidate
    return found


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


@lru_cache(4096)
def _letters(name: str) -> int:
    """The letters that a name has, however ordered: one bit for each time that each is there."""
    bits = 0
    for letter in name:
        bit = 1 << ord(letter) % _BITS
        while bits & bit:
            bit <<= _BITS
        bits |= bit
    return bits


def _at_least(one: str, other: str) -> int:
    """Errors that there must be between two words, since one lacks so many letters of the other."""
    here, there = _letters(one), _letters(other)
    return max((here & ~there).bit_count(), (there & ~here).bit_count())


def _alike(one: str, other: str) -> int:
    """How many letters are the same from the beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _typing_errors(typed: str, meant: str, most: int) -> int:
    """Fewest letters added, left out, mistaken or swapped with their neighbour between two words.

    Args:
        typed: One word.
        meant: The other.
        most: Where there are more, the answer is only some number above.

    >>> [_typing_errors(typed, "seed", 4) for typed in ("sed", "seeed", "sead", "sede", "esde")]
    [1, 1, 1, 1, 2]
    """
    before, last = list[int](), list(range(len(meant) + 1))
    for row, letter in enumerate(typed, start=1):
        current = [row]
        for column, wanted in enumerate(meant, start=1):
            mistaken = last[column - 1] + (letter != wanted)
            fewest = min(last[column] + 1, current[column - 1] + 1, mistaken)
            neighbours = row > 1 and column > 1 and letter == meant[column - 2]
            if neighbours and wanted == typed[row - 2]:
                fewest = min(fewest, before[column - 2] + 1)
            current.append(fewest)
        if min(current) > most and min(last) > most:
            return most + 1
        before, last = last, current
    return last[-1]


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
        kind = package.rpartition(".")[2].removesuffix("s")
        guess = nearest(name, names)
        hint = f"did you mean '{guess}'? " if guess else ""
        raise UnknownName(
            f"there is no {kind} '{name}'", where=where, hint=f"{hint}Available: {', '.join(names)}"
        )
    return importlib.import_module(f"{package}.{name}")
