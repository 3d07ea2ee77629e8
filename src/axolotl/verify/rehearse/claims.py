"""What each stage of a rehearsal is there to show, what it needs, and how it says what it saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from axolotl.verify.rehearse.options import SAVED_AT, STEPS

CLAIMS: Mapping[str, str] = {
    "base": "a model of this architecture can be made, with a tokenizer",
    "data": "there are rows, and they are of the type that the file says",
    "prepare": "rows become tokens and labels",
    "pack": "samples that share a row do not see each other, forward and backward",
    "train": f"{STEPS} steps end with losses that are numbers",
    "save": "what was trained is written, whole, and has changed",
    "evaluate": "what was written has the held-out loss that the run had",
    "kill": f"a SIGKILL after step {SAVED_AT} leaves its checkpoint and no result",
    "resume": "going on from there gives the same bits as a run without a kill",
    "merge": "base and adapter as one model give the same logits",
    "answer": "what was trained is asked in the format of the training, and answers",
}
"""Stage → what it is there to show, in the order of the road."""
NEEDS: Mapping[str, tuple[str, ...]] = {
    "data": ("base",),
    "prepare": ("data",),
    "pack": ("prepare",),
    "train": ("prepare",),
    "save": ("train",),
    "evaluate": ("train",),
    "kill": ("prepare",),
    "resume": ("train", "kill"),
    "merge": ("train",),
    "answer": ("train",),
}


@dataclass(frozen=True)
class Commands:
    """The functions of the commands that a rehearsal goes through.

    They stand above this package, so they are handed in.

    Args:
        train: A resolved configuration → the result of its run.
        evaluate: The same → its held-out loss.
        merge: The same → a report of the merge.
        generate: The same, and questions → answers.
    """

    train: Callable[..., Any]
    evaluate: Callable[..., Any]
    merge: Callable[..., Any]
    generate: Callable[..., Any]


class Failed(Exception):
    """A stage did not show what it is there to show.

    Args:
        seen: What was seen instead.
        hint: The way out.
        mendable: Whether it is the user's to mend.
    """

    def __init__(self, seen: str, *, hint: str = "", mendable: bool = False) -> None:
        super().__init__(seen)
        self.seen = seen
        self.hint = hint
        self.mendable = mendable


class NotShown(Exception):
    """There is nothing to show for this file; its text says why."""


@dataclass(frozen=True)
class Seen:
    """What a stage has shown.

    Args:
        text: In words, with its numbers.
        numbers: Name → value.
    """

    text: str
    numbers: Mapping[str, float]
