"""Answers to a file of prompts: several at a time, with bounded memory, and gone on with after a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from axolotl.core.console import note, progress
from axolotl.errors import DataError
from axolotl.inference.answer_file import SHOWN_ROWS, AnswerFile, only_writer
from axolotl.inference.generate import Generator
from axolotl.inference.prompt_rows import PromptRow, count_rows, read_rows, row_segments
from axolotl.records import Segment

BATCH_PROMPTS = 8
_STRETCH_BATCHES = 16
"""Batches among whose prompts those of similar length are looked for."""


@dataclass
class Told:
    """What became of a file of prompts.

    Args:
        rows: How many it has.
        before: How many of them an earlier run had done.
        failed_before: How many of these have an error in the place of their answer.
        failed: How many have no answer in this run.
        cut: How many answers ended because they had become too long.
        full: How many of these because prompt and answer fill the model's positions.
        named: The numbers of rows without an answer, of whatever run, as far as they are named.
    """

    rows: int
    before: int = 0
    failed_before: int = 0
    failed: int = 0
    cut: int = 0
    full: int = 0
    named: list[int] = field(default_factory=list)

    @property
    def unanswered(self) -> int:
        """How many rows have no answer after this run."""
        return self.failed_before + self.failed

    @property
    def which(self) -> str:
        """Which ones: `row 4`, `rows 4, 7`, or the first of many.

        >>> Told(9, failed_before=1, named=[4]).which, Told(9, failed=2, named=[4, 7]).which
        ('row 4', 'rows 4, 7')
        """
        more = ", …" if self.unanswered > len(self.named) else ""
        return f"row{'s' * (self.unanswered > 1)} {', '.join(map(str, self.named))}{more}"


def answer_file(
    generator: Generator,
    prompts: Path,
    out: Path,
    *,
    batch_prompts: int = BATCH_PROMPTS,
    made_by: Mapping[str, Any] | None = None,
) -> Told:
    """Answer every row of a file of prompts.

    Each line of `out` has the number of its `row`, and `answer`, `tokens` and `cut`, or `error`;
    and the `id` of the row, where it has one. Drawn answers go by the seed and the number of the row,
    so a run that was stopped and gone on with writes what an undisturbed one does.

    Args:
        generator: What answers.
        prompts: One JSON object a line, as `prompt_rows.row_segments` reads it.
        out: Where answers go; what it holds already is kept.
        batch_prompts: How many prompts are answered together.
        made_by: What the answers depend on besides prompts and options, such as the model.

    Raises:
        DataError: there is no such file, or `out` holds something else, or answers to other rows.
        EnvironmentFault: another process writes `out`.
    """
    told = Told(count_rows(prompts))
    if prompts.resolve() == out.resolve():
        raise DataError("prompts and answers are the same file", where="--out", hint="name another")
    options = asdict(generator.options) | {"stop": list(generator.options.stop)}
    with only_writer(out):
        answers = AnswerFile(out, {**(made_by or {}), **options})
        whole = False
        try:
            _answer_rows(generator, prompts, answers, batch_prompts, told)
            whole = True
        finally:
            answers.close(whole=whole)
    return told


def _answer_rows(
    generator: Generator, prompts: Path, answers: AnswerFile, most: int, told: Told
) -> None:
    out = answers.place
    told.before, told.failed_before = answers.found.rows, answers.found.failed
    told.named = answers.found.named
    if told.before > told.rows:
        raise DataError(
            f"'{out}' has {told.before} answers, and '{prompts}' only {told.rows} rows",
            where="--out",
            hint="name another file",
        )
    if told.before:
        note(_of_before(told, out))
    with progress("rows") as bar:
        task = bar.add_task("answers", total=told.rows, completed=told.before, info="")
        rows = read_rows(prompts)
        answers.skip_done(rows)
        for stretch in _stretches(rows, most * _STRETCH_BATCHES):
            _answer_stretch(generator, stretch, answers, most, told, lambda n: bar.advance(task, n))


def _of_before(told: Told, out: Path) -> str:
    answered = f"{told.before - told.failed_before:,} of {told.rows:,} rows are answered already"
    if not told.failed_before:
        return f"{answered} in {out}"
    return f"{answered} in {out}, and {told.failed_before:,} ended with an error ({told.which})"


def _stretches(rows: Iterable[PromptRow], size: int) -> Iterator[list[PromptRow]]:
    coming = iter(rows)
    while stretch := list(islice(coming, size)):
        yield stretch


def _answer_stretch(
    generator: Generator,
    stretch: list[PromptRow],
    answers: AnswerFile,
    most: int,
    told: Told,
    advance: Callable[[int], None],
) -> None:
    missing = [row for row in stretch if not answers.has(row)]
    for row in stretch:
        if answers.has(row) and (problem := answers.fault(row)):
            _tell(row, problem, told)
    advance(len(stretch) - len(missing))
    ids: dict[int, list[int]] = {}
    by_number = {row.number: row for row in stretch}
    for row in missing:
        try:
            ids[row.number] = _ids(generator, row)
        except DataError as error:
            answers.add(row, {**_head(row), "error": error.what})
            _tell(row, error.what, told)
            advance(1)
    numbers = list(ids)
    for batch in generator.batches([len(ids[number]) for number in numbers], most):
        which = [numbers[place] for place in batch]
        made = generator.batch_ids(
            [ids[number] for number in which], generator.options, numbers=which
        )
        for number, answer in zip(which, made, strict=True):
            told.cut += answer.cut
            told.full += answer.full
            said = {"answer": answer.text, "tokens": answer.tokens, "cut": answer.cut}
            row = by_number[number]
            answers.add(row, {**_head(row), **said})
        answers.save()
        advance(len(which))
    answers.write(stretch[-1].number)


def _ids(generator: Generator, row: PromptRow) -> list[int]:
    if row.row is None:
        raise DataError(row.problem)
    segments: list[Segment] = row_segments(row.row, generator.bound)
    try:
        "".join(part.text for part in segments).encode()
    except UnicodeEncodeError as error:
        raise DataError("the text holds half a character (a lone surrogate)") from error
    return generator.read(segments)


def _head(row: PromptRow) -> dict[str, Any]:
    head: dict[str, Any] = {"row": row.number}
    if row.row is not None and "id" in row.row:
        head["id"] = row.row["id"]
    return head


def _tell(row: PromptRow, problem: str, told: Told) -> None:
    told.failed += 1
    if len(told.named) < SHOWN_ROWS:
        told.named.append(row.number)
    if told.failed <= SHOWN_ROWS:
        note(f"row {row.number}: {problem}")
    elif told.failed == SHOWN_ROWS + 1:
        note("further rows that cannot be answered are only written as such")
