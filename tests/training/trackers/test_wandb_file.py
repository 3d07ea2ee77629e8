"""Offline runs of wandb are read as its own package writes them, also where they are cut short."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from axolotl.training.trackers._wandb_file import last_step, records


def record(step: int, text: str = "x") -> bytes:
    from wandb.proto import wandb_internal_pb2

    made: Any = wandb_internal_pb2.Record()  # pyright: ignore[reportAttributeAccessIssue]
    made.history.step.num = step
    made.history.item.add(key="a", value_json=text)
    return made.SerializeToString()


def file_of(*whole: bytes) -> bytes:
    """Records in pieces that end with their block, as the package cuts them."""
    data = b":W&B\0\0\0"
    for content in whole:
        rest, first = content, True
        while rest or first:
            left = (1 << 15) - len(data) % (1 << 15)
            if left < 7:
                data += bytes(left)
                continue
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}
            data += struct.pack("<IHB", 0, len(piece), kind[first, not rest]) + piece
            first = False
    return data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write(folder: Path, data: bytes) -> Path:
    file = folder / "run-a.wandb"
    file.write_bytes(data)
    return file


def test_records_longer_than_a_block(folder: Path) -> None:
    texts = ["a" * 10, "b" * 70_000, "c" * 32_750, "d"]
    file = write(folder, file_of(*(record(n, text) for n, text in enumerate(texts))))
    found = [(r.history.step.num, r.history.item[0].value_json) for r in records(file)]
    assert found == list(enumerate(texts))
    assert last_step(folder) == 3


def test_what_is_cut_short_is_left_out(folder: Path) -> None:
    data = file_of(record(1), record(2), record(3, "c" * 40_000))
    for cut in (1, 100, 33_000):
        write(folder, data[: len(data) - cut])
        assert last_step(folder) == 2


@pytest.mark.parametrize("data", [b"", b"something else", b":W&B\0\0\0"])
def test_a_file_without_records(data: bytes, folder: Path) -> None:
    write(folder, data)
    assert last_step(folder) == -1


def test_a_folder_without_a_file(folder: Path) -> None:
    assert last_step(folder / "gone") == -1
