"""An error of the exchange is that of who has gone or is late; every other stays what it is."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch.distributed as dist

from axolotl.errors import ProcessLost
from axolotl.training.ranks import blame
from axolotl.training.ranks.blame import naming_lost, of_network
from axolotl.training.ranks.post import Place, Post
from axolotl.training.ranks.pulse import Pulse

CLOSED = "[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:51104"
TIMED_OUT = "[gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 3000ms for recv operation"
NO_CARD = "NCCL error: unhandled system error, NCCL version 2.27.5\nibv_modify_qp failed"
READER = "DataLoader timed out after 60 seconds"
OTHER = {
    "reader": READER,
    "peer": "CUDA error: peer mapping resources exhausted",
    "store": "could not restore the state, and what was stored has no connection to it",
}
"""Errors of a process alone, with words in them that errors of the network have, too."""
NETWORK = {"closed": CLOSED, "no card": NO_CARD}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blame, "_WAITS_S", 0.0)


def standing(own: int, other: int) -> Pulse:
    """The pulse of rank 1, which stands in one step and knows rank 0 to stand in another."""
    store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    pulses: list[Any] = [
        Pulse(Post(Place(rank, 2, "here", os.getpid()), store), say=lambda _: None)
        for rank in (0, 1)
    ]
    for pulse, step in zip(pulses, (other, own), strict=True):
        pulse._letters.put("hello", pulse.place.words())
        pulse.at(f"step {step}", level=step)
        pulse.beat()
    pulses[1].look()
    return pulses[1]


@pytest.mark.parametrize(
    "text", [*OTHER.values(), *NETWORK.values(), TIMED_OUT], ids=[*OTHER, *NETWORK, "late"]
)
@pytest.mark.parametrize(("own", "other"), [(5, 6), (5, 5)])
def test_an_error_of_a_process_that_waits_for_nobody_stays_what_it_is(
    text: str, own: int, other: int
) -> None:
    with pytest.raises(RuntimeError) as caught, naming_lost(standing(own, other)):
        raise RuntimeError(text)
    assert type(caught.value) is RuntimeError
    assert str(caught.value) == text


@pytest.mark.parametrize("text", [*OTHER.values(), *NETWORK.values()], ids=[*OTHER, *NETWORK])
def test_one_that_is_behind_is_blamed_for_no_other_error(text: str) -> None:
    with pytest.raises(RuntimeError) as caught, naming_lost(standing(6, 5)):
        raise RuntimeError(text)
    assert type(caught.value) is RuntimeError


def test_who_was_waited_for_too_long_is_named_with_the_error() -> None:
    pulse = standing(6, 5)
    with pytest.raises(ProcessLost) as caught, naming_lost(pulse):
        raise RuntimeError(f"{TIMED_OUT}\nand more")
    assert caught.value.what.splitlines() == [
        f"rank 0 (process {os.getpid()} on here) stands at: step 5, and was waited for too long",
        f"    seen here as: {TIMED_OUT}",
    ]


@pytest.mark.parametrize("kind", [dist.DistNetworkError, dist.DistStoreError, RuntimeError])
def test_who_has_gone_is_named_with_the_error(kind: type[RuntimeError]) -> None:
    text = CLOSED if kind is RuntimeError else "failed to recv, got 0 bytes"
    pulse = standing(5, 5)
    pulse.lost = "rank 0 (process 7 on there) is gone; last heard of at: step 5"
    with pytest.raises(ProcessLost) as caught, naming_lost(pulse):
        raise kind(text)
    assert caught.value.what == f"{pulse.lost}\n    seen here as: {text}"
    with pytest.raises(RuntimeError, match="DataLoader") as own, naming_lost(pulse):
        raise RuntimeError(READER)
    assert type(own.value) is RuntimeError


def test_nccl_and_gloo_are_known_by_their_words() -> None:
    for text in (
        *(CLOSED, TIMED_OUT, NO_CARD),
        "Application timeout caused pair closure",
        "ncclRemoteError: A call failed possibly due to a network error",
    ):
        assert of_network(RuntimeError(text)), text
    for text in OTHER.values():
        assert not of_network(RuntimeError(text)), text
