"""How many questions a model answers rightly: it chooses the letter that it finds most probable.

Many questions share a row, like the samples of a training: without padding, and without seeing each
other. Only the logits that predict the answers are computed.

Q questions of a row, K choices at most, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from axolotl.config.set_names import metric_name, unused
from axolotl.models.loss_head import labelled_positions
from axolotl.training.bench.questions import Question
from axolotl.training.data import Rows, sample_loader
from axolotl.training.evaluation import GivenUp, evaluating
from axolotl.training.loss import RowLoss, cross_entropies

_RESERVED = ("average",)
"""Names that a subject cannot have: `bench_average_accuracy` is another figure."""


class Bench:
    """Questions, ready to be asked.

    Args:
        questions: The questions.
        rows: How they share rows.
        rank: Number of this process; each asks its share.
        world_size: Number of processes.
    """

    def __init__(
        self, questions: Sequence[Question], rows: Rows, *, rank: int = 0, world_size: int = 1
    ) -> None:
        self.questions = questions
        self.subjects = list(dict.fromkeys(question.subject for question in questions))
        self._loader = sample_loader(
            [question.row for question in questions],
            np.array([question.row.input_ids.size for question in questions]),
            rows,
            rank=rank,
            world_size=world_size,
        )

    def __call__(
        self,
        model: Any,
        row_loss: RowLoss,
        *,
        device: torch.device,
        sum_over_ranks: Callable[[Tensor], Tensor] = lambda total: total,
        give_up: Callable[[], bool] = lambda: False,
    ) -> dict[str, float]:
        """Ask all questions.

        Args:
            model: The model, possibly wrapped; it is left in the mode it had.
            row_loss: Runs it.
            device: Where it is.
            sum_over_ranks: Adds a tensor up over all processes.
            give_up: Asked before each row whether to go on.

        Returns:
            `bench_accuracy`, over all questions; `bench_<subject>_accuracy` for each subject, and
            `bench_average_accuracy`, the mean over the subjects; `bench_loss`, the mean cross
            entropy of the right letters.

        Raises:
            GivenUp: it was not to go on.
        """
        sums = torch.zeros((3, len(self.subjects)), dtype=torch.float64)
        with evaluating(model):
            for samples, batch in zip(self._loader.batch_sampler, self._loader, strict=True):
                if give_up():
                    raise GivenUp
                inputs = {name: value.to(device) for name, value in batch.items()}
                asked = [self.questions[number] for number in samples]
                losses, chosen = answers(model, row_loss, inputs, asked)
                for question, loss, choice in zip(asked, losses, chosen, strict=True):
                    subject = self.subjects.index(question.subject)
                    sums[:, subject] += torch.tensor([1.0, choice == question.right, loss])
        count, right, loss = sum_over_ranks(sums.to(device)).cpu().numpy()
        return self._figures(count, right, loss)

    def _figures(self, count: np.ndarray, right: np.ndarray, loss: np.ndarray) -> dict[str, float]:
        found = {"bench_accuracy": float(right.sum() / count.sum())}
        shares = dict(zip(self.subjects, (right / count).tolist(), strict=True))
        shares.pop("", None)
        if shares:
            found["bench_average_accuracy"] = sum(shares.values()) / len(shares)
        names: list[str] = list(_RESERVED)
        for subject, share in shares.items():
            names.append(unused(metric_name(subject), names))
            found[f"bench_{names[-1]}_accuracy"] = share
        return {**found, "bench_loss": float(loss.sum() / count.sum())}


def answers(
    model: Any, row_loss: RowLoss, inputs: Mapping[str, Tensor], asked: Sequence[Question]
) -> tuple[list[float], list[int]]:
    """For each question of a row the cross entropy of the right letter, and the choice made.

    Args:
        model: The model, in evaluation mode.
        row_loss: Runs it.
        inputs: The row.
        asked: Its questions, in their order.
    """
    positions, targets = labelled_positions(inputs["labels"])
    most = max((len(question.choices) for question in asked), default=1)
    choices_QK = torch.tensor(
        [[*q.choices, *[q.choices[0]] * (most - len(q.choices))] for q in asked],
        dtype=torch.int64,
        device=positions.device,
    ).reshape(-1, most)

    def values(logits_QV: Tensor, span: slice) -> Tensor:
        of_choices = logits_QV.float().gather(1, choices_QK[span])
        return torch.cat([cross_entropies(logits_QV, targets[span])[:, None], of_choices], dim=1)

    found = row_loss.at(model, dict(inputs), positions, values).cpu().numpy()
    # Places filled up repeat the first choice, and of equals the first is taken.
    return found[:, 0].tolist(), found[:, 1:].argmax(axis=1).tolist()
