"""Weights are known again by their content, and a large file is not read for it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from axolotl.training.fingerprint import weights
from axolotl.training.fingerprint.weights import base_mark, file_mark, folder_mark

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def _all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_READ_WHOLE", 0)


def write(file: Path, *, changed: str = "") -> Path:
    tensors = {f"layers.{n}.weight": torch.full((64, 64), float(n)) for n in range(20)}
    if changed:
        tensors[changed] += 1e-3
    save_file(tensors, file)
    return file


@pytest.mark.usefixtures("_all_are_large")
@pytest.mark.parametrize("number", [0, 7, 19])
def test_a_tensor_that_was_trained_shows(tmp_path: Path, number: int) -> None:
    mark = file_mark(write(tmp_path / "a.safetensors"))
    assert mark == file_mark(write(tmp_path / "b.safetensors"))
    assert mark != file_mark(write(tmp_path / "c.safetensors", changed=f"layers.{number}.weight"))


@pytest.mark.usefixtures("_all_are_large")
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_a_file_without_a_table_is_looked_into_evenly(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"\xff" * (1 << 20))
    mark = file_mark(file)
    file.write_bytes(b"\xff" * (1 << 19) + b"\xfe" * (1 << 19))
    assert mark != file_mark(file)


def test_of_a_huge_file_little_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count, each = 10_000, 1 << 24
    table = json.dumps(
        {
            f"w{n}": {
                "dtype": "F32",
                "shape": [each // 4],
                "data_offsets": [n * each, (n + 1) * each],
            }
            for n in range(count)
        }
    ).encode()
    file = tmp_path / "model.safetensors"
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(table)) + table)
        stream.truncate(8 + len(table) + count * each)  # a hole of 160 GB
    asked: list[list[int]] = []
    places = weights._places  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(weights, "_places", lambda *a: asked.append(places(*a)) or asked[-1])
    file_mark(file)
    assert len(asked[0]) <= 4096
    assert asked[0][0] < each + len(table)
    assert asked[0][-1] > (count - 100) * each


def test_a_folder_is_known_by_weights_and_settings(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"the same once more")
    config = tmp_path / "config.json"
    config.write_text('{"rope_theta": 1, "transformers_version": "5.0"}')
    before = folder_mark(tmp_path)
    assert set(before) == {"config.json", "model.safetensors"}
    config.write_text('{"transformers_version": "5.1",   "rope_theta": 1}')
    assert folder_mark(tmp_path) == before
    config.write_text('{"rope_theta": 2, "transformers_version": "5.0"}')
    assert folder_mark(tmp_path) != before


def test_of_a_hub_repository_it_is_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "models--someone--small"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    (place / "snapshots" / COMMIT).mkdir(parents=True)
    (place / "snapshots" / COMMIT / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert base_mark("someone/small", None) == {"commit": COMMIT}
    assert base_mark("someone/other", None) == {}
