"""What an evaluation does besides the loss: questions, samples, a table of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState

from axolotl.config import Sections
from axolotl.core.console import note
from axolotl.data.encoder import Encoder
from axolotl.data.landmarks import Blocks
from axolotl.data.prompts import format_of_first_entry, prompt_ids
from axolotl.errors import DataError
from axolotl.models.adapters import gone_on_with
from axolotl.models.load import planned_config
from axolotl.training.bench.questions import Question, read_questions
from axolotl.training.bench.score import Bench
from axolotl.training.callbacks.eval_report import EvalReport
from axolotl.training.callbacks.eval_table import PREDICTIONS_FILE, EvalTable
from axolotl.training.callbacks.json_lines import FilesOfSteps, JsonLines
from axolotl.training.callbacks.samples import SAMPLES_FILE, Samples
from axolotl.training.data import eval_rows
from axolotl.training.generation import GreedyAnswers, positions
from axolotl.training.trackers import Trackers
from axolotl.training.trainer import PackedTrainer

_PROMPTS = "eval_sample_prompts"


@dataclass(frozen=True)
class EvalExtras:
    """What the file asks for, read before a model is loaded.

    Args:
        questions: Multiple-choice questions.
        prompts: Prompts to be answered, as written.
        prompt_ids: Their tokens, in the format of the training.
    """

    questions: Sequence[Question] = ()
    prompts: Sequence[str] = ()
    prompt_ids: Sequence[Sequence[int]] = ()

    @classmethod
    def read(cls, options: Sections, tokenizer: Any) -> EvalExtras:
        """Read questions and prompts.

        Args:
            options: The configuration.
            tokenizer: A tokenizer of transformers, with the chat template of the training.

        Raises:
            DataError: a file cannot be used, or a prompt leaves the model no position for an answer.
            ModelError: the model has no configuration.
        """
        encoder, evaluation = Encoder(tokenizer), options.evaluation
        prompts = read_prompts(evaluation.eval_sample_prompts)
        bound = format_of_first_entry(options, encoder) if prompts else None
        ids = prompt_ids(prompts, bound=bound, encoder=encoder)
        if prompts:
            planned = planned_config(
                options.model,
                sequence_len=options.sequence.sequence_len,
                rope_scaling=options.attention.rope_scaling,
                adapter=gone_on_with(options.adapter),
            )
            _check_room(prompts, ids, positions(planned))
        return cls(read_bench(options, tokenizer), prompts, ids)

    def facts(self, options: Sections) -> dict[str, Any]:
        """What `run.json` says of it: where the answers are kept, beside it."""
        found: dict[str, Any] = {"bench_questions": len(self.questions)} if self.questions else {}
        if self.prompts:
            found["samples"] = SAMPLES_FILE
        if options.tracking.eval_table_size:
            found["predictions"] = PREDICTIONS_FILE
        return found

    def attach(
        self,
        trainer: PackedTrainer,
        options: Sections,
        tokenizer: Any,
        *,
        isolates: bool,
        trackers: Trackers,
    ) -> None:
        """Have a trainer do it at each evaluation.

        Args:
            trainer: The trainer.
            options: The configuration.
            tokenizer: The tokenizer.
            isolates: Whether several questions may share a row.
            trackers: Get tables.

        Raises:
            DataError: the best checkpoint is to be chosen by what is not measured.
        """
        output = Path(options.saving.output_dir)
        files = {name: JsonLines(output / name) for name in (SAMPLES_FILE, PREDICTIONS_FILE)}
        store: Any = trainer.loaders.eval.dataset if trainer.loaders.eval else None
        _check_metric(trainer, self.questions)
        trainer.add_callback(EvalReport(trainer.sets, len(self.questions)))
        trainer.add_callback(FilesOfSteps(list(files.values())))
        if self.questions:
            rows = eval_rows(options.sequence, options.training, isolates=isolates)
            state = PartialState()
            trainer.bench = Bench(
                self.questions, rows, rank=state.process_index, world_size=state.num_processes
            )

        def answers(max_new_tokens: int) -> GreedyAnswers:
            return GreedyAnswers(
                trainer.model,
                tokenizer,
                max_new_tokens=max_new_tokens,
                autocast=lambda: trainer.accelerator.autocast(),
            )

        if self.prompts:
            answer = answers(options.evaluation.eval_sample_max_new_tokens)
            samples = Samples(
                self.prompts,
                self.prompt_ids,
                answer=answer,
                file=files[SAMPLES_FILE],
                trackers=trackers,
            )
            trainer.add_callback(samples)
            trainer.answers.append(samples)
        if options.tracking.eval_table_size and store is not None:
            table = EvalTable(
                store,
                size=options.tracking.eval_table_size,
                row_loss=trainer.row_loss,
                answer=answers(options.tracking.eval_table_max_new_tokens),
                tokenizer=tokenizer,
                file=files[PREDICTIONS_FILE],
                trackers=trackers,
            )
            trainer.add_callback(table)
            trainer.answers.append(table)


def _check_metric(trainer: PackedTrainer, questions: Sequence[Question]) -> None:
    """Refuse to choose the best checkpoint by the loss of a set of which no row is held out."""
    names = trainer.sets.names if trainer.sets else ()
    there = ["eval_loss", *(f"eval_{name}_loss" for name in names)]
    if trainer.best is None or trainer.best.metric in there:
        return
    if not (questions and trainer.best.metric.startswith("bench_")):
        raise DataError(
            f"{trainer.best.metric} is not measured: there is no row of that set to evaluate on",
            where="metric_for_best_model",
            hint=f"name one of {', '.join(there)}",
        )


def read_bench(options: Sections, tokenizer: Any) -> list[Question]:
    """The questions that the file asks for; none without `do_bench_eval`.

    Raises:
        DataError: their file cannot be used.
    """
    if not options.evaluation.do_bench_eval:
        return []
    encoder = Encoder(tokenizer)
    found = read_questions(
        options.evaluation.bench_dataset,
        encoder,
        capacity_tokens=options.sequence.sequence_len,
        token=options.model.hf_use_auth_token,
        blocks=Blocks.of(options, encoder),
    )
    subjects = {question.subject for question in found if question.subject}
    about = f" on {len(subjects):,} subjects" if len(subjects) > 1 else ""
    note(f"{len(found):,} multiple-choice questions{about} are asked at each evaluation")
    return found


def read_prompts(written: Sequence[str] | str | None) -> list[str]:
    """The prompts of a list, or those of the lines of a file; empty lines are none.

    Raises:
        DataError: the file is not there or has no prompts.
    """
    if not isinstance(written, str):
        return list(written or [])
    hint = 'name a text file with one prompt in each line, or write a list: ["Who are you?"]'
    try:
        text = Path(written).expanduser().read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"no prompts can be read from '{written}': {error}", where=_PROMPTS, hint=hint
        ) from error
    prompts = [line.strip() for line in text.splitlines() if line.strip()]
    if not prompts:
        raise DataError(f"'{written}' has no prompts", where=_PROMPTS, hint=hint)
    return prompts


def _check_room(prompts: Sequence[str], ids: Sequence[Sequence[int]], limit: int | None) -> None:
    for prompt, tokens in zip(prompts, ids, strict=True):
        if limit is not None and len(tokens) >= limit:
            raise DataError(
                f"the prompt {prompt[:40]!r} has {len(tokens):,} tokens, and the model only "
                f"{limit:,} positions",
                where=_PROMPTS,
                hint="shorten it",
            )
