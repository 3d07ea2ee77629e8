import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from axolotl.data import batch, text_batches
from axolotl.data.batches import batches
from axolotl.data.encoder import Encoder
from axolotl.data.entries import open_parts
from tests.data.conftest import alpaca_rows, file_of, json_lines

Write = Callable[[str, bytes], str]


def test_reading_that_is_given_up_may_be_closed_by_the_thread_that_tokenizes(
    write: Write, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The garbage collector closes a generator wherever it happens to run."""
    monkeypatch.setattr(batch, "BATCH_ROWS", 4)
    entry = {"path": write("a.jsonl", json_lines(alpaca_rows(20))), "type": "alpaca"}
    encoder = Encoder(tokenizer)
    (part,) = open_parts(file_of(entry), encoder)
    reading: list[Iterator[Any]] = []
    given_up, closed = threading.Event(), threading.Event()
    problems: list[Exception] = []
    original, calls = text_batches.tokenize, iter(range(9))

    def tokenize(*args: Any) -> Any:
        if next(calls) == 1:
            assert given_up.wait(10)
            try:
                reading.pop().close()  # type: ignore[attr-defined]
            except RuntimeError as error:
                problems.append(error)
            closed.set()
        return original(*args)

    monkeypatch.setattr(text_batches, "tokenize", tokenize)
    reading.append(batches(part, encoder))
    assert len(next(reading[0]).rows) == 4
    given_up.set()
    assert closed.wait(10)
    assert problems == []
