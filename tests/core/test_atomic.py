from pathlib import Path

import pytest
from safetensors import SafetensorError

from axolotl.core.atomic import atomic_folder, disk_faults, ensure_folder, write_json
from axolotl.errors import EnvironmentFault, ModelError


def test_folder_appears_only_when_whole(tmp_path: Path) -> None:
    target = tmp_path / "store"
    with pytest.raises(RuntimeError, match="killed"), atomic_folder(target) as work:
        (work / "half").write_text("x")
        raise RuntimeError("killed")
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(target) as work:
        (work / "whole").write_text("x")
        assert not target.exists()
    assert [p.name for p in target.iterdir()] == ["whole"]


def test_folder_replaces_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / "store"
    for content in ("old", "new"):
        with atomic_folder(target) as work:
            (work / content).touch()
    assert [p.name for p in target.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_disk_full_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="no space left"), disk_faults(tmp_path):
        raise OSError(28, "No space left on device")


def test_a_full_disk_in_the_words_of_the_libraries(tmp_path: Path) -> None:
    for error in (
        SafetensorError("I/O error: No space left on device (os error 28)"),
        Exception("No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 576 vs 470"),
    ):
        with pytest.raises(EnvironmentFault, match="no space left"), disk_faults(tmp_path):
            raise error


def test_what_is_not_the_disks_fault_stays_what_it_is(tmp_path: Path) -> None:
    for error in (RuntimeError("size mismatch"), OSError(2, "gone"), ModelError("os error 28")):
        with pytest.raises(type(error)) as caught, disk_faults(tmp_path):
            raise error
        assert caught.value is error


def test_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(EnvironmentFault, match="a file stands where a folder is needed"):
        ensure_folder(tmp_path / "out")


def test_json_is_whole_and_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"é": 1})
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n  "é": 1\n}\n'
