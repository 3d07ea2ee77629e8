import json
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from filelock import FileLock

from axolotl.data import batch as borders
from axolotl.data import batches, making
from axolotl.data.encoder import Encoder
from axolotl.data.entries import open_parts
from axolotl.data.prepare import Prepared, prepare
from axolotl.errors import ConfigError, DataError, EnvironmentFault, ModelError, UnknownName
from tests.conftest import build_tokenizer
from tests.data.conftest import Prepare, alpaca_rows, file_of, json_lines

Write = Callable[[str, bytes], str]
QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart" / "data.jsonl"


@pytest.fixture
def entry(write: Write) -> dict[str, Any]:
    return {"path": write("rows.jsonl", json_lines(alpaca_rows())), "type": "alpaca"}


def texts(store: Any, tokenizer: Any) -> list[str]:
    return [tokenizer.decode(store[i].input_ids) for i in range(len(store))]


def test_rows_become_tokens_in_order(run: Prepare, entry: dict[str, Any], tokenizer: Any) -> None:
    prepared = run(entry)
    assert prepared.eval is None
    found = texts(prepared.train, tokenizer)
    for row, text in zip(alpaca_rows(), found, strict=True):
        assert f"### Instruction:\n{row['instruction']}" in text
        assert text.endswith(f"### Response:\n{row['output']}</s>")
    row = prepared.train[4]
    assert tokenizer.decode(row.input_ids[row.labels != -100]) == "Red and 4 others.</s>"
    summary = prepared.summary
    assert (summary.rows_read, summary.rows_kept, summary.train_rows) == (20, 20, 20)
    assert summary.tokens == prepared.train.tokens == int(prepared.train.lengths.sum())
    assert summary.trained_tokens == prepared.train.trained_tokens
    assert summary.longest_tokens == prepared.train.lengths.max()


def test_the_second_time_comes_from_the_store(run: Prepare, entry: dict[str, Any]) -> None:
    first, second = run(entry), run(entry)
    assert (first.summary.from_cache, second.summary.from_cache) == (False, True)
    assert first.summary.key == second.summary.key
    assert first.summary.dropped_rows == second.summary.dropped_rows
    assert [p.name for p in Path("last_run_prepared").iterdir() if p.name[0] != "."] == [
        first.summary.key
    ]
    table = datasets.load_from_disk(str(first.summary.folder))
    assert isinstance(table, datasets.Dataset)
    assert table[3]["input_ids"] == second.train[3].input_ids.tolist()


@pytest.mark.parametrize("options", [{"seed": 7}, {"val_set_size": 5}, {"dataset_processes": 3}])
def test_options_that_do_not_change_rows_share_the_store(
    options: dict[str, Any], run: Prepare, entry: dict[str, Any]
) -> None:
    first = run(entry)
    assert run(entry, **options).summary.from_cache
    Path("renamed.jsonl").write_bytes(Path(entry["path"]).read_bytes())
    again = run(entry | {"path": "renamed.jsonl"}, **options).summary
    assert again.key == first.summary.key
    assert again.sources[0]["file"] == "renamed.jsonl"


def test_whatever_changes_rows_changes_the_key(
    run: Prepare, entry: dict[str, Any], write: Write
) -> None:
    other = build_tokenizer()
    other.add_tokens(["colours"])
    rows = alpaca_rows()
    rows[7]["output"] += "!"
    keys = [
        run(entry).summary.key,
        run(entry, sequence_len=100).summary.key,
        run(entry, train_on_inputs=True).summary.key,
        run(entry, tokenizer=other).summary.key,
        run(entry, tokenizer=build_tokenizer(bos=True)).summary.key,
        run(entry | {"type": "alpaca:chat"}).summary.key,
        run(entry, entry).summary.key,
        run(entry | {"path": write("changed.jsonl", json_lines(rows))}).summary.key,
    ]
    assert len(set(keys)) == len(keys)


def test_long_rows_are_dropped_and_named(run: Prepare, write: Write) -> None:
    rows = alpaca_rows(5)
    rows[1]["output"] = "Red. " * 200
    rows[3]["output"] = ""
    prepared = run({"path": write("a.jsonl", json_lines(rows)), "type": "alpaca"}, sequence_len=200)
    summary = prepared.summary
    assert summary.dropped == {"longer than sequence_len": 1, "no trained token": 1}
    assert summary.dropped_rows["longer than sequence_len"].places == (("a.jsonl", 2),)
    assert summary.dropped_rows["no trained token"].places == (("a.jsonl", 4),)
    assert (summary.rows_read, summary.rows_kept) == (5, 3)
    assert ("dropped: longer than sequence_len", "1 (a.jsonl row 2)") in summary.lines()
    stored = json.loads((summary.folder / "store.json").read_text())
    (source,) = stored["sources"]
    assert source["dropped"]["no trained token"] == {"count": 1, "places": [["a.jsonl", 4]]}


def test_the_list_of_dropped_rows_is_capped_and_the_count_is_not(
    run: Prepare, write: Write
) -> None:
    rows = [*({"text": ""} for _ in range(150)), {"text": "Red"}]
    summary = run({"path": write("a.jsonl", json_lines(rows)), "type": "completion"}).summary
    dropped = summary.dropped_rows["no trained token"]
    assert dropped.count == 150
    assert len(dropped.places) == 100
    assert str(dropped) == "150 (a.jsonl row 1, 2, 3, 4, 5, …)"


def test_no_row_left(run: Prepare, entry: dict[str, Any]) -> None:
    with pytest.raises(
        DataError, match="none of the 20 rows can be trained on: 20 longer"
    ) as found:
        run(entry, sequence_len=4)
    assert found.value.where == "rows.jsonl"
    assert "the longest row has" in str(found.value.hint)
    assert not any(p.is_dir() for p in Path("last_run_prepared").iterdir())


def test_long_texts_are_split_and_nothing_is_lost(
    run: Prepare, write: Write, tokenizer: Any
) -> None:
    text = "Red, green and blue. " * 300
    path = write("a.txt", f"{text}\nshort\n".encode())
    prepared = run({"path": path, "type": "completion"}, sequence_len=64)
    ids = np.concatenate([prepared.train[i].input_ids for i in range(len(prepared.train))])
    assert tokenizer.decode(ids) == f"{text}</s>short</s>"
    assert prepared.summary.rows_split.places == (("a.txt", 1),)
    assert prepared.summary.rows_read == 2
    assert prepared.train.lengths.max() == 64


def test_batches_do_not_change_the_rows(
    run: Prepare, entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    whole = texts(run(entry).train, tokenizer)
    monkeypatch.setattr(borders, "BATCH_ROWS", 3)
    shutil.rmtree("last_run_prepared")
    prepared = run(entry, sequence_len=300)
    assert texts(prepared.train, tokenizer) == whole
    rows = np.load(prepared.summary.folder / "rows.npy")
    assert rows["row"].tolist() == list(range(1, 21))
    monkeypatch.setattr(borders, "BATCH_CHARACTERS", 1)
    bad = [*json_lines(alpaca_rows(7)).splitlines(), b'{"instruction": "\\udc00", "output": ""}']
    Path("bad.jsonl").write_bytes(b"\n\n".join(bad))
    with pytest.raises(DataError, match=r"bad\.jsonl row 8 \(line 15\): half of a surrogate"):
        run({"path": "bad.jsonl", "type": "alpaca"})


def test_one_dataset_holds_out_its_last_rows(
    run: Prepare, entry: dict[str, Any], tokenizer: Any
) -> None:
    everything = texts(run(entry).train, tokenizer)
    prepared = run(entry, val_set_size=0.11)
    assert prepared.eval is not None
    assert texts(prepared.train, tokenizer) + texts(prepared.eval, tokenizer) == everything
    assert (prepared.summary.train_rows, prepared.summary.eval_rows) == (17, 3)


def test_several_datasets_are_mixed(run: Prepare, write: Write, tokenizer: Any) -> None:
    names = [write(f"{c}.txt", f"{c}\n".encode() * 30) for c in "XYZ"]
    entries = [{"path": name, "type": "completion"} for name in names]
    prepared = run(*entries, val_set_size=30)
    assert prepared.eval is not None
    assert set(texts(prepared.eval, tokenizer)) == {"X</s>", "Y</s>", "Z</s>"}
    again = run(*entries, val_set_size=30)
    other = run(*entries, val_set_size=30, seed=1)
    assert texts(again.train, tokenizer) == texts(prepared.train, tokenizer)
    assert texts(other.train, tokenizer) != texts(prepared.train, tokenizer)
    sources = [dict(source) for source in prepared.summary.sources]
    assert len({source.pop("content") for source in sources}) == 3
    assert sources[1] == {
        "file": "Y.txt",
        "entry": "datasets.1",
        "format": "completion",
        "rows_read": 30,
        "rows_kept": 30,
    }


def test_held_out_rows_that_are_trained_on_too_are_said(run: Prepare, write: Write) -> None:
    rows = alpaca_rows(9)
    path = write("a.jsonl", json_lines([*rows, rows[2]]))
    warnings = run({"path": path, "type": "alpaca"}, val_set_size=2).summary.warnings
    assert warnings == ("1 of the held-out rows stand word for word among the training rows too",)


def test_special_tokens_in_the_data_are_said(run: Prepare, write: Write) -> None:
    rows = alpaca_rows(4)
    rows[2]["output"] = "Red</s> and more"
    for kind in ("alpaca", "alpaca:chatml"):
        path = write("a.jsonl", json_lines(rows))
        (warning,) = run({"path": path, "type": kind}).summary.warnings
        assert "special token became that token in rows: 1 (a.jsonl row 3)" in warning


def test_special_tokens_in_a_turn_with_offsets_are_said(run: Prepare, write: Write) -> None:
    said = {"begin_offset": 0, "end_offset": 10, "train": True}
    turns = [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Red</s> and", "detail": [said]},
    ]
    entry = {"path": write("a.jsonl", json_lines([{"messages": turns}])), "type": "chat_template"}
    entry |= {"message_field_training_detail": "detail", "chat_template": "zephyr"}
    (warning,) = run(entry).summary.warnings
    assert "special token became that token in rows: 1 (a.jsonl row 1)" in warning


def test_special_tokens_of_the_template_are_not_worth_a_word(run: Prepare, write: Write) -> None:
    steered = build_tokenizer()
    steered.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    rows: list[Any] = [row | {"more": ["a", {"b": "</s>"}]} for row in alpaca_rows(4)]
    rows[3]["instruction"] = "What is <|im_end|>?"
    entry = {"path": write("a.jsonl", json_lines(rows[:2])), "type": "alpaca:chatml"}
    assert len(run(entry, tokenizer=steered).summary.warnings) == 0
    entry = {"path": write("b.jsonl", json_lines(rows)), "type": "alpaca:chatml"}
    (warning,) = run(entry, tokenizer=steered).summary.warnings
    assert "in rows: 1 (b.jsonl row 4)" in warning


def test_few_long_rows_fill_a_batch(
    write: Write, monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    entry = {"path": write("a.jsonl", json_lines(alpaca_rows(6))), "type": "alpaca"}
    (part,) = open_parts(file_of(entry), Encoder(tokenizer))
    monkeypatch.setattr(borders, "BATCH_CHARACTERS", 300)
    found = list(batches.batches(part, Encoder(tokenizer)))
    assert [batch.numbers.tolist() for batch in found] == [[1, 2], [3, 4], [5, 6]]


def test_the_last_rows_of_the_quick_start_are_held_out(run: Prepare, tokenizer: Any) -> None:
    prepared = run({"path": str(QUICKSTART), "type": "alpaca"}, val_set_size=40)
    assert prepared.eval is not None
    lines = QUICKSTART.read_text("utf-8").split("\n")[:-1]
    assert (len(prepared.train), len(prepared.eval)) == (len(lines) - 40, 40)
    answers = [json.loads(line)["output"] for line in lines[-40:]]
    assert [
        text.endswith(f"{answer}</s>")
        for text, answer in zip(texts(prepared.eval, tokenizer), answers, strict=True)
    ] == [True] * 40
    assert prepared.summary.dropped == {}
    assert not any("word for word" in warning for warning in prepared.summary.warnings)


def damage(folder: Path, how: str) -> None:
    if how == "cut":
        shard = next(folder.glob("*.arrow"))
        shard.write_bytes(shard.read_bytes()[:100])
    elif how == "gone":
        (folder / "store.json").unlink()
    else:
        shutil.rmtree(folder)
        folder.write_text("a file")


@pytest.mark.parametrize("how", ["cut", "gone", "a file"])
def test_a_damaged_store_is_made_again(
    how: str, run: Prepare, entry: dict[str, Any], tokenizer: Any
) -> None:
    first = run(entry)
    expected = texts(first.train, tokenizer)
    damage(first.summary.folder, how)
    left = first.summary.folder.parent / f".{first.summary.key}.killed"
    left.mkdir()
    second = run(entry)
    assert not second.summary.from_cache
    assert texts(second.train, tokenizer) == expected
    assert not left.exists()
    assert run(entry).summary.from_cache


def test_a_file_where_the_folder_must_be(run: Prepare, entry: dict[str, Any], write: Write) -> None:
    path = write("store", b"a file")
    with pytest.raises(EnvironmentFault, match="store: a file stands where a folder is needed"):
        run(entry, dataset_prepared_path=path)


def _prepare_there(folder: str, barrier: Any, results: Any) -> None:
    entry = {"path": f"{folder}/rows.jsonl", "type": "alpaca"}
    options = file_of(entry, dataset_prepared_path=f"{folder}/store", seed=1)
    barrier.wait()
    prepared: Prepared = prepare(options, tokenizer=build_tokenizer())
    results.put((prepared.summary.from_cache, prepared.train[19].input_ids.tolist()))


@pytest.mark.slow
def test_two_processes_make_one_store(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(json_lines(alpaca_rows() * 500))
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(2), spawn.Queue()
    workers = [
        spawn.Process(target=_prepare_there, args=(str(tmp_path), barrier, results))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    found = sorted(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    assert [cached for cached, _ in found] == [False, True]
    assert found[0][1] == found[1][1]


def test_a_lock_that_a_dead_process_left_does_not_hold(run: Prepare, entry: dict[str, Any]) -> None:
    key = run(entry).summary.key
    shutil.rmtree(f"last_run_prepared/{key}")
    Path(f"last_run_prepared/.{key}.lock").touch()
    assert not run(entry).summary.from_cache


def test_a_live_lock_is_waited_for(
    run: Prepare, entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = run(entry).summary.key
    kept = Path(f"last_run_prepared/{key}").rename("kept")
    said: list[str] = []
    lock = FileLock(f"last_run_prepared/.{key}.lock", thread_local=False)
    lock.acquire()

    def note(text: str) -> None:
        said.append(text)
        kept.rename(f"last_run_prepared/{key}")  # the other process is done
        lock.release()

    monkeypatch.setattr(making, "note", note)
    assert run(entry).summary.from_cache
    assert len(said) == 1
    assert "another process prepares the same data" in said[0]


def test_no_type_says_which_would_fit(run: Prepare, entry: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="no `type`, and the rows are not tokens") as found:
        run({"path": entry["path"]})
    assert found.value.where == "datasets.0 (rows.jsonl)"
    assert found.value.hint == "`type: alpaca` fits these fields"


def test_mistakes_in_an_entry_name_it(run: Prepare, entry: dict[str, Any]) -> None:
    with pytest.raises(UnknownName, match="did you mean 'alpaca'"):
        run(entry | {"type": "alpacca"})
    with pytest.raises(ConfigError, match="'alpaca' has no setting 'field'") as found:
        run(entry, entry | {"field": "text"})
    assert found.value.key == "datasets.1.type"


def test_a_tokenizer_without_an_end_token(run: Prepare, entry: dict[str, Any]) -> None:
    bare = build_tokenizer()
    bare.eos_token = None
    with pytest.raises(ModelError, match="no end token"):
        run(entry, tokenizer=bare)


def test_an_empty_file_among_others(run: Prepare, write: Write) -> None:
    write("d/a.jsonl", json_lines(alpaca_rows(3)))
    write("d/b.jsonl", b"")
    assert run({"path": "d", "type": "alpaca"}).summary.rows_read == 3
    with pytest.raises(DataError, match=r"d/b\.jsonl: no rows"):
        run({"path": "d", "type": "alpaca"}, {"path": "d/b.jsonl", "type": "alpaca"})
