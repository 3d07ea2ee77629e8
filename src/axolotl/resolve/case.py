"""What a rule is shown, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from axolotl.config import Config
from axolotl.resolve.machine import Machine


@dataclass(frozen=True, slots=True)
class Case:
    """A configuration to be judged, as written.

    Args:
        config: The configuration.
        machine: What it is to run on.
        trains: Whether it is to train here; what this machine cannot do is an error only then.
    """

    config: Config
    machine: Machine
    trains: bool

    def asked(self, *keys: str) -> list[str]:
        """Those of `keys` that are written, and not just to switch something off."""
        return [key for key in keys if self.config.written.get(key)]


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule found.

    Args:
        level: `error` forbids to run, a `warning` wants a look, an `info` says what was chosen.
        key: The option, or the dotted path, that it is about.
        message: What is the matter.
        hint: The way out.
    """

    level: Literal["error", "warning", "info"]
    key: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is checked.

    Args:
        id: Its name.
        keys: The options that it looks at.
        check: Tells what is the matter.
    """

    id: str
    keys: tuple[str, ...]
    check: Callable[[Case], Iterator[Found]]
