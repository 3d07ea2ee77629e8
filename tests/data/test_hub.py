"""Data sets of a hub on this machine, read by a process that knows it alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from axolotl.data.sources import find_sources
from axolotl.errors import DataError
from tests.data.hub_client import HubClient
from tests.fake_hub import FakeHub

TWO = b"""---
configs:
- config_name: en
  data_files: en/*.jsonl
- config_name: de
  data_files: de/*.jsonl
---
"""


def rows(*texts: str) -> bytes:
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        plain = {"README.md": b"", "train.jsonl": rows("a", "b", "c"), "test.jsonl": rows("t")}
        hub.put("me/set", plain).branches["v1"] = {"train.jsonl": rows("old")}
        hub.put("me/two", {"README.md": TWO, "en/a.jsonl": rows("en"), "de/a.jsonl": rows("de")})
        hub.put("me/secret", {"train.jsonl": rows("s")}, private=True)
        hub.put("me/gated", {"train.jsonl": rows("g")}, gated=True)
        hub.put("me/files", {"notes.dat": rows("n"), "sub/more.dat": rows("m"), "x.bin": b"0"})
        hub.put("me/script", {"script.py": b"import datasets\n"})
        yield hub


@pytest.fixture(scope="module")
def client(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    with HubClient(hub, tmp_path_factory.mktemp("user")) as found:
        yield found


@pytest.fixture(scope="module")
def stranger(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    """One who is not logged in."""
    with HubClient(hub, tmp_path_factory.mktemp("stranger"), token=False) as found:
        yield found


@pytest.mark.parametrize(
    ("path", "options", "labels", "texts"),
    [
        ("me/set", {}, "me/set", "a b c"),
        ("me/set", {"split": "test"}, "me/set (test)", "t"),
        ("me/set", {"split": "train[1:]"}, "me/set", "b c"),
        ("me/set", {"split": "train[:67%]+test"}, "me/set me/set (test)", "a b t"),
        ("me/set", {"revision": "v1"}, "me/set", "old"),
        ("me/set", {"data_files": "test.jsonl"}, "me/set", "t"),
        ("me/two", {"name": "de"}, "me/two (de)", "de"),
        ("me/two", {"data_dir": "en"}, "me/two", "en"),
        ("me/secret", {}, "me/secret", "s"),
        ("me/secret", {"token": True}, "me/secret", "s"),
        ("me/files", {"data_files": "notes.dat"}, "me/files/notes.dat", "n"),
        (
            "me/files",
            {"data_files": ["*.dat"], "data_dir": "sub"},
            "me/files/sub/more.dat",
            "m",
        ),
        ("hf://datasets/me/set/test.jsonl", {}, "hf://datasets/me/set/test.jsonl", "t"),
        ("hf://datasets/me/set", {}, "hf://datasets/me/set/train.jsonl", "a b c"),
        ("hf://datasets/me/set@v1/*.jsonl", {}, "hf://datasets/me/set@v1/train.jsonl", "old"),
        ("hf://datasets/me/secret/train.jsonl", {}, "hf://datasets/me/secret/train.jsonl", "s"),
    ],
)
def test_what_the_hub_has(
    client: HubClient, path: str, options: dict[str, Any], labels: str, texts: str
) -> None:
    found = client.ask("find", path=path, **options)
    assert "error" not in found, found
    assert " ".join(label for label, _, _ in found) == labels
    assert " ".join(text for _, several, _ in found for text in several) == texts


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("me/set", {"split": "valid"}, "hint: set train_on_split to one of: train, test"),
        ("me/set", {"revision": "nope"}, "'nope'"),
        ("me/two", {}, "hint: set `name` to one of: en, de"),
        ("me/two", {"name": "fr"}, "hint: set `name` to one of: en, de"),
        ("me/none", {}, "hint: check the spelling and the connection; a private data set needs"),
        ("me/script", {}, "hint: data sets that bring code are not run"),
        ("me/files", {}, "name the files in data_files; the repository has: notes.dat, sub/more"),
        ("me/files", {"data_files": "note.dat"}, "no file 'note.dat' in the repository 'me/files'"),
        ("me/files", {"data_files": "note.dat"}, "hint: did you mean 'notes.dat'?"),
        ("hf://datasets/me/set/tran.jsonl", {}, "did you mean 'hf://datasets/me/set/train.jsonl'?"),
        ("hf://me/set/train.jsonl", {}, "is hf://datasets/me/set/train.jsonl"),
        ("hf://datasets/me/none", {}, "no such file or folder"),
    ],
)
def test_what_the_hub_has_not(
    client: HubClient, path: str, options: dict[str, Any], message: str
) -> None:
    found = client.ask("find", path=path, **options)
    assert found["error"].startswith("DataError: ")
    assert message in found["error"]


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("me/secret", {}, "a private data set needs `hf_use_auth_token: true`"),
        ("me/set", {"token": True}, "hint: log in with `hf auth login`, or set HF_TOKEN"),
        ("me/gated", {}, "hint: ask for it on its page"),
        ("hf://datasets/me/secret", {}, "if it is private, add `hf_use_auth_token: true`"),
        ("hf://datasets/me/gated/train.jsonl", {}, "a gated data set has to be asked for"),
    ],
)
def test_what_a_stranger_is_refused(
    stranger: HubClient, path: str, options: dict[str, Any], message: str
) -> None:
    found = stranger.ask("find", path=path, **options)
    assert message in found["error"]


def test_what_decides_the_store_is_the_content_and_not_the_machine(
    client: HubClient, stranger: HubClient
) -> None:
    for path in ("me/set", "hf://datasets/me/set/train.jsonl"):
        assert client.ask("find", path=path) == stranger.ask("find", path=path)
    one, other, old = (
        client.ask("find", path="me/set", **options)[0][2]
        for options in ({}, {"split": "test"}, {"revision": "v1"})
    )
    assert len({one, other, old}) == 3


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    with FakeHub() as gone:
        pass
    with HubClient(gone, tmp_path) as client:
        found = client.ask("find", path="hf://datasets/me/set")
    assert found["error"].startswith("DataError: hf://datasets/me/set: cannot be read")


def test_without_a_connection_there_is_what_was_read_before(tmp_path: Path) -> None:
    with FakeHub() as gone:
        gone.put("me/set", {"train.jsonl": rows("a", "b")})
        with HubClient(gone, tmp_path) as client:
            before = client.ask("find", path="me/set")
    with HubClient(gone, tmp_path) as client:
        assert client.ask("find", path="me/set") == before
        found = client.ask("find", path="me/none")["error"]
        said = client.said()
    assert "'me/none' is no local file or folder, and not to be had from the hub" in found
    assert "hint: if a local file is meant, check its path" in found
    assert "thrown while requesting" not in said


def test_a_hub_that_is_not_reached_is_asked_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")

    def load(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach 'me/set' on the Hub (LocalEntryNotFoundError)")

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", None)
    with pytest.raises(
        DataError, match=r"Couldn't reach 'me/set'[^$]*hint: if a local file is meant"
    ):
        find_sources("me/set", data_files="a.jsonl")
