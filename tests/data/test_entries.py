"""What an entry of `datasets` says decides which rows there are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import datasets
import pytest

from axolotl.data.prepare import Prepared

Write = Callable[[str, bytes], str]
Run = Callable[..., Prepared]


@pytest.fixture
def files(write: Write) -> None:
    """Four files with one row each, whose text is the name of the file."""
    for name in ("a.jsonl", "d/train.jsonl", "d/validation.jsonl", "d/e/c.jsonl"):
        row = {"text": name, "body": f"body of {name}", "instruction": "Name?", "output": name}
        write(name, json.dumps(row).encode())


def only_text(prepared: Prepared, tokenizer: Any) -> str:
    assert len(prepared.train) == 1
    return tokenizer.decode(prepared.train[0].input_ids, skip_special_tokens=True)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"path": "a.jsonl"}, "a.jsonl"),
        ({"path": "d/e/c.jsonl"}, "d/e/c.jsonl"),
        ({"path": "d", "data_files": "train.jsonl"}, "d/train.jsonl"),
        ({"path": "d", "data_dir": "e"}, "d/e/c.jsonl"),
        ({"path": "d", "train_on_split": "validation"}, "d/validation.jsonl"),
        ({"path": "a.jsonl", "field": "body"}, "body of a.jsonl"),
    ],
)
def test_the_entry_chooses_the_rows(
    run: Run, tokenizer: Any, entry: dict[str, str], text: str
) -> None:
    assert only_text(run({"type": "completion"} | entry), tokenizer) == text


@pytest.mark.usefixtures("files")
def test_every_entry_is_taken(run: Run) -> None:
    """Two entries of `datasets` give the rows of both."""
    both = run(
        {"path": "a.jsonl", "type": "completion"},
        {"path": "d/e/c.jsonl", "type": "alpaca"},
    )
    assert len(both.train) == 2


@pytest.mark.usefixtures("files")
def test_the_type_decides_what_a_row_becomes(run: Run, tokenizer: Any) -> None:
    text = only_text(run({"path": "a.jsonl", "type": "alpaca"}), tokenizer)
    assert text.startswith("Below is an instruction")
    assert text.endswith("### Response:\na.jsonl")


def test_ds_type_says_what_a_file_is(run: Run, tokenizer: Any, write: Write) -> None:
    write("rows.dat", b"text\nred\n")
    entry = {"path": "rows.dat", "type": "completion"}
    assert only_text(run({**entry, "ds_type": "csv"}), tokenizer) == "red"
    assert len(run({**entry, "ds_type": "text"}).train) == 2


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is asked of the `datasets` library, which has one row, naming what it is, in every set."""
    calls: list[dict[str, Any]] = []

    def load(path: str, name: str | None, **options: Any) -> datasets.Dataset:
        calls.append(options)
        return datasets.Dataset.from_list([{"text": f"{path} {name} {options['revision']}"}])

    monkeypatch.setattr(datasets, "load_dataset", load)
    return calls


@pytest.mark.usefixtures("asked")
def test_name_and_revision_choose_among_what_the_hub_has(run: Run, tokenizer: Any) -> None:
    entry = {"path": "owner/set", "type": "completion", "name": "en", "revision": "v1"}
    assert only_text(run(entry), tokenizer) == "owner/set en v1"


@pytest.mark.usefixtures("asked")
def test_a_list_of_names_is_a_source_of_each(run: Run, tokenizer: Any) -> None:
    both = run({"path": "owner/set", "type": "completion", "name": ["en", "de"]})
    rows = [both.train[i].input_ids for i in range(len(both.train))]
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in rows]
    assert sorted(texts) == ["owner/set de None", "owner/set en None"]
    one = run({"path": "owner/set", "type": "completion", "name": ["en"]})
    assert one.summary.key != both.summary.key


@pytest.mark.parametrize("hf_use_auth_token", [None, True, False])
def test_the_hub_token_is_sent_as_told(
    run: Run, asked: list[dict[str, Any]], hf_use_auth_token: bool | None
) -> None:
    run({"path": "owner/set", "type": "completion"}, hf_use_auth_token=hf_use_auth_token)
    assert [call.get("token", "unset") for call in asked] == [
        "unset" if hf_use_auth_token is None else hf_use_auth_token
    ]
