"""`samples.jsonl`: what the model answers to some prompts at each evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback

from axolotl.core.console import note
from axolotl.training.callbacks.json_lines import JsonLines
from axolotl.training.distributed.parts import answers_here
from axolotl.training.generation import Answer, GreedyAnswers
from axolotl.training.trackers import Trackers

SAMPLES_FILE = "samples.jsonl"
TABLE = "Samples"
_SHOWN_CHARACTERS = 100


class Samples(TrainerCallback):
    """Answers the prompts at each evaluation, on the first process; the others wait, or help.

    Args:
        prompts: The prompts as the user wrote them.
        prompt_ids: The tokens of each, in the format of the training.
        answer: Answers tokens.
        file: Where the answers are kept.
        trackers: Get them as a table.
    """

    def __init__(
        self,
        prompts: Sequence[str],
        prompt_ids: Sequence[Sequence[int]],
        *,
        answer: GreedyAnswers,
        file: JsonLines,
        trackers: Trackers,
    ) -> None:
        self.prompts = prompts
        self.prompt_ids = prompt_ids
        self.answer = answer
        self.file = file
        self.trackers = trackers
        self._answers: list[Answer] = []

    @property
    def last(self) -> list[dict[str, str]]:
        """What was answered at the last evaluation."""
        return [
            {"prompt": prompt, "answer": answer.text}
            for prompt, answer in zip(self.prompts, self._answers, strict=False)  # none yet
        ]

    def prepare(self, model: Any, give_up: Callable[[], bool]) -> None:
        """Answer; see `AnswersOfEvaluation`."""
        if answers_here(model):
            self._answers = self.answer(self.prompt_ids, give_up)
        PartialState().wait_for_everyone()

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep and show the answers."""
        if state.is_world_process_zero:
            self._tell(self._answers, state.global_step)

    def _tell(self, answers: Sequence[Answer], step: int) -> None:
        rows = [
            {
                "prompt": prompt,
                "answer": answer.text,
                "tokens": answer.tokens,
                "seconds": round(answer.seconds, 3),
                "stopped": answer.stopped,
            }
            for prompt, answer in zip(self.prompts, answers, strict=True)
        ]
        self.file.add({"step": step, **row} for row in rows)
        for prompt, answer in zip(self.prompts, answers, strict=True):
            note(f"  {short(prompt)} → {short(answer.text)} ({_how(answer)})")
        self.trackers.log_table(
            TABLE, list(rows[0]), [list(row.values()) for row in rows], step=step
        )


def _how(answer: Answer) -> str:
    return f"{answer.tokens:,} tokens, {'ended' if answer.stopped else 'cut off'}"


def short(text: str) -> str:
    r"""The beginning of a text on one line, in quotes.

    >>> short("Red,\n  green")
    '"Red, green"'
    """
    line = " ".join(text.split())
    cut = line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1].rstrip() + "…"
    return f'"{cut}"'
