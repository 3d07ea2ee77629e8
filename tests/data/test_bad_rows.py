"""Rows that cannot be used: left out up to a limit, counted and named, and told what would fit them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from axolotl.data.bad_rows import BadRows
from axolotl.data.batches import batches
from axolotl.data.encoder import Encoder
from axolotl.data.entries import open_parts
from axolotl.errors import DataError
from tests.data.conftest import Prepare, alpaca_rows, file_of, json_lines

Write = Callable[[str, bytes], str]
GOOD = alpaca_rows(20)
BROKEN: dict[int, dict[str, Any]] = {
    3: {"instruction": "no answer"},
    7: {"instruction": "a", "output": 5},
    12: {"instruction": "a \ud800 b", "output": "half a pair"},
    20: {"instruction": "a", "output": None},
}
"""Row in the file, from 1 → what stands there."""


def read(name: str, kind: str | None, tokenizer: Any, bad: BadRows, **where: Any) -> list[Any]:
    encoder = Encoder(tokenizer)
    (part,) = open_parts(file_of({"path": name, "type": kind}), encoder)
    return list(batches(part, encoder, bad=bad, **where))


@pytest.fixture
def broken(write: Write) -> str:
    rows = [BROKEN.get(i + 1, row) for i, row in enumerate(GOOD)]
    text = b"".join(
        json_lines([r]) if i + 1 != 12 else b'{"instruction": "a \\ud800 b", "output": "half"}\n'
        for i, r in enumerate(rows)
    )
    return write("a.jsonl", text)


def test_bad_rows_are_left_out_counted_and_named(broken: str, tokenizer: Any) -> None:
    bad = BadRows(4)
    found = read(broken, "alpaca", tokenizer, bad)
    listed = sorted(row for batch in found for row in batch.bad)
    assert [number for number, _ in listed] == sorted(BROKEN)
    assert [what.split(" (")[0] for _, what in listed] == [
        "no field 'output'",
        "'output' is a number",
        "half of a surrogate pair, which no UTF-8 text can hold",
        "'output' is null",
    ]
    numbers = [int(number) for batch in found for number in batch.numbers]
    assert numbers == [n for n in range(1, 21) if n not in BROKEN]
    assert bad.found == 4


def test_the_first_beyond_the_limit_is_an_error(broken: str, tokenizer: Any) -> None:
    message = r"a\.jsonl row 20 \(line 20\): 'output' is null; it is one bad row more than the 2"
    with pytest.raises(DataError, match=message):
        read(broken, "alpaca", tokenizer, BadRows(2))
    with pytest.raises(DataError, match=r"a\.jsonl row 3 \(line 3\): no field 'output'"):
        read(broken, "alpaca", tokenizer, BadRows())


def test_rows_found_before_count(broken: str, tokenizer: Any) -> None:
    with pytest.raises(DataError, match="one bad row more than the 6"):
        read(broken, "alpaca", tokenizer, BadRows(6, found=3))


def test_a_file_of_bad_rows_alone_gives_no_row(write: Write, tokenizer: Any) -> None:
    name = write("b.jsonl", json_lines([{"instruction": "a"}] * 3))
    (only,) = read(name, "alpaca", tokenizer, BadRows(3))
    assert (len(only.rows), [number for number, _ in only.bad]) == (0, [1, 2, 3])


def test_rows_of_tokens_can_be_bad_too(write: Write, tokenizer: Any) -> None:
    good = {"input_ids": [3, 4], "attention_mask": [1, 1], "labels": [3, 4]}
    name = write("t.jsonl", json_lines([good, good | {"labels": [3]}, good]))
    (batch,) = read(name, None, tokenizer, BadRows(1))
    assert batch.numbers.tolist() == [1, 3]
    assert [number for number, _ in batch.bad] == [2]


@pytest.mark.parametrize("start_row", [0, 1, 7, 19, 20])
def test_reading_can_start_behind_a_row(broken: str, tokenizer: Any, start_row: int) -> None:
    found = read(broken, "alpaca", tokenizer, BadRows(4), start_row=start_row)
    numbers = [int(number) for batch in found for number in batch.numbers]
    assert numbers == [n for n in range(start_row + 1, 21) if n not in BROKEN]


def test_batches_begin_anew_where_reading_starts(broken: str, tokenizer: Any) -> None:
    whole = read(broken, "alpaca", tokenizer, BadRows(4), most_rows=5)
    begins = [int(batch.numbers[0]) for batch in whole]
    assert begins == [1, 8, 13, 18]
    later = read(broken, "alpaca", tokenizer, BadRows(4), most_rows=5, start_row=begins[2] - 1)
    assert [b.numbers.tolist() for b in later] == [b.numbers.tolist() for b in whole[2:]]


@pytest.mark.parametrize(
    ("row", "kind", "fits"),
    [
        ({"text": "a"}, "alpaca", "`type: completion`"),
        ({"instruction": "a", "output": "b"}, "completion", "`type: alpaca`"),
        ({"instruction": "a", "output": "b"}, None, "`type: alpaca`"),
    ],
)
def test_the_type_that_fits_is_named(
    row: dict[str, Any], kind: str | None, fits: str, write: Write, run: Prepare
) -> None:
    with pytest.raises(DataError) as caught:
        run({"path": write("a.jsonl", json_lines([row])), "type": kind})
    assert fits in (caught.value.hint or "")


LINES: dict[str, bytes] = {
    "a.jsonl": b'{"text": "a"}\n{"text": "b"\n[1]\n{"text": "\xe9"}\n{"text": "c"}\n',
    "a.csv": b"text,n\na,1\nb\nc,2,3\nd,e,f\ng,2\n",
    "a.txt": b"a\n\xe9\nb\xff\n\xfe\nc\n",
}


@pytest.mark.parametrize("name", LINES)
def test_lines_that_cannot_be_read_are_bad_rows(name: str, write: Write, tokenizer: Any) -> None:
    write(name, LINES[name])
    (batch,) = read(name, "completion", tokenizer, BadRows(3))
    assert batch.numbers.tolist() == [1, 5]
    assert [number for number, _ in batch.bad] == [2, 3, 4]
    with pytest.raises(DataError, match=rf"{name} row 4 \(line \d\)[^$]*one bad row more"):
        read(name, "completion", tokenizer, BadRows(2))


def test_a_row_behind_bad_ones_has_its_own_place(write: Write, tokenizer: Any) -> None:
    write("a.jsonl", b'nothing\n{"text": "a"}\n{"txt": "b"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl row 3 \(line 3\): no field 'text'"):
        read("a.jsonl", "completion", tokenizer, BadRows(1))
