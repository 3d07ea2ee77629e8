"""Processes of a run that tell each other where they are; here threads with a store in memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from axolotl.errors import EnvironmentFault, ProcessLost
from axolotl.training.ranks import pulse as pulses
from axolotl.training.ranks.facts import compare, facts_of
from axolotl.training.ranks.muster import Muster
from axolotl.training.ranks.post import Place, Post
from axolotl.training.ranks.pulse import Pulse
from axolotl.training.ranks.steps import StepsSeen


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulses, "BEAT_S", 0.02)


def posts(world: int = 2) -> list[Post]:
    store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    here = {"host": "here", "pid": os.getpid()}
    return [Post(Place(rank, world, **here), store) for rank in range(world)]


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_one_process_has_nobody_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = Muster.call()
    assert alone.pulse is None
    with alone.together():
        assert alone.first_alone("work", lambda: 3) == 3
        alone.agree({"seed": 1}, {}, None)
        assert alone.join(lambda: "state") == "state"


def test_the_first_works_before_the_others() -> None:
    done: list[int] = []

    def work(rank: int, post: Post) -> int:
        pulse = Pulse(post, say=lambda _: None)
        pulse.start()
        muster = Muster(post, pulse)

        def prepare() -> int:
            if rank == 0:
                time.sleep(0.5)
            done.append(rank)
            return rank

        with muster.together():
            return muster.first_alone("prepare", prepare)

    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(work, range(3), posts(3)))
    assert ends == [0, 1, 2]
    assert done[0] == 0


def test_machines_are_counted_by_those_who_are_there() -> None:
    first, second, third = posts(3)
    far = Post(replace(third.place, host="there"), third._store)  # pyright: ignore[reportPrivateUsage]
    for post in (first, second, far):
        post.put("hello", post.place.words())
    assert Muster(first, None).machines == 2
    assert Muster(None, None).machines == 1


def test_who_waits_for_a_process_that_fails_is_told() -> None:
    first, second = posts()

    def fail() -> None:
        raise ValueError("no such file\nand more")

    def run(post: Post, work: Callable[[], None]) -> str:
        pulse = Pulse(post, say=lambda _: None)
        pulse.start()
        muster = Muster(post, pulse)
        try:
            with muster.together():
                muster.first_alone("prepare", work)
        except (ValueError, ProcessLost) as error:
            return f"{type(error).__name__}: {error}"
        return "done"

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(run, (first, second), (fail, lambda: None)))
    assert ends[0].startswith("ValueError")
    assert ends[1].startswith(
        f"ProcessLost: rank 0 (process {os.getpid()} on here) ended: ValueError"
    )
    assert "no such file" in ends[1]
    assert "and more" not in ends[1]


def test_a_process_that_is_gone_is_found_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulses, "ENDS_S", 60.0)  # the thread is not to end this very process
    first, second = posts()
    gone = Post(replace(second.place, pid=dead_process()), second._store)  # pyright: ignore[reportPrivateUsage]
    gone.put("hello", gone.place.words())
    gone.put("beat", {"count": 1, "stands": [4, "step 4, forward pass"], "still_s": 0.0})
    pulse = Pulse(first, say=lambda _: None)
    pulse.start()
    lost = pulse.wait_lost(20.0)
    assert lost is not None
    assert lost.startswith("rank 1 (process")
    assert "is gone; last heard of at: " in lost
    with pytest.raises(ProcessLost, match="rank 1"), Muster(first, pulse).together():
        raise RuntimeError("[gloo] Connection closed by peer")
    with pytest.raises(RuntimeError, match="of its own"), Muster(first, pulse).together():
        raise RuntimeError("of its own")


def test_who_ends_because_another_has_gone_tells_the_other_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(pulses, "ENDS_S", 0.0)
    survivor, far = posts()
    survivor = Post(replace(survivor.place, host="there", pid=1), survivor._store)  # pyright: ignore[reportPrivateUsage]
    ending, watching = Pulse(survivor, say=lambda _: None), Pulse(far, say=lambda _: None)
    survivor.put("hello", survivor.place.words())
    ending.beat()
    watching.look()
    assert watching.lost is None
    ending._lose("rank 2 (process 7 on there) is gone", machine=False)  # pyright: ignore[reportPrivateUsage]
    watching.look()
    assert watching.lost is not None
    assert watching.lost.startswith("rank 0 (process 1 on there) ended: ")
    assert "rank 2 (process 7 on there) is gone" in watching.lost

    silent = Pulse(survivor, say=lambda _: None)
    monkeypatch.setattr(pulses, "LAST_WORD_S", 0.01)
    monkeypatch.setattr(survivor, "put", lambda *_: threading.Event().wait())
    silent._lose("rank 0 on there is gone", machine=False)  # pyright: ignore[reportPrivateUsage]
    assert codes == [pulses.LOST, pulses.LOST], "it ends, also where the store does not answer"


@pytest.mark.slow
def test_a_process_that_waits_for_one_that_is_gone_is_ended() -> None:
    program = """
import os, sys, time
import torch.distributed as dist
from axolotl.training.ranks import pulse
from axolotl.training.ranks.post import Place, Post
pulse.BEAT_S, pulse.ENDS_S = 0.05, 0.2
store = dist.HashStore()
gone = Post(Place(1, 2, "here", int(sys.argv[1])), store)
gone.put("hello", gone.place.words())
pulse.Pulse(Post(Place(0, 2, "here", os.getpid()), store)).start()
time.sleep(120)
"""
    words = [sys.executable, "-c", program, str(dead_process())]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == pulses.LOST
    assert "rank 1 (process" in ended.stderr
    assert "rank 0 ends, too" in ended.stderr


def test_one_that_stands_still_and_one_that_is_silent_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    first, second = posts()
    pulse, other = Pulse(first, say=said.append), Pulse(second, say=said.append)
    second.put("hello", second.place.words())
    other.at("step 3, forward pass", level=30)
    pulse.at("step 3, backward pass", level=31)
    other.beat()
    pulse.look()
    assert not said
    monkeypatch.setattr(pulses, "STILL_S", 0.05)
    time.sleep(0.1)
    other.beat()
    pulse.look()
    pulse.look()
    assert len(said) == 1, "a process is named once until it has stood still for twice as long"
    assert "rank 1" in said[0]
    assert "stands at: step 3, forward pass" in said[0]
    assert "the others wait for it" in said[0]
    assert [words for words in pulse.behind() if "rank 1" in words] == pulse.behind() != []
    other.at("step 3, backward pass", level=31)
    other.beat()
    pulse.look()
    assert pulse.behind() == []
    monkeypatch.setattr(pulses, "SILENT_S", 0.05)
    time.sleep(0.1)
    pulse.look()
    assert "no sign of life" in said[-1]
    assert pulse.lost is None


def test_silence_of_another_machine_means_that_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = posts()
    far = Post(replace(second.place, host="far", pid=1), second._store)  # pyright: ignore[reportPrivateUsage]
    far.put("hello", far.place.words())
    pulse = Pulse(first, say=lambda _: None)
    pulse.look()
    assert pulse.lost is None
    monkeypatch.setattr(pulses, "GONE_S", 0.05)
    time.sleep(0.1)
    pulse.look()
    assert pulse.lost is not None
    assert "rank 1 (process 1 on far) has not answered" in pulse.lost


def test_other_options_data_and_versions_are_refused() -> None:
    first, second = posts()
    options = {"seed": 1, "datasets": [{"path": "a"}], "output_dir": "here"}
    other = {"seed": 2, "datasets": [{"path": "a"}], "output_dir": "there"}
    facts = facts_of(options, {"data": "ab", "sources": ["x"]})
    assert facts["datasets.0.path"] == "a"
    others = facts_of(other, {"data": "cd", "sources": ["y"]})
    others["version of torch"] = "1.0"
    first.put("facts", facts)
    second.put("facts", facts)
    compare(first, facts)
    second.put("facts", others)
    for post, own in ((first, facts), (second, others)):
        with pytest.raises(EnvironmentFault) as caught:
            compare(post, own)
        lines = caught.value.what.splitlines()[1:]
        assert [line.strip().partition(":")[0] for line in lines] == [
            "data",
            "seed",
            "version of torch",
        ]
        assert 'data: data: "ab" on rank 0, "cd" on rank 1' in lines[0]
        assert "seed: 1 on rank 0, 2 on rank 1" in lines[1]


def test_processes_that_would_go_on_from_different_checkpoints_are_refused(tmp_path: Path) -> None:
    one, two = posts()
    asked = {"auto_resume_from_checkpoints": True}
    found: tuple[Path | None, ...] = (tmp_path / "here/checkpoint-100", None)

    def run(post: Post, options: dict[str, Any], resume: Path | None) -> str:
        pulse = Pulse(post, say=lambda _: None)
        pulse.start()
        try:
            with (muster := Muster(post, pulse)).together():
                muster.agree(options, {}, resume)
        except (EnvironmentFault, ProcessLost) as error:
            return str(error)
        return "agreed"

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(run, (one, two), (asked, asked), found))
        told = 'checkpoint to go on from: "checkpoint-100" on rank 0, "none" on rank 1'
        assert "agreed" not in ends
        assert any(told in end and "output_dir that all see" in end for end in ends), ends
        # Each machine may see the folder elsewhere; how the checkpoint was found does not matter.
        elsewhere = (found[0], tmp_path / "there/checkpoint-100")
        assert list(pool.map(run, posts(), (asked, {}), elsewhere)) == ["agreed", "agreed"]


def test_what_is_compared_holds_no_secret() -> None:
    address = "https://me:pass@host/a.jsonl?token=1"
    facts = facts_of({"datasets": [{"path": address}], "seed": 1}, {})
    assert facts["datasets.0.path"] == "https://host/a.jsonl"
    assert facts["seed"] == 1
    assert "pass" not in str(facts)
    assert "token=1" not in str(facts)


def test_who_does_not_join_is_named() -> None:
    first, second = posts()
    second.put("hello", second.place.words())
    pulse = Pulse(first, say=lambda _: None)
    first.put("hello", first.place.words())
    first.put("joined", {})

    def join() -> Any:
        raise RuntimeError("connect timed out")

    with pytest.raises(EnvironmentFault) as caught:
        Muster(first, pulse).join(join)
    assert "connect timed out; not through yet: rank 1 on here" in caught.value.what
    assert "NCCL_SOCKET_IFNAME" in str(caught.value.hint)


def test_messages_of_one_run_are_not_those_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    monkeypatch.setattr(dist, "TCPStore", lambda *_, **__: store)
    first = Post.open(Place(0, 2, "here", 1))
    first.put("end", {"done": True})
    assert first.get("end", 0) == {"done": True}
    assert Post.open(Place(0, 2, "here", 1)).get("end", 0) is None


def test_where_processes_meet_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axolotl.training.ranks.post.CONNECT_S", 1)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    with pytest.raises(EnvironmentFault, match=r"rank 1 on .* does not reach 127.0.0.1:1"):
        Post.open(Place(1, 2, "here", 1))


def test_steps_are_told_in_an_order_that_all_share() -> None:
    import torch
    from transformers import TrainerState

    model = torch.nn.Linear(2, 2)
    pulse = Pulse(posts()[0], say=lambda _: None)
    seen = StepsSeen(pulse, model)
    levels: list[int] = []
    state: Any = TrainerState(global_step=4)

    def note_level() -> None:
        levels.append(pulse._stands[0])  # pyright: ignore[reportPrivateUsage]

    seen.on_step_begin(None, state, None)
    note_level()
    for _ in range(2):
        model(torch.zeros(1, 2))
        note_level()
    assert pulse._stands[1] == "step 5, backward pass and exchange of gradients of row 2"  # pyright: ignore[reportPrivateUsage]
    state.global_step = 5
    seen.on_step_end(None, state, None)
    note_level()
    model.eval()(torch.zeros(1, 2))
    note_level()
    seen.on_step_begin(None, state, None)
    note_level()
    assert levels == sorted(levels)
    seen.on_train_end(None, state, None)
    model.train()(torch.zeros(1, 2))
    assert not [t for t in threading.enumerate() if t.name == "pulse" and not t.daemon]
