"""Entries of the file as lanes: each with its files, weight, and rows to pass over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from axolotl.config.load import load_config
from axolotl.data import entries
from axolotl.data.encoder import Encoder
from axolotl.data.lanes import open_lanes, stream_key
from axolotl.data.tokenize import Limits
from tests.data.conftest import file_of, json_lines

Write = Callable[[str, bytes], str]
ROWS = json_lines([{"text": "a", "story": "b"}])


def test_entries_of_pretraining_dataset(monkeypatch: pytest.MonkeyPatch, tokenizer: Any) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(
        entries, "find_sources", lambda path, **rest: asked.append({"path": path, **rest}) or []
    )
    text = {"path": "me/texts", "name": "small", "split": "test", "text_column": "story", "skip": 3}
    text["type"] = "pretrain"
    options = {"base_model": "m", "pretraining_dataset": [text, {"path": "other"}]}
    lanes = open_lanes(load_config(options), Encoder(tokenizer))
    assert [(entry["path"], entry["name"], entry["split"]) for entry in asked] == [
        ("me/texts", "small", "test"),
        ("other", None, "train"),
    ]
    assert [(lane.name, lane.skip) for lane in lanes] == [
        ("pretraining_dataset.0", 3),
        ("pretraining_dataset.1", 0),
    ]


def test_entries_of_datasets_have_their_weight_and_files(write: Write, tokenizer: Any) -> None:
    write("d/a.jsonl", ROWS)
    write("d/b.jsonl", ROWS)
    write("c.jsonl", ROWS)
    first = {"path": "d", "type": "completion", "weight": 3}
    options = file_of(first, {"path": "c.jsonl", "type": "completion"}, streaming=True)
    lanes = open_lanes(options, Encoder(tokenizer))
    assert [(lane.weight, len(lane.parts)) for lane in lanes] == [(3.0, 2), (1.0, 1)]


def test_what_decides_the_samples_is_in_the_key(
    write: Write, tokenizer: Any, bos_tokenizer: Any
) -> None:
    def key(path: str = "a.jsonl", limit: int = 64, used: Any = tokenizer, **settings: Any) -> str:
        entry = {"path": path, "type": "completion", **settings}
        encoder = Encoder(used)
        return stream_key(open_lanes(file_of(entry), encoder), encoder, Limits(limit))

    write("a.jsonl", ROWS)
    write("b.jsonl", ROWS)
    keys = [
        key(),
        key("b.jsonl"),
        key(limit=32),
        key(used=bos_tokenizer),
        key(field="story"),
        key(weight=2),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]
    write("a.jsonl", ROWS * 2)
    assert key() != keys[0], "another size"
