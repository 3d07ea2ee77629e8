import io
import json

import pytest

from axolotl.data import json_rows
from axolotl.data.json_rows import read_json
from axolotl.data.rows import RowChunk

ROWS = [
    {"n": i, "text": 'é\u2028😀 ]},{[ \\ " \n' * (i % 7), "deep": [{"a": [i]}]} for i in range(300)
]


def chunks_of(data: bytes) -> list[RowChunk]:
    stream = io.BytesIO(data)
    return list(read_json(io.BufferedReader(stream), "x", done=lambda: stream.tell() / len(data)))


@pytest.mark.parametrize("window", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 1, "lines"])
def test_every_window_gives_the_same_rows(
    window: int, indent: int | str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "CHUNK_BYTES", window)
    monkeypatch.setattr(json_rows, "CHUNK_ROWS", 17)
    if indent == "lines":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    else:
        text = json.dumps(ROWS, ensure_ascii=False, indent=indent)
    chunks = chunks_of(text.encode())
    assert [row for chunk in chunks for row in chunk.rows] == ROWS
    assert [c.first_row for c in chunks] == [
        1 + sum(len(c.rows) for c in chunks[:i]) for i in range(len(chunks))
    ]
    assert chunks[-1].done == 1.0
    assert len(chunks) > 1 or window > 64


def test_lines_are_named_as_an_editor_counts_them() -> None:
    (chunk,) = chunks_of(b'\n\n{"a": "x\xe2\x80\xa8y"}\r\n\n{"a": 1}')
    assert chunk.lines == [3, 5]
    assert chunk.place("d.jsonl", 1) == "d.jsonl row 2 (line 5)"
    (chunk,) = chunks_of(b'[\n {"a": "x\xe2\x80\xa8y"},\n\n {"a":\n 1}, {"a": 2}]')
    assert chunk.lines == [2, 4, 5]
