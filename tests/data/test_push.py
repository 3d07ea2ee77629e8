"""Prepared data goes to the hub once, and other machines take it from there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data.hub_client import HubClient
from tests.fake_hub import FakeHub

Prepare = Callable[..., Any]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub


@pytest.fixture(scope="module")
def client(server: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    with HubClient(server, tmp_path_factory.mktemp("machine")) as found:
        yield found


@pytest.fixture
def hub(server: FakeHub) -> Iterator[FakeHub]:
    """The hub with nothing on it."""
    yield server
    server.repositories.clear()
    server.faults.clear()
    server.asked.clear()


@pytest.fixture
def prepare_options(tmp_path: Path, tokenizer: Any) -> dict[str, Any]:
    """What is prepared: five rows."""
    tokenizer.save_pretrained(tmp_path / "words")
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"text": f"Text {i}."}) + "\n" for i in range(5)))
    options = {
        "datasets": [{"path": str(data), "type": "completion"}],
        "dataset_prepared_path": str(tmp_path / "one"),
        "push_dataset_to_hub": "me",
        "hf_use_auth_token": True,
    }
    return {"options": options, "tokenizer": str(tmp_path / "words")}


@pytest.fixture
def prepare(client: HubClient, prepare_options: dict[str, Any], tmp_path: Path) -> Prepare:
    """Prepare the rows on a machine: a folder of prepared data."""

    def run(machine: str = "one", push_dataset_to_hub: str = "me") -> Any:
        machines = {"dataset_prepared_path": str(tmp_path / machine)}
        options = {"push_dataset_to_hub": push_dataset_to_hub, **machines}
        client.said()
        return client.ask(
            "prepare", **{**prepare_options, "options": {**prepare_options["options"], **options}}
        )

    return run


def pushes(hub: FakeHub) -> int:
    return sum("/commit/" in request for request in hub.asked)


def test_the_first_machine_sends_and_the_second_takes(
    prepare: Prepare, hub: FakeHub, client: HubClient
) -> None:
    """`push_dataset_to_hub` names who keeps it."""
    first = prepare("one")
    assert "error" not in first, first["error"]
    assert (len(first["rows"]), first["cached"]) == (5, False)
    repository = hub.repositories[f"me/{first['key']}"]
    assert repository.private
    assert {"data-00000.arrow", "rows.npy", "store.json", "README.md"} <= {*repository.files}
    assert "not on the hub yet" in client.said()
    second = prepare("two")
    assert second == {**first, "cached": True}
    assert "taken from the hub" in client.said()
    assert pushes(hub) == 1


def test_anyone_can_open_what_was_sent(prepare: Prepare, hub: FakeHub, client: HubClient) -> None:
    first = prepare()
    loaded = client.ask("load", path=f"me/{first['key']}")
    assert loaded["rows"] == first["rows"]
    assert loaded["columns"] == ["input_ids", "attention_mask", "labels"]


def test_a_whole_name_keeps_a_configuration_of_each(
    prepare: Prepare, hub: FakeHub, client: HubClient
) -> None:
    first = prepare("one", "me/prepared")
    head = b"---\nlicense: mit\nconfigs:\n- config_name: other\n  data_files: other/*.arrow\n---\n"
    files, key = hub.repositories["me/prepared"].files, first["key"]
    files["README.md"] = head
    files["other/data.arrow"] = files[f"{key}/data-00000.arrow"]
    del files[f"{key}/rows.npy"]
    again = prepare("two", "me/prepared")
    assert again == first
    card = files["README.md"].decode()
    assert "license: mit" in card
    assert "config_name: other" in card
    assert f'load_dataset("me/prepared", "{key}")' in card
    assert client.ask("load", path="me/prepared", name=key).get("rows") == first["rows"]
    assert prepare("three", "me/prepared")["cached"]


def test_what_is_damaged_there_is_made_and_sent_again(
    prepare: Prepare, hub: FakeHub, client: HubClient
) -> None:
    first = prepare("one")
    files = hub.repositories[f"me/{first['key']}"].files
    good = files["data-00000.arrow"]
    files["data-00000.arrow"] = good[:-1000] + bytes(8) + good[-992:]
    files["data-00001.arrow"] = b"left over"
    assert prepare("two") == first
    assert "not whole: made here" in client.said()
    assert files["data-00000.arrow"] == good
    assert "data-00001.arrow" not in files
    assert prepare("three")["cached"]


def test_a_store_that_is_there_is_sent_if_it_never_was(prepare: Prepare, hub: FakeHub) -> None:
    hub.faults["POST /api/repos/create"] = 403
    refused = prepare("one")
    assert "EnvironmentFault: me/" in refused["error"]
    assert "cannot be sent to the hub" in refused["error"]
    assert "next start tries again" in refused["error"]
    hub.faults.clear()
    sent = prepare("one")
    assert sent["cached"]
    assert f"me/{sent['key']}" in hub.repositories
    asked = len(hub.asked)
    assert prepare("one") == sent
    assert len(hub.asked) == asked  # it is known to be there


def test_the_hub_that_has_the_store_is_not_sent_it_again(prepare: Prepare, hub: FakeHub) -> None:
    first = prepare("one")
    hub.faults[f"GET /api/datasets/me/{first['key']}"] = 403  # what looking asks for
    assert prepare("two")["error"].startswith("EnvironmentFault")
    hub.faults.clear()
    assert prepare("two") == {**first, "cached": True}
    assert pushes(hub) == 1


def test_looking_that_fails_is_a_note(prepare: Prepare, hub: FakeHub, client: HubClient) -> None:
    hub.faults["GET /api/datasets/me/"] = 403
    refused = prepare()
    assert client.said().count("cannot be looked for on the hub") == 1
    assert "cannot be sent" in refused["error"]


def test_nothing_is_sent_to_a_public_data_set(prepare: Prepare, hub: FakeHub) -> None:
    hub.put("me/prepared", {"README.md": b""})
    assert "the data set is public" in prepare("one", "me/prepared")["error"]
    assert pushes(hub) == 0


def test_without_a_token_nothing_is_prepared(
    prepare_options: dict[str, Any], hub: FakeHub, tmp_path: Path
) -> None:
    with HubClient(hub, tmp_path / "stranger", token=False) as stranger:
        refused = stranger.ask("prepare", **prepare_options)
    assert "push_dataset_to_hub needs a token of the hub" in refused["error"]
    assert "hf auth login" in refused["error"]
    assert not list((tmp_path / "one").glob("*/store.json"))
