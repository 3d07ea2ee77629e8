"""Whole weights are read from every layout and written in parts, with an index where there are several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from axolotl.errors import EnvironmentFault, ModelError
from axolotl.training.relora import writer
from axolotl.training.relora.files import WeightFiles, check_whole
from axolotl.training.relora.writer import ShardWriter, check_room, share

TENSORS = {f"model.layers.{i}.weight": torch.randn(4, i + 1) for i in range(3)}


def lay_out(folder: Path, kind: str) -> None:
    first, rest = dict([*TENSORS.items()][:1]), dict([*TENSORS.items()][1:])
    if kind == "safetensors":
        save_file(TENSORS, folder / "model.safetensors")
    elif kind == "bin":
        torch.save(TENSORS, folder / "pytorch_model.bin")
    elif kind == "shards":
        save_file(first, folder / "model-1.safetensors")
        save_file(rest, folder / "model-2.safetensors")
        places = dict.fromkeys(first, "model-1.safetensors") | dict.fromkeys(
            rest, "model-2.safetensors"
        )
        index = folder / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": places}))
    else:
        torch.save(first, folder / "a.bin")
        torch.save(rest, folder / "b.bin")
        places = dict.fromkeys(first, "a.bin") | dict.fromkeys(rest, "b.bin")
        index = folder / "pytorch_model.bin.index.json"
        index.write_text(json.dumps({"weight_map": places}))


@pytest.mark.parametrize("kind", ["safetensors", "bin", "shards", "bins"])
def test_every_layout_is_read(tmp_path: Path, kind: str) -> None:
    lay_out(tmp_path, kind)
    files = WeightFiles(tmp_path)
    assert files.shapes == {name: tuple(value.shape) for name, value in TENSORS.items()}
    for name, value in TENSORS.items():
        assert torch.equal(files.read(name), value)
        assert files.dtype(name) == torch.float32


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_single_number_has_its_own_dtype(tmp_path: Path, kind: str) -> None:
    numbers = {"scale": torch.tensor(2.0, dtype=torch.bfloat16), "steps": torch.tensor(3)}
    if kind == "bin":
        torch.save(numbers, tmp_path / "pytorch_model.bin")
    else:
        save_file(numbers, tmp_path / "model.safetensors")
    files = WeightFiles(tmp_path)
    assert {name: files.dtype(name) for name in numbers} == {
        "scale": torch.bfloat16,
        "steps": torch.int64,
    }


def test_names_of_a_bare_model_are_found(tmp_path: Path) -> None:
    save_file(
        {"h.0.weight": torch.ones(2), "model.b": torch.ones(1)}, tmp_path / "model.safetensors"
    )
    files = WeightFiles(tmp_path)
    assert files.find("transformer.h.0.weight", prefix="transformer") == "h.0.weight"
    assert files.find("b", prefix="model") == "model.b"
    assert files.find("transformer.h.1.weight", prefix="transformer") is None


def test_weights_that_are_missing_or_not_whole_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"neither model\.safetensors nor"):
        WeightFiles(tmp_path / "empty")
    save_file({"a": torch.ones(4, 2, dtype=torch.uint8)}, tmp_path / "model.safetensors")
    files = WeightFiles(tmp_path)
    for name, message in [("a", "uint8"), ("b", "missing")]:
        with pytest.raises(ModelError, match=f"'{name}' in full precision.*{message}"):
            check_whole(files, {name: (4, 2)}, prefix="model")
    (tmp_path / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(ModelError, match="cannot be read") as caught:
        WeightFiles(tmp_path, where="resume_from_checkpoint")
    assert caught.value.where == "resume_from_checkpoint"


@pytest.mark.parametrize(("limit", "count"), [(1 << 20, 1), (48, 2), (1, 3)])
def test_parts_have_the_size_asked_for(tmp_path: Path, limit: int, count: int) -> None:
    made = ShardWriter(tmp_path, shard_bytes=limit)
    for name, value in TENSORS.items():
        made.add(name, value)
    made.finish()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len([name for name in names if name.endswith(".safetensors")]) == count
    assert ("model.safetensors.index.json" in names) == (count > 1)
    files = WeightFiles(tmp_path)
    assert all(torch.equal(files.read(name), value) for name, value in TENSORS.items())


def test_shared_files_outlive_the_other_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tmp_path / "one"
    one.mkdir()
    (one / "a").write_text("x" * 100)
    share(one, tmp_path / "linked")
    assert (tmp_path / "linked" / "a").stat().st_nlink == 2

    def no_links(*_: object) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(writer.os, "link", no_links)
    share(one, tmp_path / "copied")
    (one / "a").unlink()
    assert {(tmp_path / n / "a").read_text() for n in ("linked", "copied")} == {"x" * 100}


def test_a_disk_without_room_is_found_before_the_write(tmp_path: Path) -> None:
    check_room(tmp_path / "not" / "yet", 1)
    with pytest.raises(EnvironmentFault, match=r"need 1,000 TB"):
        check_room(tmp_path, 10**15)
