"""`predictions.jsonl`: at each evaluation, rows to evaluate on beside what the model makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor
from transformers import TrainerCallback

from axolotl.packing.loader import Flattener, SampleStore
from axolotl.records import IGNORE_INDEX, TokenRow
from axolotl.training.callbacks.json_lines import JsonLines
from axolotl.training.distributed.parts import answers_here
from axolotl.training.evaluation import evaluating
from axolotl.training.generation import GreedyAnswers, decode
from axolotl.training.loss import RowLoss
from axolotl.training.trackers import Trackers

PREDICTIONS_FILE = "predictions.jsonl"
TABLE = "Eval - Predictions vs Ground Truth"
COLUMNS = (
    *("id", "Prompt", "Correct Completion"),
    *("Predicted Completion (model.generate)", "Predicted Completion (trainer.prediction_step)"),
)
_KEYS = ("id", "prompt", "correct", "generated", "teacher_forced")


@dataclass(frozen=True)
class Segment:
    """A row to be predicted.

    Args:
        number: Its number among the rows to evaluate on, from 0.
        prompt: int64: what stands before its last trained part.
        completion: int64: that part.
    """

    number: int
    prompt: np.ndarray
    completion: np.ndarray


def segment_of(number: int, row: TokenRow, landmark: int | None = None) -> Segment | None:
    """Cut a row in prompt and completion; None where nothing of it is predicted.

    The first token of a row is predicted from nothing, so it belongs to the prompt. Of a conversation
    with several trained turns the last is the completion, and the turns before are its prompt. A
    landmark between two trained tokens, which has no label, is part of the completion.

    >>> row = TokenRow(np.arange(5), np.array([-100, -100, 2, 3, -100]))
    >>> segment_of(7, row)
    Segment(number=7, prompt=array([0, 1]), completion=array([2, 3]))
    """
    trained = np.asarray(row.labels) != IGNORE_INDEX
    trained[:1] = False
    if landmark is not None:
        inside = np.flatnonzero(np.asarray(row.input_ids) == landmark)
        inside = inside[(inside > 0) & (inside < trained.size - 1)]
        trained[inside] = trained[inside - 1] & trained[inside + 1]
    places = np.flatnonzero(trained)
    if not places.size:
        return None
    end = int(places[-1]) + 1
    begin = end - int(np.argmin(trained[:end][::-1]))
    ids = np.asarray(row.input_ids, np.int64)
    return Segment(number, ids[:begin], ids[begin:end])


def pick(rows: SampleStore, count: int, landmark: int | None = None) -> Iterator[Segment]:
    """Some rows, evenly spread over all, so that every set has its share."""
    for number in np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)):
        segment = segment_of(int(number), rows[int(number)], landmark)
        if segment is not None:
            yield segment


class EvalTable(TrainerCallback):
    """Predicts some rows at each evaluation, on the first process; the others wait, or help.

    Args:
        rows: The rows to evaluate on, one sample each.
        size: How many are predicted.
        row_loss: Gives what is most probable behind each token of a row.
        answer: Answers prompts.
        tokenizer: Turns tokens into text.
        file: Where predictions are kept.
        trackers: Get them as a table.
    """

    def __init__(
        self,
        rows: SampleStore,
        *,
        size: int,
        row_loss: RowLoss,
        answer: GreedyAnswers,
        tokenizer: Any,
        file: JsonLines,
        trackers: Trackers,
    ) -> None:
        self.segments = list(pick(rows, size, answer.landmark))
        self.row_loss = row_loss
        self.answer = answer
        self.tokenizer = tokenizer
        self.file = file
        self.trackers = trackers
        self._table: list[list[object]] = []

    def prepare(self, model: Any, give_up: Callable[[], bool]) -> None:
        """Predict; see `AnswersOfEvaluation`."""
        if answers_here(model):
            self._table = self._predicted(model, give_up)
        PartialState().wait_for_everyone()

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the predictions."""
        if state.is_world_process_zero:
            step = state.global_step
            self.file.add(
                {"step": step, **dict(zip(_KEYS, row, strict=True))} for row in self._table
            )
            self.trackers.log_table(TABLE, COLUMNS, self._table, step=step)

    def _predicted(self, model: Any, give_up: Callable[[], bool]) -> list[list[object]]:
        table: list[list[object]] = []
        with evaluating(model):
            forced = [self._text(self._forced(model, segment)) for segment in self.segments]
        prompts = [s.prompt.tolist() for s in self.segments]
        with_room = [prompt for prompt in prompts if self.answer.room(prompt)]
        answers = iter(self.answer(with_room, give_up))
        for segment, prompt, teacher in zip(self.segments, prompts, forced, strict=True):
            generated = next(answers).text if self.answer.room(prompt) else ""
            texts = [self._text(segment.prompt), self._text(segment.completion)]
            table.append([segment.number, *texts, generated, teacher])
        return table

    def _forced(self, model: Any, segment: Segment) -> list[int]:
        """What is most probable in the place of each token of a completion, landmarks left out."""
        found = zip(
            forced_tokens(model, self.row_loss, segment), segment.completion.tolist(), strict=True
        )
        return [token for token, true in found if true != self.answer.landmark]

    def _text(self, ids: np.ndarray | Sequence[int]) -> str:
        return decode(self.tokenizer, [int(i) for i in ids])


def forced_tokens(model: Any, row_loss: RowLoss, segment: Segment) -> list[int]:
    """The most probable token in the place of each of a completion, given those that stand before it.

    The logits at a place predict the token behind it, so the places looked at begin with the last
    of the prompt.

    Args:
        model: The model, in evaluation mode.
        row_loss: Runs it.
        segment: The row.
    """
    ids = np.concatenate([segment.prompt, segment.completion])
    row = TokenRow(ids, np.full(ids.size, IGNORE_INDEX))
    device = next(model.parameters()).device
    batch = {name: value.to(device) for name, value in Flattener(None, 0)([row]).items()}
    start = segment.prompt.size - 1
    positions = torch.arange(start, start + segment.completion.size, device=device)
    return row_loss.at(model, batch, positions, _most_probable)[:, 0].long().tolist()


def _most_probable(logits: Tensor, _: slice) -> Tensor:
    return logits.argmax(dim=-1, keepdim=True).float()  # exact up to 16 million tokens
