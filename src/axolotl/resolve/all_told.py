"""One run tells of everything: what could not be read, and what the rules say of the rest."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from axolotl.config import Config
from axolotl.config.load import place_order
from axolotl.errors import ConfigErrors
from axolotl.resolve.case import Purpose
from axolotl.resolve.machine import Machine
from axolotl.resolve.resolve import as_error, examine
from axolotl.resolve.rules import RULES


@contextmanager
def all_told(*, purpose: Purpose = "check", machine: Machine | None = None) -> Generator[None]:
    """Add to the errors of reading a configuration those of the rules across options.

    A rule that looks at an option whose value could not be read is left out: it would judge a
    default that nobody wrote.

    Args:
        purpose: What the configuration is to be used for.
        machine: What it is to run on.

    Raises:
        ConfigErrors: what the body raised, with the other errors.
    """
    try:
        yield
    except ConfigErrors as error:
        readable = error.readable
        if not isinstance(readable, Config):
            raise
        wrong = {problem.key.partition(".")[0] for problem in error.problems}
        doubtful = {rule.id for rule in RULES if wrong & set(rule.keys)}
        found = [
            f
            for f in examine(readable, purpose=purpose, machine=machine).findings
            if f.rule not in doubtful and f.key.partition(".")[0] not in wrong
        ]
        more = [as_error(f) for f in found if f.level == "error"]
        problems = sorted([*error.problems, *more], key=lambda p: place_order(p.where))
        remarks = [f for f in found if f.level != "error"]
        raise ConfigErrors(problems, readable, remarks) from error
