"""Preparing in processes of their own that are killed at random moments."""

import multiprocessing
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.data.conftest import alpaca_rows, file_of, json_lines

KILLS = 20


def _prepare(folder: str, store: str) -> None:
    from axolotl.data import batch as borders
    from axolotl.data import writer
    from axolotl.data.prepare import prepare
    from tests.conftest import build_tokenizer

    borders.BATCH_ROWS = 200
    writer.SHARD_BYTES = 300_000
    entries = [
        {"path": f"{folder}/rows.jsonl", "type": "alpaca"},
        {"path": f"{folder}/array.json", "type": "alpaca", "shards": 2},
        {"path": f"{folder}/texts.txt", "type": "completion"},
    ]
    options = {"skip_bad_rows": 5, "excess_length_strategy": "truncate", "sequence_len": 160}
    prepare(
        file_of(*entries, **options, dataset_prepared_path=f"{folder}/{store}"),
        tokenizer=build_tokenizer(),
    )


def _write(folder: Path) -> None:
    rows: list[dict[str, str]] = alpaca_rows(10_000)
    for number in range(7, len(rows), 100):
        rows[number]["output"] = "" if number % 200 == 7 else "Blue. " * 100
    del rows[5_000]["output"]
    (folder / "rows.jsonl").write_bytes(json_lines(rows))
    array = b",\n".join(json_lines(alpaca_rows(8_000)).splitlines())
    (folder / "array.json").write_bytes(b"[" + array + b"]")
    (folder / "texts.txt").write_text("".join(f"{'Red. ' * (i % 90)}{i}\n" for i in range(4_000)))


def _content(store: Path) -> dict[str, bytes]:
    (folder,) = (f for f in store.iterdir() if f.is_dir())
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name != "timing.json"}


@pytest.mark.slow
def test_killed_at_random_moments_and_started_again_it_comes_to_the_same(tmp_path: Path) -> None:
    _write(tmp_path)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["axolotl.data.prepare", "tests.data.test_kill", "transformers"])

    def start(store: str) -> Any:
        process = server.Process(target=_prepare, args=(str(tmp_path), store))
        process.start()
        return process

    for store in ("warm", "undisturbed"):
        began = time.perf_counter()
        process = start(store)
        process.join()
        whole_s = time.perf_counter() - began
        assert process.exitcode == 0
    undisturbed = _content(tmp_path / "undisturbed")
    assert len([name for name in undisturbed if name.endswith(".arrow")]) > 20

    moments = random.Random(0)
    kills = finished = went_on = 0
    while kills < KILLS or not finished:
        shards = list((tmp_path / "store").glob(".*.partial/shard-*.json"))
        process = start("store")
        process.join(moments.uniform(0, whole_s / 2) if kills < KILLS else None)
        if process.exitcode is None:
            process.kill()
            process.join()
            assert process.exitcode == -9
            kills += 1
            went_on += bool(shards)
            continue
        assert process.exitcode == 0
        assert _content(tmp_path / "store") == undisturbed
        assert not list((tmp_path / "store").glob(".*.partial"))
        finished += kills == KILLS
        shutil.rmtree(tmp_path / "store")
    assert went_on > 3
