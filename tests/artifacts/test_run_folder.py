"""A run folder is whole or says that it is not."""

from __future__ import annotations

import errno
import json
import math
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from axolotl.artifacts.run_folder import (
    START_FILE,
    begin_run,
    only_run,
    read_run,
    write_run,
    write_start,
)
from axolotl.errors import EnvironmentFault, ModelError


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_result_is_written_and_run_json_says_what_it_is(tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        assert not (tmp_path / "run.json").exists()
        put(folder, "model.safetensors", "config.json")

    record = {"final": {"train_loss": 1.5, "perplexity": math.inf}, "format": {"type": "alpaca"}}
    write_run(tmp_path, save=save, record=record)
    content = json.loads((tmp_path / "run.json").read_text())
    assert content == read_run(tmp_path)
    assert content["final"] == {"train_loss": 1.5, "perplexity": None}
    assert content["files"] == ["config.json", "model.safetensors"]
    always = {"python", "axolotl", "torch", "transformers", "peft", "tokenizers", "accelerate"}
    assert set(content["versions"]) == always
    assert names(tmp_path) == {"run.json", "model.safetensors", "config.json"}


def test_whoever_may_read_new_files_may_read_the_weights(tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        save_file({"weight": torch.ones(2)}, folder / "model.safetensors")

    write_run(tmp_path, save=save, record={})
    (tmp_path / "mine").touch()
    assert len({(tmp_path / name).stat().st_mode for name in ("mine", "model.safetensors")}) == 1


def test_a_run_that_fails_while_saving_leaves_what_was_there(tmp_path: Path) -> None:
    put(tmp_path, "model.safetensors")
    begin_run(tmp_path)

    def save(folder: Path) -> None:
        put(folder, "model.safetensors")
        (folder / "model.safetensors").write_text("half")
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(EnvironmentFault, match="no space left"):
        write_run(tmp_path, save=save, record={})
    assert names(tmp_path) == {"model.safetensors"}
    assert (tmp_path / "model.safetensors").read_text() == "model.safetensors"


def test_a_disk_that_safetensors_finds_full_is_the_machines_fault(tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with pytest.raises(EnvironmentFault, match="no space left"):
        write_run(tmp_path, save=save, record={})


def test_no_old_result_lies_beside_the_new_one(tmp_path: Path) -> None:
    put(
        tmp_path,
        "config.json",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "mine.txt",
        "metrics.jsonl",
        "checkpoint-5/model.safetensors",
    )
    write_run(
        tmp_path,
        save=lambda folder: put(folder, "adapter_config.json", "adapter_model.safetensors"),
        record={},
    )
    assert names(tmp_path) == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "run.json",
        "mine.txt",
        "metrics.jsonl",
        "checkpoint-5",
    }


def test_the_beginning_of_a_run_takes_the_sign_of_completeness_away(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "out"
    put(
        folder,
        "run.json",
        "model.safetensors",
        ".final.abc/model.safetensors",
        ".saving/checkpoint-3/x",
        ".checkpoint-1.removed/x",
        ".mine/notes",
    )
    assert begin_run(folder) == folder
    assert names(folder) == {"model.safetensors", ".mine"}


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "file")
    with pytest.raises(EnvironmentFault, match="a file stands where a folder is needed"):
        begin_run(tmp_path / "file" / "out")


def test_a_folder_without_run_json_and_one_with_a_broken_one(tmp_path: Path) -> None:
    assert read_run(tmp_path) is None
    (tmp_path / "run.json").write_text('{"final": ')
    with pytest.raises(ModelError, match=r"run\.json' cannot be read"):
        read_run(tmp_path)


def test_a_kill_among_the_moves_is_seen_and_the_next_result_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(folder: Path) -> None:
        put(folder, "config.json", "model.safetensors", "tokenizer.json")

    write_run(tmp_path, save=save, record={})
    moves: list[Path] = []
    replace = Path.replace

    def killed_at_the_second(source: Path, target: Path) -> Path:
        if target.parent == tmp_path and target.suffix != ".json":
            raise KeyboardInterrupt
        moves.append(target)
        return replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed_at_the_second)
        write_run(tmp_path, save=save, record={})
    assert [path.name for path in moves] == ["config.json"]
    with pytest.raises(ModelError, match=r"only some files arrived[\s\S]*auto_resume"):
        read_run(tmp_path)
    begin_run(tmp_path)
    with pytest.raises(ModelError, match="only some files arrived"):
        read_run(tmp_path)
    write_run(tmp_path, save=save, record={})
    assert read_run(tmp_path) is not None
    assert begin_run(tmp_path)
    assert read_run(tmp_path) is None


def test_one_run_at_a_time_writes_to_a_folder(tmp_path: Path) -> None:
    with only_run(tmp_path):
        with (
            pytest.raises(EnvironmentFault, match=f"another run writes to '{tmp_path}'"),
            only_run(tmp_path),
        ):
            pass
        (tmp_path / "other").mkdir()
        with only_run(tmp_path / "other"):
            pass
    with only_run(tmp_path):
        pass


def test_engines_are_named_where_they_were_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray: Any = ModuleType("ray")
    monkeypatch.setitem(sys.modules, "deepspeed", ModuleType("deepspeed"))  # accelerate imports it
    monkeypatch.setitem(sys.modules, "ray", ray)

    def named(method: str | None, *, on_ray: bool) -> dict[str, str]:
        ray.is_initialized = lambda: on_ray
        write_start(tmp_path, {"processes": {"count": 2, "machines": 1, "method": method}})
        started = json.loads((tmp_path / START_FILE).read_text())
        return {k: v for k, v in started["versions"].items() if k in ("deepspeed", "ray")}

    assert named("DDP", on_ray=False) == named(None, on_ray=False) == {}
    assert named("DDP", on_ray=True) == {"ray": version("ray")}
    assert named("DeepSpeed ZeRO 1", on_ray=False) == {"deepspeed": version("deepspeed")}


def test_what_is_known_at_the_start_is_kept_until_the_end(tmp_path: Path) -> None:
    write_start(tmp_path, {"plan": {"steps": 7, "gain": math.inf}})
    kept = json.loads((tmp_path / START_FILE).read_text())
    assert kept["plan"] == {"steps": 7, "gain": None}
    assert kept["versions"]["torch"] == torch.__version__
    assert read_run(tmp_path) is None, "it is no sign of an end"
    write_run(tmp_path, save=lambda folder: put(folder, "model.safetensors"), record={})
    assert not (tmp_path / START_FILE).exists()
    write_start(tmp_path, {})
    begin_run(tmp_path)
    assert not (tmp_path / START_FILE).exists()
