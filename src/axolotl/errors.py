"""The exception tree: every mistake of the user is an `AxolotlError`, everything else is a bug.

    AxolotlError            the user's input or machine is at fault; exit code 2, one message, no traceback
    ├── ConfigError         a key of the YAML file or a command-line override
    │   └── ConfigErrors    several of them, reported at once
    ├── DataError           a file, a row or a field of the data
    ├── ModelError          a model folder, tokenizer or adapter that cannot be used
    ├── EnvironmentFault    the machine: disk, permissions, a missing package
    │   └── ProcessLost     another process of the run has gone; exit code 3
    └── UnknownName         a plug-in name that no file answers to

A message always says where, what, and the way out.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any


class AxolotlError(Exception):
    """A mistake that the user can mend.

    Args:
        what: One sentence: what is wrong, with the value.
        where: The place: `file.yml:12`, `data.jsonl row 17`, `--lora_r`.
        hint: The nearest thing that would work.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{place}{self.what}{advice}"


@contextmanager
def located(where: str) -> Generator[None]:
    """Give an error of the body that has no place yet the place `where`, such as `file.yml:12`."""
    try:
        yield
    except AxolotlError as error:
        error.where = error.where or where
        raise


class ConfigError(AxolotlError):
    """One wrong key or value.

    Args:
        key: The dotted path of the key, such as `datasets.0.path`.
        what: What is wrong with it.
        where: Where it was written, such as `file.yml:12`.
        hint: What to write instead.
        rule: The rule that found it; `options` for what cannot be read.
    """

    def __init__(
        self,
        key: str,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        rule: str = "options",
    ) -> None:
        self.key = key
        self.rule = rule
        super().__init__(what, where=where, hint=hint)


class ConfigErrors(ConfigError):
    """All configuration errors of one file, in the order of its lines.

    Args:
        problems: The single errors.
        readable: The configuration without the options that are wrong, as far as there is one.
        remarks: What there is to say besides, as `Finding`s that forbid nothing.
    """

    def __init__(
        self, problems: Sequence[ConfigError], readable: Any = None, remarks: Sequence[Any] = ()
    ) -> None:
        self.problems = list(problems)
        self.readable = readable
        self.remarks = tuple(remarks)
        count = len(self.problems)
        super().__init__("", f"{count} problem{'s' if count != 1 else ''} in the configuration")

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class DataError(AxolotlError):
    """A file, row or field of the data cannot be used."""


class ModelError(AxolotlError):
    """A model folder, tokenizer or adapter cannot be used."""


class EnvironmentFault(AxolotlError):
    """The machine is at fault: disk full, no permission, a package that is not installed."""


class ProcessLost(EnvironmentFault):
    """Another process of the run has gone, and this one cannot go on without it."""


class UnknownName(AxolotlError):
    """No plug-in of that name."""
