"""Checkpoints that wait to be sent to the hub."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from axolotl.config.hub import HubSection
from axolotl.errors import EnvironmentFault
from axolotl.training.hub import HubUploads, sending


class Slow(HubUploads):
    """Sends nothing, and only when it is let."""

    def __init__(self, strategy: str, folder: Path, *, failing: bool = False) -> None:
        super().__init__("me/it", strategy, folder)
        self.let, self.began = threading.Event(), threading.Event()
        self.failing = failing
        self.sent: list[tuple[str, str | None]] = []

    def _upload(self, folder: Path, message: str, *, inside: str | None = None, **_: Any) -> None:
        self.began.set()
        assert self.let.wait(10)
        if self.failing:
            raise ConnectionError("gone")
        assert (folder / "optimizer.pt").exists() or message == "The result"
        self.sent.append((message, inside))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def save(uploads: HubUploads, step: int) -> Path:
    """A checkpoint, and what the trainer says of it."""
    folder = uploads.output_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "optimizer.pt").write_text(str(step))
    uploads.on_save(None, SimpleNamespace(global_step=step, is_world_process_zero=True), None)
    return folder


def test_one_that_waits_gives_way_to_a_newer_one(output: Path) -> None:
    uploads = Slow("every_save", output)
    save(uploads, 1)
    assert uploads.began.wait(10)
    save(uploads, 2)
    save(uploads, 3)
    uploads.let.set()
    uploads.wait()
    assert uploads.sent == [
        ("The model of checkpoint-1", None),
        ("The model of checkpoint-3", None),
    ]
    uploads.close()
    assert not list((output / ".hub").glob("*"))


def test_all_are_sent_where_all_are_asked_for(output: Path) -> None:
    uploads = Slow("all_checkpoints", output)
    for step in (1, 2, 3):
        save(uploads, step)
    uploads.let.set()
    uploads.wait()
    assert [inside for _, inside in uploads.sent if inside] == [
        "checkpoint-1",
        "checkpoint-2",
        "checkpoint-3",
    ]


def test_files_are_linked_and_not_copied(output: Path) -> None:
    uploads = Slow("checkpoint", output)
    folder = save(uploads, 1)
    assert uploads.began.wait(10)
    assert (folder / "optimizer.pt").stat().st_nlink == 2
    uploads.let.set()
    uploads.wait()


def test_a_failure_is_said_once_and_all_are_counted(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uploads = Slow("all_checkpoints", output, failing=True)
    uploads.let.set()
    for step in (1, 2):
        save(uploads, step)
    uploads.wait()
    assert uploads.not_sent == ["checkpoint-1", "checkpoint-2"]
    said = capsys.readouterr().err
    assert said.count("cannot be sent") == 1
    assert "hub: checkpoint-1 cannot be sent to me/it: gone; the training goes on" in said


def test_a_run_that_fails_says_what_is_left_and_does_not_wait(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uploads = Slow("all_checkpoints", output)
    for step in (1, 2, 3):
        save(uploads, step)
    assert uploads.began.wait(10)
    uploads.close()
    assert "hub: not sent to me/it: checkpoint-2, checkpoint-3" in capsys.readouterr().err
    uploads.let.set()


def test_what_a_killed_run_left_is_removed(output: Path) -> None:
    (output / ".hub" / "checkpoint-9").mkdir(parents=True)
    Slow("end", output)
    assert not (output / ".hub").exists()


def test_without_a_name_nothing_is_sent(output: Path) -> None:
    with sending(HubSection(), output) as uploads:
        assert uploads is None


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("offline")
def test_hub_model_id_is_refused_offline(output: Path) -> None:
    with (
        pytest.raises(EnvironmentFault, match="HF_HUB_OFFLINE is set, so nothing can be sent"),
        sending(HubSection(hub_model_id="me/it"), output),
    ):
        pass
