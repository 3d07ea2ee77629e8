import gc
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from axolotl.core import garbage
from axolotl.data import batch as borders
from axolotl.data import store, text_batches, writer
from axolotl.data.prepare import Prepared
from axolotl.errors import DataError, EnvironmentFault
from tests.data.conftest import Prepare, alpaca_rows, json_lines

Write = Callable[[str, bytes], str]
STORES = Path("last_run_prepared")


class Killed(BaseException):
    """Stands for a process that ends between two steps."""


@pytest.fixture
def entries(write: Write, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Three sources of four files with all kinds of rows, in batches of seven rows."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no power fails here, and it takes long
    monkeypatch.setattr(borders, "BATCH_ROWS", 7)
    monkeypatch.setattr(writer, "SHARD_BYTES", 5_000)
    rows = alpaca_rows(30)
    rows[4]["output"] = ""
    rows[12]["output"] = "Red. " * 400
    write("d/a.jsonl", json_lines(rows))
    lines = json_lines([*alpaca_rows(30), {"instruction": "no output"}]).splitlines()
    lines[25] = b"[cut"
    write("d/b.jsonl", b"\n\n".join(lines))
    tokens = [{"input_ids": [5 + i % 9] * (3 + i)} for i in range(30)]
    tokens[17] = {"input_ids": [-1]}
    texts = "".join(f"{'Blue. ' * 30 * (i % 4)}{i}\n" for i in range(10))
    return [
        {"path": "d", "type": "alpaca"},
        {"path": write("c.txt", texts.encode()), "type": "completion"},
        {"path": write("t.jsonl", json_lines(tokens)), "shards": 2},
    ]


def content(folder: Path) -> dict[str, bytes]:
    """The files of a store, but for what differs each time."""
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name != "timing.json"}


@pytest.fixture
def make(run: Prepare, entries: list[dict[str, Any]]) -> Callable[..., Prepared]:
    def make_store(**options: Any) -> Prepared:
        return run(*entries, **{"sequence_len": 256, "skip_bad_rows": 3} | options)

    return make_store


def partial() -> list[Path]:
    return list(STORES.glob(".*.partial"))


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end before the step-th time that something reaches the disk."""
    steps = iter(range(step))

    def counted(original: Any) -> Any:
        def stop(*args: Any, **kwargs: Any) -> Any:
            if next(steps, None) is None:
                raise Killed
            return original(*args, **kwargs)

        return stop

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(shutil, "rmtree", counted(shutil.rmtree))


def test_ended_at_any_step_the_next_run_makes_the_same(
    make: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = content(make().summary.folder)
    assert len([name for name in undisturbed if name.endswith(".arrow")]) == 10
    step = went_on = 0
    for step in range(100):
        shutil.rmtree(STORES)
        with monkeypatch.context() as patch:
            kill_at(step, patch)
            try:
                make()
                break
            except Killed:
                shards = list(STORES.glob(".*.partial/shard-*.json"))
        prepared = make()
        assert content(prepared.summary.folder) == undisturbed
        assert not partial()
        timing = json.loads((prepared.summary.folder / "timing.json").read_text())
        assert (timing["rows_there"] > 0) == bool(shards) or prepared.summary.from_cache
        went_on += timing["rows_there"] > 0
    assert step > 20
    assert went_on > 10


def interrupted(make: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave a preparation with three whole shards and a begun one."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(3 * 4 + 1, patch)
        make()
    (work,) = partial()
    assert sorted(f.name for f in work.glob("shard-*")) == [f"shard-0000{n}.json" for n in range(3)]
    return work


def test_what_is_done_is_not_done_again(
    make: Callable[..., Prepared],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = interrupted(make, monkeypatch)
    state = json.loads((work / "shard-00002.json").read_text())["state"]
    assert (state["part"], state["row"]) == (0, 28)
    seen: list[int] = []
    original = text_batches.tokenize

    def tokenize(batch: Any, encoder: Any) -> Any:
        seen.append(len(batch))
        return original(batch, encoder)

    monkeypatch.setattr(text_batches, "tokenize", tokenize)
    summary = make().summary
    assert sum(seen) == 2 + 29 + 10
    assert (
        "an interrupted preparation goes on: 26 rows are there already" in capsys.readouterr().err
    )
    assert (summary.rows_read, summary.dropped_rows["no trained token"].count) == (101, 1)


def cut(work: Path) -> None:
    file = work / "store" / "data-00001.arrow"
    file.write_bytes(file.read_bytes()[:-1])


def flip(work: Path) -> None:
    file = work / "rows-00001.npy"
    found = bytearray(file.read_bytes())
    found[-5] ^= 1
    file.write_bytes(found)


def no_json(work: Path) -> None:
    (work / "shard-00001.json").write_text("{")


def other_recipe(work: Path) -> None:
    file = work / "shard-00001.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"recipe": []}))


def gone(work: Path) -> None:
    (work / "rows-00001.npy").unlink()


@pytest.mark.parametrize("damage", [cut, flip, no_json, other_recipe, gone])
def test_a_damaged_shard_and_those_behind_it_are_made_again(
    damage: Callable[[Path], None],
    make: Callable[..., Prepared],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    undisturbed = content(make().summary.folder)
    shutil.rmtree(STORES)
    work = interrupted(make, monkeypatch)
    damage(work)
    (work / "more").mkdir()
    (work / "store" / "data-00003.arrow.tmp").touch()
    capsys.readouterr()
    summary = make().summary
    said = capsys.readouterr().err
    assert said.count("prepared anew from there on") == 1
    assert "shard-00001.json: " in said
    assert content(summary.folder) == undisturbed


def test_a_full_disk_keeps_what_is_done_and_says_so(
    make: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = content(make().summary.folder)
    shutil.rmtree(STORES)
    calls: Iterator[int] = iter(range(8))

    def full(handle: int) -> None:
        if next(calls, None) is None:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(EnvironmentFault, match="no space left on the disk") as found:
            make()
    (work,) = partial()
    assert f"stays in {work}, and the next start goes on from there" in str(found.value.hint)
    assert content(make().summary.folder) == undisturbed


@pytest.mark.parametrize(("steps", "kept"), [(8, True), (1, False)])
def test_a_user_who_stops_it_is_told_what_is_kept(
    steps: int,
    kept: bool,
    make: Callable[..., Prepared],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls = iter(range(steps))

    def stop(_handle: int) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "fsync", stop)
        make()
    assert ("the next start goes on from there" in capsys.readouterr().err) == kept
    assert bool(partial()) == kept


def test_what_interrupted_runs_of_other_settings_left_is_said(
    make: Callable[..., Prepared],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = interrupted(make, monkeypatch)
    make(sequence_len=250)
    said = re.sub(r"\s+", " ", capsys.readouterr().err)
    assert re.search(
        rf"an interrupted preparation of other settings takes \d[\d.]* (bytes|kB) in {work}", said
    )
    assert work.exists()
    with FileLock(STORES / work.name.replace("partial", "lock")):  # a run that goes on
        make(sequence_len=251)
    assert "interrupted" not in capsys.readouterr().err


def test_a_row_that_cannot_be_used_leaves_nothing_behind(
    run: Prepare, entries: list[dict[str, Any]]
) -> None:
    with pytest.raises(DataError, match=r"b\.jsonl row 26"):
        run(*entries)
    assert [f for f in STORES.iterdir() if f.is_dir()] == []


def test_a_store_with_bad_rows_is_none_for_a_run_that_allows_fewer(
    make: Callable[..., Prepared], run: Prepare, entries: list[dict[str, Any]]
) -> None:
    folder, _, tokens = make().summary.by_source
    places = [place for bad in folder.bad.values() for place in bad.places]
    assert places == [("d/b.jsonl", 26), ("d/b.jsonl", 31)]
    assert [bad.count for bad in tokens.bad.values()] == [1]
    says = "3 rows that cannot be used, and skip_bad_rows is 0; the first: not JSON"
    with pytest.raises(DataError, match=says) as found:
        run(*entries, sequence_len=256)
    assert found.value.where == "d/b.jsonl row 26"
    assert found.value.hint == "mend them, or write `skip_bad_rows: 3`"


def test_bad_rows_count_over_an_interruption(
    make: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(8 * 4, patch)
        make()
    *_, last = sorted(partial()[0].glob("shard-*.json"))
    state = json.loads(last.read_text())["state"]
    assert (state["part"], len(state["counts"][1]["groups"]["bad"])) == (2, 2)
    with pytest.raises(DataError, match=r"t\.jsonl row 18.*more than the 2 of skip_bad_rows"):
        make(skip_bad_rows=2)


def test_large_stores_are_checked_at_their_ends_and_row_by_row(
    make: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(store, "END_BYTES", 100)
    folder = make().summary.folder
    rows = store.TokenStore(folder, np.arange(20))
    shard = folder / "data-00001.arrow"
    found = bytearray(shard.read_bytes())
    at = found.rfind(rows[8].labels.tobytes())
    found[at] ^= 1
    shard.write_bytes(found)
    assert make().summary.from_cache
    rows = store.TokenStore(folder, np.arange(20))
    assert rows[7].input_ids.size
    with pytest.raises(DataError, match="row 9 of the prepared data is damaged"):
        rows[8]
    found[-1] ^= 1
    shard.write_bytes(found)
    assert not make().summary.from_cache


@pytest.fixture
def not_left_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Libraries are looked through for garbage, as in a process in which nothing has been said of it."""
    monkeypatch.setattr(garbage, "_is_left_alone", False)
    gc.unfreeze()
    yield
    garbage.leave_loaded_alone()


@pytest.mark.usefixtures("not_left_alone")
def test_the_garbage_collector_is_as_before_when_a_store_is_made(
    make: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[int] = []
    original = text_batches.tokenize

    def tokenize(batch: Any, encoder: Any) -> Any:
        frozen.append(gc.get_freeze_count())
        return original(batch, encoder)

    monkeypatch.setattr(text_batches, "tokenize", tokenize)
    make()
    assert min(frozen) > 0
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("not_left_alone")
@pytest.mark.parametrize("keep", [gc.freeze, garbage.leave_loaded_alone])
def test_what_the_caller_keeps_from_the_garbage_collector_stays_so(
    keep: Callable[[], None], make: Callable[..., Prepared]
) -> None:
    keep()
    make()
    assert gc.get_freeze_count() > 0
