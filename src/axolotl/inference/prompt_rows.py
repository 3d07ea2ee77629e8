"""Rows of a file of prompts, one at a time: what stands before the answer that each asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from axolotl.core.hashing import hash_bytes
from axolotl.errors import DataError
from axolotl.formats import BoundFormat
from axolotl.inference.prompt import segments_of
from axolotl.records import Segment

_DIGEST = 16
"""Digits of a row's hash: enough to tell an edited row, and a file of prompts has many."""
_OWN_KEYS = ("messages", "conversations")
"""Columns of conversations that `type: chat_template` reads without being told of any."""


@dataclass(frozen=True)
class PromptRow:
    """A row of the file.

    Args:
        number: Its number, from 1; lines without anything count for none.
        row: Its content; None where it cannot be read.
        problem: Why not.
        digest: Hash of its line.
    """

    number: int
    row: Mapping[str, Any] | None
    problem: str = ""
    digest: str = ""


def read_rows(file: Path) -> Iterator[PromptRow]:
    """The rows of a file with one JSON object a line, as they are read.

    Args:
        file: The file, in UTF-8.
    """
    number = 0
    with file.open("rb") as lines:
        for line in lines:
            if not line.strip():
                continue
            number += 1
            yield replace(_row(number, line), digest=hash_bytes(line.strip())[:_DIGEST])


def count_rows(file: Path) -> int:
    """How many rows `read_rows` will give.

    Raises:
        DataError: the file is not there.
    """
    try:
        with file.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError(
            f"no file '{file}'", where="--prompts", hint="name a file with one JSON object a line"
        ) from error


def _row(number: int, line: bytes) -> PromptRow:
    try:
        found: object = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return PromptRow(number, None, f"not UTF-8 (byte {error.start})")
    except ValueError as error:
        return PromptRow(number, None, f"no JSON: {error}")
    except RecursionError:
        return PromptRow(number, None, "no JSON that can be read: nested too deeply")
    if not isinstance(found, dict):
        return PromptRow(number, None, 'no JSON object, such as {"prompt": "A question"}')
    return PromptRow(number, cast("dict[str, Any]", found))


def row_segments(row: Mapping[str, Any], bound: BoundFormat | None) -> list[Segment]:
    """What stands before the answer of a row.

    The row has the columns of the training data, with or without the answer; or a question under
    `prompt`; or a conversation under `messages`, of which an answer at the end is left out.

    Args:
        row: The row.
        bound: Format that questions are asked in; None for plain text.

    Raises:
        DataError: it has none of these, or nothing that the format can ask.
    """
    if bound is not None and _is_own(row, bound):
        return bound.asked(row)
    if "prompt" in row:
        text = row["prompt"]
        if not isinstance(text, str):
            raise DataError("'prompt' is no text")
        return segments_of(text, bound)
    if "messages" in row:
        return _conversation(row, bound)
    own = ", ".join(bound.fields) if bound is not None else ""
    has = ", ".join(map(str, row)) or "nothing"
    raise DataError(
        f"no 'prompt' and no 'messages'{f' and none of: {own}' if own else ''} (the row has: {has})"
    )


def _is_own(row: Mapping[str, Any], bound: BoundFormat) -> bool:
    """Whether a row is written as those of the training are."""
    return any(name in row for name in bound.fields or (_OWN_KEYS if bound.talks else ()))


def _conversation(row: Mapping[str, Any], bound: BoundFormat | None) -> list[Segment]:
    messages, tools = row["messages"], row.get("tools")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise DataError("'messages' is no list of objects with 'role' and 'content'")
    found = cast("list[dict[str, Any]]", messages)
    if len(found) > 1 and found[-1].get("role") == "assistant":
        found = found[:-1]
    if bound is not None and tools:
        return bound.conversation(found, tools)
    return segments_of(found, bound)
