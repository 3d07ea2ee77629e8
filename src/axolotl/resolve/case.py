"""What a rule is shown, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from axolotl.config import Config
from axolotl.records import Edit
from axolotl.resolve.machine import Machine

Purpose = Literal["check", "train", "prepare", "merge", "answer"]
"""What a configuration is read for. `check` judges it as `train` would, and does nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """A configuration to be judged, as written.

    Args:
        config: The configuration.
        machine: What it is to run on.
        purpose: What it is to be used for.
    """

    config: Config
    machine: Machine
    purpose: Purpose = "check"

    @property
    def trains(self) -> bool:
        """Whether it is judged as one to train with here; what the machine lacks is an error then."""
        return self.purpose in ("check", "train")

    @property
    def runs(self) -> bool:
        """Whether something is about to be done; what this version lacks is an error then."""
        return self.purpose != "check"

    @property
    def packs(self) -> bool:
        """Whether samples share rows, by either name."""
        sequence = self.config.sequence
        return sequence.sample_packing or sequence.max_packed_sequence_len is not None

    @property
    def shuffles_all_rows(self) -> bool:
        """Whether the rows of all data sets are shuffled together before they are split."""
        asked = self.config.rows.shuffle_merged_datasets
        if asked is None:
            return self.config.data.has_several and not self.config.rows.curriculum_sampling
        return asked

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
        fix: The way out as changes to the file; see `Finding`.
    """

    level: Literal["error", "warning", "info"]
    key: str
    message: str
    hint: str = ""
    fix: tuple[Edit, ...] = ()


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


Table = Sequence[tuple[Callable[[Case], Iterator[Found]], str]]
"""Rules, each with the options that it looks at, separated by spaces."""


def strategy(
    key: str, name: str | None, steps: Mapping[str, float | None], per_epoch: str
) -> Iterator[Found]:
    """Hold `save_strategy` against `save_steps` and `saves_per_epoch`, or those of evaluations.

    Args:
        key: The strategy's.
        name: The strategy.
        steps: The options that say how often, with their values.
        per_epoch: The one of them that counts by epochs.
    """
    given = [option for option, value in steps.items() if value is not None]
    for option in given:
        if name not in (None, "steps"):
            yield Found(
                "error",
                option,
                f"{option}: {steps[option]} and `{key}: {name}` exclude each other",
                f"remove {option}, or write `{key}: steps`",
            )
    if len(given) > 1:
        yield Found(
            "error",
            per_epoch,
            f"{' and '.join(given)} exclude each other: both say how often",
            "remove one of the two",
        )
    if name == "steps" and not given:
        steps_key = next(iter(steps))
        yield Found("error", key, f"{key}: steps needs {steps_key}", f"add `{steps_key}: 100`")
