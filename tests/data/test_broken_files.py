"""Every kind of broken file is either read right or refused with its place and a way out."""

import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from axolotl.errors import DataError
from tests.data.conftest import Prepare, alpaca_rows, json_lines

GOOD = alpaca_rows(20)
LINES = json_lines(GOOD).splitlines(keepends=True)


def _parquet(rows: list[dict[str, str]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def _arrow(rows: list[dict[str, str]]) -> bytes:
    sink, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _csv(rows: list[dict[str, str]], end: str = "\n") -> bytes:
    lines = ["instruction,input,output"]
    lines += [",".join(f'"{value}"' for value in row.values()) for row in rows]
    return (end.join(lines) + end).encode()


def _with(index: int, line: bytes) -> bytes:
    return b"".join([*LINES[:index], line, *LINES[index + 1 :]])


def _changed(index: int, **fields: Any) -> bytes:
    return _with(index, json_lines([GOOD[index] | fields]))


NOISE = bytes(range(256)) * 8
READ_RIGHT: dict[str, tuple[bytes, int]] = {
    "blank_lines.jsonl": (b"\n".join(LINES) + b" \r\n\n", 20),
    "no_final_newline.jsonl": (b"".join(LINES).rstrip(b"\n"), 20),
    "bom.jsonl": (b"\xef\xbb\xbf" + b"".join(LINES), 20),
    "bom.json": (b"\xef\xbb\xbf" + json.dumps(GOOD, indent=1).encode(), 20),
    "crlf.jsonl": (b"".join(LINES).replace(b"\n", b"\r\n"), 20),
    "indented.jsonl": (b"".join(b"  " + line for line in LINES), 20),
    "crlf.csv": (_csv(GOOD, "\r\n"), 20),
    "bom.csv": (b"\xef\xbb\xbf" + _csv(GOOD), 20),
    "array_named.jsonl": (json.dumps(GOOD, indent=1).encode(), 20),
    "jsonl_named.json": (b"".join(LINES), 20),
    "separators.jsonl": (_changed(3, output="a\u2028b\u2029c\x85d\x0be"), 20),
    "null_input.jsonl": (_changed(11, input=None), 20),
    "nul_escaped.jsonl": (_changed(11, output="a\0b"), 20),
    "empty_instruction.jsonl": (_changed(11, instruction=""), 20),
    "text_named.parquet": (b"".join(LINES), 20),
    "text_named.jsonl.gz": (b"".join(LINES), 20),
    "parquet_named.json": (_parquet(GOOD), 20),
    "arrow_named.json": (_arrow(GOOD), 20),
    "packed.jsonl.gz": (gzip.compress(b"".join(LINES)), 20),
    "packed_array.json.gz": (gzip.compress(json.dumps(GOOD).encode()), 20),
}

REFUSED: dict[str, tuple[bytes, str]] = {
    "truncated_last_line.jsonl": (b"".join(LINES)[:-30], r"row 20 \(line 20\): not JSON: unterminated string at character \d+\n.*seems cut"),
    "truncated_middle_line.jsonl": (_with(11, LINES[11][:40] + b"\n"), r"row 12 \(line 12\): not JSON: unterminated"),
    "missing_field.jsonl": (_with(11, json_lines([{"instruction": "a", "input": ""}])), r"row 12 \(line 12\): no field 'output' \(the row has: instruction, input\)"),
    "number.jsonl": (_changed(11, output=42), r"row 12 \(line 12\): 'output' is a number \(42\)"),
    "list.jsonl": (_changed(12, instruction=["a"]), r"row 13 \(line 13\): 'instruction' is a list"),
    "object.jsonl": (_changed(13, input={"a": 1}), r"row 14 \(line 14\): 'input' is an object"),
    "null_output.jsonl": (_changed(11, output=None), r"row 12 \(line 12\): 'output' is null"),
    "null_instruction.jsonl": (_changed(12, instruction=None), r"row 13 \(line 13\): 'instruction' is null"),
    "empty.jsonl": (b"", "no rows"),
    "empty.json": (b"", "no rows"),
    "empty_array.json": (b" [ ] ", "no rows"),
    "only_newlines.jsonl": (b"\n\r\n\n", "no rows"),
    "only_bom.jsonl": (b"\xef\xbb\xbf", "no rows"),
    "header_only.csv": (b"instruction,input,output\n", "no rows"),
    "empty.csv": (b"", "no rows"),
    "utf16.jsonl": (b"".join(LINES).decode().encode("utf-16"), r"row 1 \(line 1\): the file is UTF-16"),
    "invalid_utf8.jsonl": (_with(11, LINES[11].replace(b"Red", b"R\xe9d")), r"row 12 \(line 12\): not UTF-8: byte 0xe9"),
    "invalid_utf8.json": (json.dumps(GOOD).encode().replace(b"5 others", b"\xe9 others"), r"at or behind row 1: not UTF-8: byte 0xe9"),
    "ragged_short.csv": (b"instruction,input,output\na,b,c\nd,e\n", r"row 2 \(line 3\): 2 cells, but the first line names 3"),
    "ragged_long.csv": (b"instruction,input,output\n\"a\n\",b,c\nd,e,f,g\n", r"row 2 \(line 4\): 4 cells"),
    "unclosed_quote.csv": (b'instruction,input,output\na,b,c\n"d,e,f\ng,h,i\n', r"row 2 \(line 3\): a quote opens here and never closes"),
    "quote_inside.csv": (b'instruction,input,output\n"a"b,c,d\n', r"row 1 \(line 2\): not CSV"),
    "latin1.csv": (b"instruction,input,output\na,b,\xe9\n", r"line 2: not UTF-8"),
    "no_header.csv": (b"Add 2 and 3,,5\nAdd 4 and 5,,9\n", "line 1: the first line does not name the columns"),
    "same_columns.csv": (b"output,output\na,b\n", "line 1: the first line does not name the columns"),
    "mixed_schema.jsonl": (json_lines([GOOD[0], {"text": "a"}]), r"row 2 \(line 2\): no field 'instruction' \(the row has: text\)"),
    "trailing_comma.json": (b"[" + b",\n".join(LINES[:3]) + b",]", r"behind row 3 \(line \d+\): a comma without a row"),
    "missing_comma.json": (b"[" + b" ".join(LINES[:3]) + b"]", r"behind row 1 \(line 2\): a comma or the closing bracket is missing"),
    "open_array.json": (b"[" + b",".join(LINES[:3]), r"behind row 3 \(line 4\): the array is not closed"),
    "cut_array.json": (json.dumps(GOOD).encode()[:-20], r"row 20 \(line 1\): not JSON: [^\n]*\n.*seems cut"),
    "two_arrays.json": (b"[" + LINES[0] + b"]\n[]", "line 3: something stands behind the closing bracket"),
    "array_of_texts.json": (b'["a", "b"]', r"row 1 \(line 1\): the row is a text, not an object"),
    "object_not_array.json": (json.dumps({"data": GOOD}).encode(), r"row 1 \(line 1\): no field 'instruction' \(the row has: data\)\n.*under 'data'"),
    "pretty_object.json": (json.dumps(GOOD[0], indent=1).encode(), "an object over several lines"),
    "rows_not_objects.jsonl": (b'"a string"\n[1]\n3\nnull\ntrue\n', r"row 1 \(line 1\): the row is a text"),
    "null_row.jsonl": (_with(11, b"null\n"), r"row 12 \(line 12\): the row is null"),
    "python_dict.jsonl": (str(GOOD[0]).encode() + b"\n", "text of a Python dict"),
    "nan.jsonl": (_with(11, b'{"instruction": "a", "output": NaN}\n'), r"row 12 \(line 12\): NaN is not JSON"),
    "infinity.json": (b'[{"instruction": "a", "output": -Infinity}]', r"row 1 \(line 1\): -Infinity is not JSON"),
    "lone_surrogate.jsonl": (_with(11, b'{"instruction": "a \\ud800 b", "output": "c"}\n'), r"row 12 \(line 12\): half of a surrogate pair"),
    "duplicate_keys.jsonl": (_with(11, b'{"instruction": "a", "output": "b", "output": "c"}\n'), r"row 12 \(line 12\): the key 'output' stands twice"),
    "nul_bytes.jsonl": (_with(3, b"\0" * 300 + b"\n"), r"row 4 \(line 4\): zero bytes instead of a row"),
    "two_objects.jsonl": (_with(3, LINES[3].strip() + b" " + LINES[4]), r"row 4 \(line 4\): something stands behind the row's closing brace"),
    "deep_nesting.jsonl": (b'{"instruction": ' + b"[" * 100_000 + b"]" * 100_000 + b', "output": "a"}\n', r"row 1 \(line 1\): the row is nested too deeply"),
    "truncated.parquet": (_parquet(GOOD)[:-300], "truncated.parquet: not a whole Parquet file"),
    "noise.parquet": (NOISE, "noise.parquet: not a whole Parquet file"),
    "noise.arrow": (NOISE, "noise.arrow: not a whole Arrow file"),
    "noise.jsonl": (NOISE[128:], r"row 1 \(line 1\): not UTF-8"),
    "truncated.jsonl.gz": (gzip.compress(b"".join(LINES) + NOISE)[:-200], r"behind row \d+: the compressed file is cut short"),
    "packed.parquet.gz": (gzip.compress(_parquet(GOOD)), "a compressed parquet file is not read"),
    "packed.jsonl.zst": (b"\x28\xb5\x2f\xfd" + NOISE, "cut short or damaged: ZSTD"),
}  # fmt: skip


@pytest.mark.parametrize("name", READ_RIGHT)
def test_read_right(name: str, write: Callable[[str, bytes], str], run: Prepare) -> None:
    content, rows = READ_RIGHT[name]
    prepared = run({"path": write(name, content), "type": "alpaca"})
    assert len(prepared.train) == prepared.summary.rows_read == rows
    assert prepared.summary.dropped == {}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, write: Callable[[str, bytes], str], run: Prepare) -> None:
    content, message = REFUSED[name]
    with pytest.raises(DataError, match=message) as caught:
        run({"path": write(name, content), "type": "alpaca"})
    assert caught.value.where is not None
    assert caught.value.where.startswith(name)
    assert caught.value.hint


def test_empty_and_blank_answers(write: Callable[[str, bytes], str], run: Prepare) -> None:
    rows = json_lines([*GOOD[:2], GOOD[2] | {"output": ""}, GOOD[3] | {"output": "   \n"}])
    summary = run({"path": write("a.jsonl", rows), "type": "alpaca"}).summary
    assert summary.dropped == {"no trained token": 1}
    assert summary.dropped_rows["no trained token"].places == (("a.jsonl", 3),)
    assert summary.rows_kept == 3


def test_one_bad_row_of_thousands(write: Callable[[str, bytes], str], run: Prepare) -> None:
    lines = [line for _ in range(500) for line in LINES]
    lines[6590] = lines[6590].rstrip(b'"}\n') + b"\n"
    with pytest.raises(DataError, match=r"row 6591 \(line 6591\): not JSON"):
        run({"path": write("a.jsonl", b"".join(lines)), "type": "alpaca"})


def test_a_plain_text_line_that_is_not_utf8(
    write: Callable[[str, bytes], str], run: Prepare
) -> None:
    name = write("a.txt", "één\ncaf".encode() + b"\xe9\nlast\n")
    with pytest.raises(DataError, match=r"a.txt row 2 \(line 2\): not UTF-8: byte 0xe9"):
        run({"path": name, "type": "completion"})


@pytest.mark.slow
def test_a_row_of_five_megabytes(write: Callable[[str, bytes], str], run: Prepare) -> None:
    long = "Red. " * 1_000_000
    content = json_lines([{"text": long}, {"text": "short"}])
    name = write("a.jsonl.gz", gzip.compress(content))
    prepared = run({"path": name, "type": "completion"}, sequence_len=4096)
    assert prepared.summary.rows_split.places == ((name, 1),)
    assert max(prepared.train.lengths) == 4096
    whole = run({"path": name, "type": "completion"}, sequence_len=10_000_000)
    assert prepared.train.tokens == whole.train.tokens > 1_000_000, "nothing of it is lost"
    answer = write("b.jsonl", json_lines([GOOD[0] | {"output": long}, GOOD[1]]))
    dropped = run({"path": answer, "type": "alpaca"}).summary.dropped_rows
    assert dropped["longer than sequence_len"].places == ((answer, 1),)
