"""Questions out of a file: `input` with the choices, `output` with the right letter, and `subject`.

The letter stands behind the question as text does, with one blank between the two where the question
does not end with white space, and tokenized in one piece with it. So each choice is one token behind
the same tokens, whatever the tokenizer does with blanks.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from axolotl.core.console import note
from axolotl.data.encoder import Encoder
from axolotl.data.landmarks import Blocks
from axolotl.data.source import Source
from axolotl.data.sources import find_sources
from axolotl.errors import DataError
from axolotl.records import IGNORE_INDEX, TokenRow

KEY = "bench_dataset"
_MMLU = "openaccess-ai-collective/mmlu-evals"
KNOWN: Mapping[str, tuple[str, str]] = {
    "mmlu-zs": (_MMLU, "zero_shot_mmlu_val.json"),
    "mmlu-fs": (_MMLU, "five_shot_mmlu_val.json"),
    "mmlu": (_MMLU, "five_shot_mmlu_val.json"),
}
"""Short names: repository of the hub and file in it."""
_ANSWER = re.compile(r"\s*\(?([A-Za-z])(?![A-Za-z0-9])")
_CHOICES = (
    re.compile(r"^\s*\(?([A-Z])[.):]", re.MULTILINE),
    re.compile(r"(?:^|\s)\(?([A-Z])[.):]\s"),
)
"""Letters of choices: at the beginning of lines, or else anywhere in the text."""


@dataclass(frozen=True)
class Question:
    """One question.

    Args:
        row: Its tokens and that of the right letter, which alone has a label.
        choices: Tokens of the letters that may be chosen.
        right: Place of the right one among them.
        subject: What it is about; empty for nothing in particular.
    """

    row: TokenRow
    choices: tuple[int, ...]
    right: int
    subject: str


def read_questions(
    dataset: str,
    encoder: Encoder,
    *,
    capacity_tokens: int,
    token: bool | None = None,
    blocks: Blocks | None = None,
) -> list[Question]:
    """All questions of a file that are short enough.

    Args:
        dataset: A file, one of `KNOWN`, or a file of a hub data set: `owner/name/file.json`.
        encoder: The tokenizer.
        capacity_tokens: The longest question in tokens; others are left out, and that is said.
        token: Whether the hub gets the user's token; None leaves it to the library.
        blocks: How questions are cut into blocks by landmarks; None for questions without.

    Raises:
        DataError: the file is not there, a row is no question, or none is short enough.
    """
    written = [row for source in _sources(dataset, token) for row in _rows(source)]
    last = max((letter for *_, letter in written), default="")
    questions: list[Question] = []
    too_long = 0
    for place, row, answer in written:
        question = _question(place, row, answer, last=last, encoder=encoder, blocks=blocks)
        fits = question.row.input_ids.size <= capacity_tokens
        questions += [question] if fits else []
        too_long += not fits
    if not questions:
        what = f"no question is as short as {capacity_tokens} tokens" if written else "no questions"
        raise DataError(
            f"'{dataset}' has {what}", where=KEY, hint="name another file, or raise sequence_len"
        )
    if too_long:
        note(
            f"{KEY}: {too_long:,} of {len(written):,} questions are longer than sequence_len and not asked"
        )
    return questions


def _sources(dataset: str, token: bool | None) -> Sequence[Source]:
    owner, _, rest = dataset.partition("/")
    name, _, file = rest.partition("/")
    if dataset in KNOWN:
        repository, file = KNOWN[dataset]
        return find_sources(repository, key=KEY, data_files=file, token=token)
    if file and not Path(dataset).exists() and not Path(owner).exists():
        return find_sources(f"{owner}/{name}", key=KEY, data_files=file, token=token)
    return find_sources(dataset, key=KEY, token=token)


def _rows(source: Source) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Where each row stands, the row, and its right letter."""
    for chunk in source.chunks():
        for index, row in enumerate(chunk.rows):
            if isinstance(row, Exception):
                raise row
            place = chunk.place(source.label, index)
            for field in ("input", "output"):
                if not isinstance(row.get(field), str) or not str(row[field]).strip():
                    raise DataError(
                        f"a question needs `{field}`, a text",
                        where=f"{KEY}: {place}",
                        hint='rows look like {"input": "… A. … B. … Answer:", "output": "B", '
                        '"subject": "…"}',
                    )
            yield place, row, _letter(str(row["output"]), place)


def _letter(output: str, place: str) -> str:
    found = _ANSWER.match(output)
    if found is None:
        raise DataError(
            f"the right answer is no letter: {output[:40]!r}",
            where=f"{KEY}: {place}",
            hint='write the letter of the right choice: "output": "B"',
        )
    return found[1].upper()


def choice_letters(text: str, answer: str, *, last: str) -> str:
    r"""The letters of the choices that a question has.

    Args:
        text: The question.
        answer: The right letter.
        last: The last letter that is right in the whole file; with those before it, it is taken
            where the text does not tell.

    Returns:
        The letters; without the right one, where the text tells that it is none of them.

    >>> choice_letters("Is it so?\nA. Yes\nB. No\nAnswer:", "B", last="D")
    'AB'
    >>> choice_letters("Is it so?", "B", last="D")
    'ABCD'
    """
    told = ""
    for pattern in _CHOICES:
        named = set(pattern.findall(text))
        letters = "".join(
            letter
            for letter in string.ascii_uppercase
            if set(string.ascii_uppercase[: ord(letter) - 64]) <= named
        )
        if len(letters) > 1 and answer in letters:
            return letters
        told = max(told, letters, key=len)
    if len(told) > 1:
        return told
    return string.ascii_uppercase[: ord(max(last, answer)) - 64]


def _question(
    place: str,
    row: Mapping[str, Any],
    answer: str,
    *,
    last: str,
    encoder: Encoder,
    blocks: Blocks | None,
) -> Question:
    text = str(row["input"])
    letters = choice_letters(text, answer, last=last)
    if answer not in letters:
        raise DataError(
            f"the right answer is {answer}, and the question has the choices {', '.join(letters)}",
            where=f"{KEY}: {place}",
            hint="write the letter of one of its choices, or begin the line of each with its letter",
        )
    between = "" if text[-1].isspace() else " "
    flat, counts = encoder.encode([f"{text}{between}{letter}" for letter in letters])
    ends = np.concatenate([[0], np.cumsum(counts)]).tolist()
    found = [flat[begin:end].tolist() for begin, end in pairwise(ends)]
    choices = tuple(ids[-1] for ids in found)
    before = [*encoder.prefix, *found[0][:-1]]
    alike = all(ids[:-1] == found[0][:-1] for ids in found)
    if not alike or not before or len(set(choices)) < len(choices):
        raise DataError(
            "the tokenizer does not make one token of each letter behind this question",
            where=f"{KEY}: {place}",
            hint="let the question end with `Answer:`",
        )
    right = letters.index(answer)
    before = blocks.into(before) if blocks else before
    ids = np.array([*before, choices[right]], np.int32)
    labels = np.full(ids.size, IGNORE_INDEX, np.int32)
    labels[-1] = ids[-1]
    return Question(TokenRow(ids, labels), choices, right, str(row.get("subject") or "").strip())
