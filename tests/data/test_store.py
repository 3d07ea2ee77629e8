import json
import pickle
from pathlib import Path

import datasets
import numpy as np
import pytest

from axolotl.data import writer as writer_module
from axolotl.data.store import Damaged, TokenStore, open_store
from axolotl.data.tokenize import TokenRows
from axolotl.data.writer import StoreWriter

KEY = "0123"


def token_rows(lengths: list[int], start: int = 0) -> TokenRows:
    total = sum(lengths)
    ids = np.arange(start, start + total, dtype=np.int32)
    labels = np.where(ids % 3 == 0, -100, ids).astype(np.int32)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return TokenRows(ids, labels, offsets, np.arange(len(lengths)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of five rows in two shards of two and one batches."""
    monkeypatch.setattr(writer_module, "SHARD_BYTES", 1000)
    writer = StoreWriter(tmp_path / "work", KEY)
    writer.add(token_rows([3, 1]), source=0, source_rows=np.array([1, 2]))
    writer.add(token_rows([]), source=0, source_rows=np.array([], np.int64))
    writer.add(token_rows([2, 5], 100), source=0, source_rows=np.array([4, 5]))
    assert writer.full
    writer.close_shard({})
    writer.add(token_rows([4], 200), source=1, source_rows=np.array([1]))
    writer.close_shard({})
    writer.finish(lambda rows: {"more": rows.size})
    return writer.folder.rename(tmp_path / KEY)


def test_rows_come_back_by_index(folder: Path) -> None:
    store = TokenStore(folder, np.arange(5))
    assert len(store) == 5
    assert store.lengths.tolist() == [3, 1, 2, 5, 4]
    assert store.lengths.dtype == np.int32
    assert [store[i].input_ids.tolist() for i in range(5)] == [
        [0, 1, 2],
        [3],
        [100, 101],
        [102, 103, 104, 105, 106],
        [200, 201, 202, 203],
    ]
    assert store[3].labels.tolist() == [-100, 103, 104, -100, 106]
    assert store[-1].input_ids.tolist() == store[4].input_ids.tolist()
    assert (store.tokens, store.trained_tokens) == (15, 8)  # first tokens are not predicted
    for index in (5, -6):
        with pytest.raises(IndexError, match="of 5"):
            store[index]


def test_a_part_in_another_order(folder: Path) -> None:
    part = TokenStore(folder, np.array([4, 0]))
    assert [len(part[i].input_ids) for i in range(2)] == [4, 3]
    assert (part.tokens, part.trained_tokens) == (7, 4)
    again = pickle.loads(pickle.dumps(part))
    assert again[0].input_ids.tolist() == part[0].input_ids.tolist()


def test_rows_are_views_that_cannot_be_changed(folder: Path) -> None:
    row = TokenStore(folder, np.arange(5))[0]
    with pytest.raises(ValueError, match="read-only"):
        row.input_ids[0] = 9


def test_the_datasets_library_opens_it(folder: Path) -> None:
    assert len(list(folder.glob("*.arrow"))) > 1
    table = datasets.load_from_disk(str(folder))
    assert isinstance(table, datasets.Dataset)
    assert table["input_ids"][2:4] == [[100, 101], [102, 103, 104, 105, 106]]
    assert table["attention_mask"][1:3] == [[1], [1, 1]]
    assert {name: str(f.feature.dtype) for name, f in table.features.items()} == {
        "input_ids": "int32",
        "attention_mask": "int8",
        "labels": "int32",
    }


def test_rows_remember_where_they_come_from(folder: Path) -> None:
    files = open_store(folder)
    assert files.facts["more"] == 5
    assert files.rows["source"].tolist() == [0, 0, 0, 0, 1]
    assert files.rows["row"].tolist() == [1, 2, 4, 5, 1]


def test_equal_rows_have_equal_hashes(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "work", KEY)
    ids = np.array([1, 2, 2, 1, 1, 2, 1, 2, 0], np.int32)
    rows = TokenRows(ids, ids, np.array([0, 2, 4, 6, 9]), np.arange(4))
    writer.add(rows, source=0, source_rows=np.arange(4))
    writer.close_shard({})
    writer.finish(lambda _: {})
    hashes = open_store(writer.folder.rename(tmp_path / KEY)).rows["hash"]
    assert hashes[0] == hashes[2]
    assert len(set(hashes.tolist())) == 3


def damage_cut(folder: Path) -> None:
    shard = folder / "data-00000.arrow"
    shard.write_bytes(shard.read_bytes()[:-8])


def damage_flip(folder: Path) -> None:
    shard = folder / "data-00001.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


def damage_json(folder: Path) -> None:
    (folder / "store.json").write_text('{"version": 1')


def damage_version(folder: Path) -> None:
    facts = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps(facts | {"version": 0}))


def damage_missing(folder: Path) -> None:
    (folder / "rows.npy").unlink()


def damage_renamed(folder: Path) -> None:
    (folder / "store.json").write_text(
        (folder / "store.json").read_text().replace(KEY, "another key")
    )


@pytest.mark.parametrize(
    "damage",
    [damage_cut, damage_flip, damage_json, damage_version, damage_missing, damage_renamed],
)
def test_damage_is_noticed(damage: object, folder: Path) -> None:
    assert callable(damage)
    open_store(folder)
    damage(folder)
    with pytest.raises(Damaged):
        open_store(folder)
