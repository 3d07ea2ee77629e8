"""What `hub_model_id` sends to the hub, when, and what becomes of a hub that takes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data.hub_client import HubClient
from tests.fake_hub import FakeHub

Options = Callable[..., dict[str, Any]]
WEIGHTS = "model.safetensors"
MODEL = {WEIGHTS, "config.json", "generation_config.json", "tokenizer.json"}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub


@pytest.fixture(scope="module")
def client(server: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    with HubClient(server, tmp_path_factory.mktemp("machine")) as found:
        yield found


@pytest.fixture
def hub(server: FakeHub, client: HubClient) -> Iterator[FakeHub]:
    """The hub with nothing on it."""
    client.said()
    yield server
    server.open.set()
    for kept in (server.repositories, server.faults, server.once, server.asked, server.commits):
        kept.clear()


def options(tiny_options: Options, **changes: Any) -> dict[str, Any]:
    return tiny_options(hub_model_id="me/it", save_steps=2, max_steps=4) | changes


def inside(hub: FakeHub, folder: str = "") -> set[str]:
    """Names in a folder of the repository."""
    names = (
        n.removeprefix(folder) for n in hub.repositories["me/it"].files if n.startswith(folder)
    )
    return {name for name in names if "/" not in name}


@pytest.mark.parametrize(
    ("strategy", "folders"),
    [
        ("end", set()),
        ("every_save", set()),
        ("checkpoint", {"last-checkpoint"}),
        ("all_checkpoints", {"checkpoint-2", "checkpoint-4"}),
    ],
)
def test_hub_strategy_says_what_is_sent(
    strategy: str, folders: set[str], tiny_options: Options, hub: FakeHub, client: HubClient
) -> None:
    """`hub_model_id` gets the result always; `hub_strategy`: checkpoints as models or whole."""
    asked = options(tiny_options, hub_strategy=strategy)
    answer = client.ask("train", **asked)
    assert answer == {"steps": 4, "interrupted": False}, client.said()
    assert "the result is sent to me/it" in client.said()
    repository, result = hub.repositories["me/it"], Path(asked["output_dir"])
    assert repository.private
    assert {*MODEL, "README.md", "run.json", "metrics.jsonl"} <= inside(hub)
    assert repository.files[WEIGHTS] == (result / WEIGHTS).read_bytes()
    assert {name.partition("/")[0] for name in repository.files if "/" in name} == folders
    assert not {"optimizer.pt", "trainer_state.json", "trackers.json"} & inside(hub)
    for folder in folders:
        there = result / folder.replace("last-checkpoint", "checkpoint-4")
        assert inside(hub, f"{folder}/") == {file.name for file in there.iterdir()}
    messages = [message for _, message in hub.commits]
    assert messages[-1] == "The result"
    assert len(messages) == 1 if strategy == "end" else len(messages) > 1
    assert not (result / ".hub").exists()


def test_a_checkpoint_that_is_removed_meanwhile_is_sent_whole(
    tiny_options: Options, hub: FakeHub, client: HubClient
) -> None:
    """The hub takes the first file only when the training has removed that checkpoint."""
    asked = options(
        tiny_options, hub_strategy="all_checkpoints", save_total_limit=1, save_steps=1, max_steps=3
    )
    output = Path(asked["output_dir"])
    hub.open.clear()

    def let_in() -> None:
        for _ in range(600):
            if (output / "run.json").exists():
                break
            time.sleep(0.05)
        hub.open.set()

    waiting = threading.Thread(target=let_in)
    waiting.start()
    answer = client.ask("train", **asked)
    waiting.join()
    assert answer == {"steps": 3, "interrupted": False}, client.said()
    assert [folder.name for folder in output.glob("checkpoint-*")] == ["checkpoint-3"]
    whole = {file.name for file in (output / "checkpoint-3").iterdir()}
    for step in (1, 2, 3):
        assert inside(hub, f"checkpoint-{step}/") == whole
    files = hub.repositories["me/it"].files
    assert files["checkpoint-1/optimizer.pt"] != files["checkpoint-3/optimizer.pt"]
    assert "still being sent" in client.said()


def test_what_cannot_be_sent_is_said_and_the_result_stays(
    tiny_options: Options, hub: FakeHub, client: HubClient
) -> None:
    hub.faults["commit/main"] = 403
    asked = options(tiny_options, save_steps=1)
    answer = client.ask("train", **asked)
    assert "the result is not on the hub" in answer["error"]
    assert f"hf upload --private me/it {asked['output_dir']}" in answer["error"]
    said = client.said()
    assert said.count("cannot be sent to me/it") == 1, said
    assert "checkpoint-1 cannot be sent" in said
    assert (Path(asked["output_dir"]) / WEIGHTS).exists()
    assert (Path(asked["output_dir"]) / "run.json").exists()


def test_what_did_not_arrive_is_named_at_the_end(
    tiny_options: Options, hub: FakeHub, client: HubClient
) -> None:
    """A hub that refuses one checkpoint gets the later ones, and the result."""
    hub.faults["commit/main"] = 403
    hub.once.add("commit/main")
    answer = client.ask("train", **options(tiny_options, hub_strategy="all_checkpoints"))
    assert answer == {"steps": 4, "interrupted": False}
    assert "me/it has the result, but not checkpoint-2" in client.said()
    assert not inside(hub, "checkpoint-2/")
    assert inside(hub, "checkpoint-4/") >= MODEL


def test_a_run_that_is_stopped_sends_its_checkpoint_and_no_result(
    tiny_options: Options, hub: FakeHub, client: HubClient
) -> None:
    asked = options(tiny_options, hub_strategy="checkpoint", save_steps=1, max_steps=2000)

    def stop() -> None:
        for _ in range(600):
            if (Path(asked["output_dir"]) / "checkpoint-1").exists():
                break
            time.sleep(0.02)
        client.interrupt()

    stopping = threading.Thread(target=stop)
    stopping.start()
    answer = client.ask("train", **asked)
    stopping.join()
    assert answer["interrupted"], client.said()
    saved = Path(asked["output_dir"]) / f"checkpoint-{answer['steps']}"
    files = hub.repositories["me/it"].files
    assert files[f"last-checkpoint/{WEIGHTS}"] == (saved / WEIGHTS).read_bytes()
    assert "The result" not in [message for _, message in hub.commits]


@pytest.mark.parametrize(
    ("given", "faults", "says"),
    [
        ({"hub_model_id": "them/it"}, {}, "'them/it' cannot be made or written to"),
        ({}, {"repos/create": 401}, "has the token the role `write`"),
    ],
)
def test_a_repository_that_is_not_ours_is_refused_before_anything_is_loaded(
    given: dict[str, Any],
    faults: dict[str, int],
    says: str,
    tiny_options: Options,
    hub: FakeHub,
    client: HubClient,
) -> None:
    hub.faults.update(faults)
    asked = options(tiny_options, **given, base_model="no/such-model")
    answer = client.ask("train", **asked)
    assert says in answer["error"]
    assert not list(Path(asked["output_dir"]).glob("*.json"))


def test_a_name_without_an_owner_is_ones_own(
    tiny_options: Options, hub: FakeHub, client: HubClient
) -> None:
    asked = options(tiny_options, hub_model_id="it", hub_strategy="end", max_steps=1)
    assert client.ask("train", **asked)["steps"] == 1
    assert hub.repositories["me/it"].private
    assert b"# it\n" in hub.repositories["me/it"].files["README.md"]


def test_a_public_repository_is_refused(
    tiny_options: Options, hub: FakeHub, client: HubClient
) -> None:
    hub.put("me/it", {}, kind="model", private=False)
    assert "'me/it' is public" in client.ask("train", **options(tiny_options))["error"]


def test_without_a_token_nothing_begins(
    tiny_options: Options, server: FakeHub, tmp_path: Path
) -> None:
    with HubClient(server, tmp_path / "stranger", token=False) as stranger:
        answer = stranger.ask("train", **options(tiny_options, base_model="no/such-model"))
    assert "there is none" in answer["error"]
    assert "hf auth login" in answer["error"]
    assert "POST /api/repos/create" not in server.asked
