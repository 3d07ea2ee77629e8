"""What a rehearsal comes to: what was put in the place of what, and what each stage showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["proven", "failed", "not shown"]


@dataclass(frozen=True, slots=True)
class Replacement:
    """One thing that a rehearsal has in the place of what the file says.

    Args:
        key: The option, or the dotted path, that it is about.
        was: What the file says.
        now: What the rehearsal has instead; empty where it leaves the thing out.
        unproven: What stays open for that reason; empty where nothing does.
    """

    key: str
    was: str
    now: str
    unproven: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the road.

    Args:
        name: Its name, such as `merge`.
        claim: What it is there to show.
        state: `not shown` where it could not be reached, or has nothing to do for this file.
        seen: What was seen, with its numbers; or why nothing was.
        hint: What the user can do, where it failed.
        mendable: Whether a failure is the user's to mend; else a proof did not hold, or it is a bug.
        numbers: Name → value, as measured.
        seconds: How long it took.
    """

    name: str
    claim: str
    state: State
    seen: str
    hint: str = ""
    mendable: bool = False
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A whole rehearsal.

    Args:
        file: Name of the configuration.
        replacements: What stood in the place of what.
        stages: The road, in order.
        unproven: What no rehearsal can show, and what this one could not.
        seconds: How long it took.
        folder: Where its files are; None where they are gone.
    """

    file: str
    replacements: Sequence[Replacement]
    stages: Sequence[Stage]
    unproven: Sequence[str]
    seconds: float
    folder: Path | None = None

    @property
    def failed(self) -> list[Stage]:
        """The stages that failed."""
        return [stage for stage in self.stages if stage.state == "failed"]

    @property
    def exit_code(self) -> int:
        """0 where nothing failed, 2 where all that failed is the user's to mend, else 1."""
        if not self.failed:
            return 0
        return 2 if all(stage.mendable for stage in self.failed) else 1

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "file": self.file,
            "passed": not self.failed,
            "seconds": round(self.seconds, 1),
            "folder": str(self.folder) if self.folder else None,
            "replaced": [asdict(one) for one in self.replacements],
            "stages": [
                {**asdict(stage), "seconds": round(stage.seconds, 2)} for stage in self.stages
            ],
            "unproven": list(self.unproven),
        }
