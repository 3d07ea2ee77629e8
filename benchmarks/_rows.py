"""Rows for the benchmarks of preparing data, made of the quick start's, each with a number in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

Row = dict[str, Any]
QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart" / "data.jsonl"
QUESTION = (
    "Below is an instruction that describes a task{}. Write a response that appropriately "
    "completes the request.\n\n### Instruction:\n{}{}\n\n### Response:\n"
)
PAIRED = ", paired with an input that provides further context"


@dataclass(frozen=True)
class Load:
    """A kind of data set.

    Args:
        count: How many rows.
        make: Row number → row.
        texts: Row → the pieces that the plain way tokenizes.
        entry: What the dataset entry of the file says.
        offsets: Whether masks need offsets, so that the plain way is `encode_batch`.
        options: What the file says besides.
        bound: Least share of the plain way's rate.
    """

    count: int
    make: Callable[[list[Row], int], Row]
    texts: Callable[[Row], list[str]]
    entry: dict[str, Any]
    offsets: bool = False
    options: dict[str, Any] | None = None
    bound: float = 0.75


def _alpaca(rows: list[Row], number: int) -> Row:
    first, *more = (rows[(number + i) % len(rows)] for i in range(3))
    output = " ".join(row["output"] for row in (first, *more))
    return first | {"instruction": f"{number}. {first['instruction']}", "output": output}


def _alpaca_texts(row: Row) -> list[str]:
    extra = f"\n\n### Input:\n{row['input']}" if row["input"] else ""
    question = QUESTION.format(PAIRED if extra else "", row["instruction"], extra)
    return [question, row["output"]]


def _chat(rows: list[Row], number: int) -> Row:
    turns: list[Row] = []
    for i in range(3):
        row = rows[(number + i) % len(rows)]
        question = f"{number}. {row['instruction']}" if i == 0 else row["instruction"]
        turns += [
            {"from": "human", "value": f"{question} {row['input']}".strip()},
            {
                "from": "gpt",
                "value": f"{row['output']} {rows[(number + i + 7) % len(rows)]['output']}",
            },
        ]
    return {"conversations": turns}


def _chat_texts(row: Row) -> list[str]:
    roles = {"human": "user", "gpt": "assistant"}
    turns = row["conversations"]
    return ["".join(f"<|im_start|>{roles[t['from']]}\n{t['value']}<|im_end|>\n" for t in turns)]


def _document(rows: list[Row], number: int) -> Row:
    parts = [rows[(number * 7 + i) % len(rows)] for i in range(40)]
    text = "\n\n".join(f"{row['instruction']}\n{row['output']}" for row in parts)
    return {"text": f"Document {number}\n{text}"}


def _short(rows: list[Row], number: int) -> Row:
    row = rows[number % len(rows)]
    return {
        "instruction": f"{number}. {row['instruction'][:60]}",
        "output": row["output"][:40] or "-",
    }


LOADS = {
    "alpaca": Load(
        52_000, _alpaca, _alpaca_texts, {"type": "alpaca"}, options={"val_set_size": 0.04}
    ),
    "chat": Load(
        20_000,
        _chat,
        _chat_texts,
        {"type": "chat_template", "chat_template": "chatml"},
        offsets=True,
        bound=0.6,
    ),
    "completion": Load(
        5_000,
        _document,
        lambda row: [row["text"]],
        {"type": "completion"},
        options={"sequence_len": 1024},
    ),
    "million": Load(1_000_000, _short, lambda _: [], {"type": "alpaca"}, bound=0),
}


def write_rows(name: str, target: Path, count: int | None = None) -> Path:
    """Write the rows of a load as JSON Lines."""
    load = LOADS[name]
    sources = read_rows(QUICKSTART)
    with target.open("w", encoding="utf-8", newline="\n") as out:
        for number in range(count or load.count):
            out.write(json.dumps(load.make(sources, number), ensure_ascii=False) + "\n")
    return target


def read_rows(source: Path) -> list[Row]:
    """All rows of a file."""
    with source.open(encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]


def in_chunks(pieces: list[list[str]], rows: int) -> Iterator[list[list[str]]]:
    """The pieces of so many rows at a time."""
    found = iter(pieces)
    while chunk := list(islice(found, rows)):
        yield chunk
