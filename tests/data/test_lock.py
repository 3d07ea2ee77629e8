"""`data.lock` is written once and holds the data to what it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from axolotl.config.load import load_config
from axolotl.data.hub import HubSource
from axolotl.data.lock import LOCK_FILE, check_lock, lock_entries
from axolotl.data.prepare import prepare
from axolotl.errors import DataError
from tests.data.conftest import Prepare, alpaca_rows, json_lines

Write = Callable[[str, bytes], str]


@pytest.fixture
def entry(write: Write) -> dict[str, Any]:
    for name in "ab":
        write(f"d/{name}.jsonl", json_lines(alpaca_rows(4)))
    return {"path": "d", "type": "alpaca"}


def test_dataset_lock_is_written_once_and_silent_afterwards(
    run: Prepare, entry: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run(entry)
    assert not Path(LOCK_FILE).exists()
    capsys.readouterr()
    run(entry, dataset_lock=True)
    assert (
        "data.lock: (no file) written; a later run of it with other data is refused"
        in capsys.readouterr().err
    )
    content = json.loads(Path(LOCK_FILE).read_text())
    files = content["configurations"]["(no file)"]
    assert [file["file"] for file in files] == ["d/a.jsonl", "d/b.jsonl"]
    size = Path("d/a.jsonl").stat().st_size
    assert files[0] | {"hash": ""} == {
        "file": "d/a.jsonl",
        "kind": "json",
        "bytes": size,
        "hash": "",
    }
    before = Path(LOCK_FILE).read_bytes()
    assert before.count(b"\n") == 6, "one line for each file"
    run(entry, dataset_lock=True, seed=3, sequence_len=900)
    assert "data.lock" not in capsys.readouterr().err
    assert Path(LOCK_FILE).read_bytes() == before


def test_other_data_is_refused_by_name(run: Prepare, entry: dict[str, Any], write: Write) -> None:
    size = Path("d/a.jsonl").stat().st_size
    run(entry, dataset_lock=True)
    write("d/a.jsonl", json_lines([*alpaca_rows(4), {"instruction": "", "output": "x"}]))
    write("d/c.jsonl", json_lines(alpaca_rows(2)))
    Path("d/b.jsonl").unlink()
    with pytest.raises(DataError) as caught:
        run(entry, dataset_lock=True)
    now = Path("d/a.jsonl").stat().st_size
    assert caught.value.what.splitlines() == [
        "the data is not that of data.lock:",
        f"    d/a.jsonl: changed ({size:,} bytes, now {now:,})",
        "    d/b.jsonl: gone",
        "    d/c.jsonl: new",
    ]
    assert caught.value.where == "dataset_lock"
    assert "remove data.lock" in (caught.value.hint or "")
    run(entry)
    Path(LOCK_FILE).unlink()
    run(entry, dataset_lock=True)
    assert "d/c.jsonl" in Path(LOCK_FILE).read_text()


def test_one_byte_of_the_same_size_is_noticed(
    run: Prepare, entry: dict[str, Any], write: Write
) -> None:
    run(entry, dataset_lock=True)
    write("d/a.jsonl", Path("d/a.jsonl").read_bytes().replace(b"warm", b"cold", 1))
    with pytest.raises(DataError, match=r"d/a\.jsonl: changed\n"):
        run(entry, dataset_lock=True)


def test_test_datasets_are_locked_too(run: Prepare, entry: dict[str, Any], write: Write) -> None:
    test = {"path": write("t.jsonl", json_lines(alpaca_rows(2))), "type": "alpaca"}
    run(entry, test_datasets=[test], dataset_lock=True)
    write("t.jsonl", json_lines(alpaca_rows(3)))
    with pytest.raises(DataError, match=r"t\.jsonl: changed"):
        run(entry, test_datasets=[test], dataset_lock=True)


def test_it_is_not_written_before_the_data_is_prepared(
    run: Prepare, entry: dict[str, Any], write: Write
) -> None:
    good = Path("d/a.jsonl").read_bytes()
    write("d/a.jsonl", good + b'{"instruction": 1}\n')
    with pytest.raises(DataError, match="row 5"):
        run(entry, dataset_lock=True)
    write("d/a.jsonl", good)
    run(entry, dataset_lock=True)


def test_it_lies_beside_the_file(entry: dict[str, Any], write: Write, tokenizer: Any) -> None:
    options = json.dumps({"base_model": "m", "datasets": [entry], "dataset_lock": True})
    write("runs/one.yml", options.encode())
    prepare(load_config("runs/one.yml"), tokenizer=tokenizer)
    assert not Path(LOCK_FILE).exists()
    assert Path("runs", LOCK_FILE).exists()


def _config(write: Write, name: str, path: str) -> Any:
    entry = {"path": path, "type": "alpaca"}
    options = {"base_model": "m", "datasets": [entry], "dataset_lock": True}
    return load_config(write(name, json.dumps(options).encode()))


def test_configurations_of_a_folder_have_parts_of_their_own(
    entry: dict[str, Any], write: Write, tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    second, first = _config(write, "b.yml", "d/b.jsonl"), _config(write, "a.yml", "d/a.jsonl")
    prepare(second, tokenizer=tokenizer)
    prepare(first, tokenizer=tokenizer)
    assert "data.lock: a.yml written; a later run of it with other" in capsys.readouterr().err
    parts = json.loads(Path(LOCK_FILE).read_text())["configurations"]
    assert [(name, [f["file"] for f in files]) for name, files in parts.items()] == [
        ("a.yml", ["d/a.jsonl"]),
        ("b.yml", ["d/b.jsonl"]),
    ]
    write("d/a.jsonl", json_lines(alpaca_rows(5)))
    prepare(second, tokenizer=tokenizer)
    with pytest.raises(DataError, match=r"d/a\.jsonl: changed") as caught:
        prepare(first, tokenizer=tokenizer)
    assert "remove data.lock, or a.yml in it, and the next run" in (caught.value.hint or "")


def test_a_lock_of_the_first_version_holds_for_all_until_it_is_written_anew(
    entry: dict[str, Any], write: Write, tokenizer: Any
) -> None:
    config = _config(write, "a.yml", "d/a.jsonl")
    prepare(config, tokenizer=tokenizer)
    (files,) = json.loads(Path(LOCK_FILE).read_text())["configurations"].values()
    write(LOCK_FILE, json.dumps({"version": 1, "files": files}).encode())
    with pytest.raises(DataError, match=r"d/a\.jsonl: gone"):
        prepare(_config(write, "b.yml", "d/b.jsonl"), tokenizer=tokenizer)
    prepare(config, tokenizer=tokenizer)
    found = json.loads(Path(LOCK_FILE).read_text())
    assert found == {"version": 2, "configurations": {"a.yml": files}}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"version": 3, "files": []}',
        '{"version": 1}',
        '{"version": 2}',
        '{"version": 2, "configurations": []}',
        '{"version": 2, "configurations": {"a": 1}}',
    ],
)
def test_a_lock_that_cannot_be_read_is_refused(
    text: str, run: Prepare, entry: dict[str, Any], write: Write
) -> None:
    write(LOCK_FILE, text.encode())
    with pytest.raises(DataError, match=r"data\.lock cannot be read"):
        run(entry, dataset_lock=True)


def test_of_many_files_the_first_are_named(tmp_path: Path) -> None:
    entries = [{"file": f"{i:02}.jsonl", "hash": "x"} for i in range(25)]
    (tmp_path / LOCK_FILE).write_text('{"version": 1, "files": []}')
    with pytest.raises(DataError) as caught:
        check_lock(tmp_path, "a.yml", entries)
    assert caught.value.what.endswith("09.jsonl: new\n    … and 15 more")


def test_another_reading_is_said_as_such(run: Prepare, write: Write) -> None:
    path = write("rows.data", b'{"text": "a"}\n')
    run({"path": path, "type": "completion", "ds_type": "json"}, dataset_lock=True)
    with pytest.raises(DataError, match=r"changed \(read as json, now as text\)"):
        run({"path": path, "type": "completion", "ds_type": "text"}, dataset_lock=True)


def test_a_slice_locks_the_whole_file(run: Prepare, entry: dict[str, Any]) -> None:
    one = {"path": "d/a.jsonl", "type": "alpaca"}
    run(one | {"train_on_split": "train[:2]"}, dataset_lock=True)
    run(one, one | {"train_on_split": "train[2:]"}, dataset_lock=True)


def test_a_table_of_the_hub_has_rows_and_the_hash_of_what_the_library_read(
    tmp_path: Path,
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(json_lines([{"text": "a"}, {"text": "b"}]))
    table = datasets.load_dataset("json", data_files=str(rows), split="train")
    source = HubSource("owner/name", table)
    (found,) = lock_entries([source, source])
    identity = source.identity().removeprefix("hub:")
    assert found == {"file": "owner/name", "kind": "hub", "rows": 2, "hash": identity}
