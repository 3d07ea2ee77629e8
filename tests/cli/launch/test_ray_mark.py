"""Workers that Ray starts anew go on, but not where the user has to mend something first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from axolotl.cli.launch import ray_mark
from axolotl.cli.launch.ray_mark import Earlier, earlier_start, leave_fault, mark_of
from axolotl.errors import DataError


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return mark_of(tmp_path, "abc")


def start(mark: Path, monkeypatch: pytest.MonkeyPatch) -> list[Earlier]:
    """What each of three workers finds at one start of the run."""
    told: list[Any] = []

    def tell(found: Any) -> Any:
        told.append(found)
        return told[0]

    ends: list[Earlier] = []
    for rank in ("0", "1", "2"):
        monkeypatch.setenv("RANK", rank)
        ends.append(earlier_start(mark, tell))
    return ends


def test_whether_the_workers_are_started_anew_is_decided_once(
    mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(mark, monkeypatch)
    assert first == [Earlier(started=False)] * 3, (
        "the mark of this very start is none of an earlier"
    )
    assert start(mark, monkeypatch) == [Earlier(started=True)] * 3
    assert start(mark, monkeypatch) == [Earlier(started=True)] * 3
    monkeypatch.setenv("RANK", "1")
    mark.unlink()
    earlier_start(mark, lambda _: {"started": False})
    assert not mark.exists(), "only the first process says that the run has started"


def test_what_the_user_has_to_mend_is_known_at_the_next_start(
    mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(mark, monkeypatch)
    size_bytes = mark.stat().st_size
    leave_fault(mark, DataError("no text\n" * 900, where="größe.jsonl row 3", hint="😀" * 900))
    assert mark.stat().st_size == size_bytes, "on a full disk there is no more"
    for found in start(mark, monkeypatch):
        assert found.fault is not None
        assert found.fault["what"].startswith("no text\nno text")
        assert found.fault["where"] == "größe.jsonl row 3"
    leave_fault(mark, DataError("short"))
    fault = {"what": "short", "where": None, "hint": None}
    assert start(mark, monkeypatch) == [Earlier(started=True, fault=fault)] * 3


def test_a_mark_that_cannot_be_written_hides_no_fault(
    mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(ray_mark, "note", said.append)
    leave_fault(mark, DataError("no text"))
    assert "cannot be written to" in said[0]
