import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from axolotl.data.sources import Source, find_sources
from axolotl.errors import DataError, EnvironmentFault
from tests.data.conftest import rows_in

Write = Callable[[str, bytes], str]


def texts(path: str, **options: Any) -> list[str]:
    sources = find_sources(path, **options)
    return [row["text"] for source in sources for row in rows_in(source.chunks())]


def put(write: Write, *names: str) -> None:
    for name in names:
        write(name, json.dumps({"text": name}).encode())


def test_a_folder_is_read_in_the_order_of_names(write: Write) -> None:
    put(write, "d/b.jsonl", "d/a/c.json", "d/.hidden.json", "d/_x.json", "d/dataset_info.json")
    put(write, "d/cache-0a1b.arrow")
    write("d/README.md", b"not data")
    write("d/z.txt", b"line\n")
    assert texts("d") == ["d/a/c.json", "d/b.jsonl", "line"]


def test_a_split_is_taken_from_the_names(write: Write) -> None:
    put(write, "d/train-00000.jsonl", "d/train-00001.jsonl", "d/test-00000.jsonl", "d/val/x.json")
    assert texts("d") == ["d/train-00000.jsonl", "d/train-00001.jsonl"]
    assert texts("d", split="validation") == ["d/val/x.json"]
    with pytest.raises(DataError, match=r"no file of the split 'extra'[^$]*train-00000"):
        texts("d", split="extra")


@pytest.mark.parametrize(
    ("path", "options", "found"),
    [
        ("d", {"data_files": "b.jsonl"}, ["d/b.jsonl"]),
        ("d", {"data_files": ["b.jsonl", "*.jsonl"]}, ["d/b.jsonl", "d/a.jsonl"]),
        ("d", {"data_dir": "e"}, ["d/e/c.jsonl"]),
        ("d/*.jsonl", {}, ["d/a.jsonl", "d/b.jsonl"]),
        ("d/**/*.jsonl", {}, ["d/a.jsonl", "d/b.jsonl", "d/e/c.jsonl"]),
        ("json", {"data_files": ["d/b.jsonl"]}, ["d/b.jsonl"]),
        ("d[1].jsonl", {}, ["d[1].jsonl"]),
    ],
)
def test_data_files_and_patterns(
    path: str, options: dict[str, Any], found: list[str], write: Write
) -> None:
    put(write, "d/a.jsonl", "d/b.jsonl", "d/e/c.jsonl", "d[1].jsonl")
    assert texts(path, **options) == found


def test_a_saved_dataset_opens(tmp_path: Path) -> None:
    table = datasets.Dataset.from_list([{"text": str(i)} for i in range(30)])
    table.save_to_disk(tmp_path / "one", num_shards=3)
    assert texts(str(tmp_path / "one")) == [str(i) for i in range(30)]
    datasets.DatasetDict({"test": table}).save_to_disk(tmp_path / "two")
    assert len(texts(str(tmp_path / "two"), split="test")) == 30
    with pytest.raises(DataError, match=r"no split 'train' in [^$]*one of: test"):
        texts(str(tmp_path / "two"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("data/rows.json", "no file or folder 'data/rows.json'[^$]*did you mean 'data/rows.jsonl'"),
        ("data/row", "did you mean 'data/rows.jsonl'"),
        ("missing/rows.jsonl", "there is no folder 'missing' either"),
        ("./rows", "nothing of that name"),
        ("rows.parquet", "no file or folder 'rows.parquet'"),
        ("data/*.csv", r"no file 'data/\*.csv'"),
        ("empty", "no data files in the folder 'empty'"),
    ],
)
def test_what_is_not_there(path: str, message: str, write: Write) -> None:
    put(write, "data/rows.jsonl")
    Path("empty").mkdir()
    with pytest.raises(DataError, match=message) as caught:
        find_sources(path, key="datasets.0.path")
    assert caught.value.where == "datasets.0.path"


@pytest.mark.parametrize("name", ["owner/set", "some_set"])
def test_a_hub_id_offline(name: str, write: Write) -> None:
    with pytest.raises(DataError, match=f"'{name}' is no local file or folder") as caught:
        find_sources(name, key="datasets.1.path")
    assert caught.value.hint
    assert "HF_HUB_OFFLINE" in caught.value.hint


def test_a_hub_id_is_opened_by_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def load(path: str, name: str | None, **options: Any) -> datasets.Dataset:
        asked.update(options, path=path, name=name)
        return datasets.Dataset.from_list([{"text": str(i)} for i in range(2100)])

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert texts("owner/set", name="en", split="validation", revision="v1")[-1] == "2099"
    assert asked["path"] == "owner/set"
    assert (asked["name"], asked["split"], asked["revision"]) == ("en", "validation", "v1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(write: Write) -> None:
    put(write, "a.jsonl")
    Path("a.jsonl").chmod(0)
    with pytest.raises(EnvironmentFault, match=r"a\.jsonl: no permission"):
        find_sources("a.jsonl")


def test_identity_is_content_and_kind(write: Write) -> None:
    write("a.jsonl", b'{"text": "1"}')
    write("b.json", b'{"text": "1"}')
    write("c.jsonl", b'{"text": "2"}')
    write("d.txt", b'{"text": "1"}')
    a, b, c, d = (find_sources(n)[0].identity() for n in ("a.jsonl", "b.json", "c.jsonl", "d.txt"))
    assert a == b
    assert len({a, c, d}) == 3


@pytest.mark.parametrize("start_row", [0, 1, 4, 999, 1000, 1001, 2499, 2500, 3000])
@pytest.mark.parametrize(
    "kind", ["jsonl", "json", "csv", "txt", "parquet", "stream.arrow", "file.arrow", "hub"]
)
def test_reading_begins_behind_any_row(
    kind: str, start_row: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of_many_rows(kind, tmp_path, monkeypatch)
    whole = [(n, row) for c in source.chunks() for n, row in zip(c.numbers, c.rows, strict=True)]
    rest = [
        (chunk.place("x", i), (number, row))
        for chunk in source.chunks(start_row)
        for i, (number, row) in enumerate(zip(chunk.numbers, chunk.rows, strict=True))
    ]
    assert len(whole) == 2500
    assert [row for _, row in rest] == whole[start_row:]
    places = [chunk.place("x", i) for chunk in source.chunks() for i in range(len(chunk.rows))]
    assert [place for place, _ in rest] == places[start_row:]


def source_of_many_rows(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    rows = [{"text": f"{i} é,"} for i in range(2500)]
    table = pa.table({"text": [row["text"] for row in rows]})
    file = folder / f"rows.{kind}"
    if kind == "jsonl":
        file.write_text("\n".join(json.dumps(row) + "\n" * (i % 3) for i, row in enumerate(rows)))
    elif kind == "json":
        file.write_text(json.dumps(rows, indent=1))
    elif kind == "csv":
        file.write_text("text\n" + "".join(f'"{row["text"]}"\n\n' for row in rows))
    elif kind == "txt":
        file.write_text("".join(row["text"] + "\n" for row in rows))
    elif kind == "parquet":
        pq.write_table(table, file, row_group_size=700)
    elif kind != "hub":
        new: Any = pa.ipc.new_stream if kind == "stream.arrow" else pa.ipc.new_file
        with file.open("wb") as sink, new(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=1300)
    else:
        made = datasets.Dataset(table)
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: made)
        return find_sources("owner/set")[0]
    return find_sources(str(file))[0]


def test_rows_passed_over_are_not_parsed(write: Write) -> None:
    name = write("a.jsonl", b'{"n": 1}\nbroken\n\n{"n": 3}\n')
    assert [c.rows for c in find_sources(name)[0].chunks(2)] == [[{"n": 3}]]
    (chunk,) = find_sources(name)[0].chunks(1)
    broken, whole = chunk.rows
    assert isinstance(broken, DataError)
    assert broken.where == "a.jsonl row 2 (line 2)"
    assert whole == {"n": 3}


def test_folders_of_the_shapes_that_there_are(write: Write, tmp_path: Path) -> None:
    """Partitioned tables, folders in folders, saved data sets with and without splits."""
    for lang, year in (("en", 1), ("de", 2)):
        folder = tmp_path / "hive" / f"lang={lang}" / f"year={year}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"text": [lang.upper()]}), folder / "part-0.parquet")
    rows = [row for s in find_sources("hive") for chunk in s.chunks() for row in chunk.rows]
    assert rows == [
        {"text": "DE", "lang": "de", "year": "2"},
        {"text": "EN", "lang": "en", "year": "1"},
    ]
    assert texts("hive", data_files="lang=en/**/*.parquet") == ["EN"]
    put(write, "deep/a/b/c/d.jsonl", "deep/a/e.json.gz", "deep/f.ndjson")
    assert texts("deep") == ["deep/a/b/c/d.jsonl", "deep/a/e.json.gz", "deep/f.ndjson"]
    saved = datasets.Dataset.from_list([{"text": str(i)} for i in range(9)])
    saved.filter(lambda row: int(row["text"]) % 2 == 0).save_to_disk(tmp_path / "saved")
    assert texts("saved") == ["0", "2", "4", "6", "8"]
    datasets.DatasetDict({"train": saved, "test": saved.select([1])}).save_to_disk(
        tmp_path / "splits"
    )
    assert texts("splits", split="train[2:4]+test") == ["2", "3", "1"]


def test_columns_of_folders_change_the_identity(tmp_path: Path) -> None:
    for lang in ("en", "de"):
        folder = tmp_path / f"lang={lang}"
        folder.mkdir()
        (folder / "a.jsonl").write_text('{"text": "x"}\n')
    de, en = find_sources(str(tmp_path))
    assert de.identity() != en.identity()


def test_ds_type_wins_in_a_folder(write: Write) -> None:
    write("d/a.dat", b"text\n1\n")
    write("d/b", b"text\n2\n")
    assert texts("d", ds_type="csv") == ["1", "2"]
    write("d/c.csv", b"text\n3\n")
    write("d/README.txt", b"not data")
    assert texts("d", ds_type="csv") == ["3"]


def test_a_split_of_an_own_name(write: Write) -> None:
    put(write, "d/train_sft-0.jsonl", "d/train_gen-0.jsonl", "d/test_sft.jsonl")
    assert texts("d", split="train_sft") == ["d/train_sft-0.jsonl"]
    assert texts("d", split="train") == ["d/train_gen-0.jsonl", "d/train_sft-0.jsonl"]


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("a.jsonl", {"split": "validation"}, "a.jsonl has no splits"),
        ("a.jsonl", {"name": "en"}, "`name: en` has no effect"),
        ("a.jsonl", {"revision": "v1"}, "`revision: v1` has no effect"),
        ("a.jsonl", {"data_files": "b.jsonl"}, "data_files and data_dir have no effect"),
        ("d", {"split": "validation"}, "no file says of which split it is"),
    ],
)
def test_what_has_no_effect_is_said(
    path: str, options: dict[str, Any], said: str, write: Write, capfd: Any
) -> None:
    put(write, "a.jsonl", "d/x.jsonl")
    assert len(texts(str(Path(path).resolve()), **options)) == 1
    assert said in capfd.readouterr().err.replace("\n", "")


def test_a_file_address_is_a_local_path(write: Write, tmp_path: Path) -> None:
    put(write, "a.jsonl")
    assert texts(f"file://{tmp_path}/a.jsonl") == ["a.jsonl"]
