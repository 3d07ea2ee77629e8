"""The road of a rehearsal: what a failure stops, what is said of it, and what is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axolotl import api
from axolotl.config import Config, load_config
from axolotl.errors import ConfigErrors
from axolotl.verify.rehearse import Commands, Rehearsal, Stage, rehearse
from axolotl.verify.rehearse.claims import CLAIMS
from axolotl.verify.rehearse.process import Ended
from axolotl.verify.rehearse.road import Road
from axolotl.verify.rehearse.stages import Stages

COMMANDS = Commands(api.train, api.evaluate, api.merge, api.generate)
FINE: dict[str, Any] = {
    "make_base": {
        "class": "LlamaForCausalLM",
        "layers": 2,
        "width": 64,
        "parameters": 9,
        "gptq": False,
        "vocabulary": 64,
        "whence": "its config.json",
        "assumed": [],
    },
    "make_rows": {"options": {}, "said": []},
    "prepare_rows": {"train_rows": 8, "eval_rows": 2, "tokens": 90, "trained_tokens": 9},
    "prove_packing": {
        "holds": True,
        "lines": ["attention: sdpa"],
        "numbers": {
            "documents": 4,
            "logits_share": 0.0,
            "gradient_share": 0.0,
            "leak_share": 0.0,
            "tolerance": 1e-5,
        },
    },
    "train": {
        "steps": 3,
        "losses": [6.0, 5.0, 4.0],
        "eval_loss": 5.0,
        "eval_loss_of": None,
        "checkpoints": ["checkpoint-2"],
    },
    "look_at_result": {"tensors": 4, "broken": [], "moving": 2, "moved": 2},
    "evaluate": {"loss": 5.0, "trained_tokens": 9, "apart": 0.0, "same": True},
    "compare_runs": {"tensors": 4, "different": [], "lines": 3, "same_lines": True},
    "merge": {"dtype": "float32", "largest": 0.0, "relative": 0.0, "agreeing": 3, "positions": 3},
    "answer": {"answer": "x"},
}


class FakeWorkers:
    """Gives what the stages' processes would give."""

    def __init__(self, folder: Path, **given: Any) -> None:
        self.folder = folder
        self.given = FINE | given

    def run(self, name: str, body: str, *arguments: Any, kill: bool = False) -> Ended:
        if kill:
            (self.folder / "killed" / "checkpoint-2").mkdir(parents=True)
            return self.given.get(body, Ended(9))
        found = self.given[body]
        return found if isinstance(found, Ended) else Ended(found)


@pytest.fixture
def walked(tmp_path: Path, tiny_model: Path) -> Callable[..., Rehearsal]:
    def walk(**given: Any) -> Rehearsal:
        stages = Stages(
            lora_config(tiny_model),
            scratch=tmp_path,
            workers=FakeWorkers(tmp_path, **given),  # pyright: ignore[reportArgumentType]
            commands=COMMANDS,
            packs=True,
        )
        road = Road(stages)
        road.walk()
        return Rehearsal("f.yml", road.said, road.stages, [], 1.0)

    return walk


def lora_config(model: Path, **changes: Any) -> Config:
    return load_config(
        {
            "base_model": str(model),
            "datasets": [{"path": "d.jsonl", "type": "alpaca"}],
            "adapter": "lora",
            "lora_target_linear": True,
            "val_set_size": 2,
        }
        | changes
    )


def by_name(found: Rehearsal) -> dict[str, Stage]:
    return {stage.name: stage for stage in found.stages}


def test_a_road_without_a_failure(walked: Callable[..., Rehearsal]) -> None:
    found = walked()
    assert [stage.name for stage in found.stages] == list(CLAIMS)
    assert {s.state for s in found.stages if s.name != "data"} == {"proven"}
    assert (found.exit_code, found.failed) == (0, [])
    assert json.loads(json.dumps(found.as_dict()))["passed"] is True


def test_packing_that_leaks_is_said_and_stops_nothing_else(
    walked: Callable[..., Rehearsal],
) -> None:
    numbers = FINE["prove_packing"]["numbers"] | {"leak_share": 0.6}
    found = walked(prove_packing=FINE["prove_packing"] | {"holds": False, "numbers": numbers})
    stage = by_name(found)["pack"]
    assert stage.state == "failed"
    assert "samples see each other" in stage.seen
    assert "moves others by 6e-01" in stage.seen
    assert "sample_packing: false" in stage.hint
    assert [s.name for s in found.failed] == ["pack"]
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("given", "stage", "words", "stopped"),
    [
        ({"train": Ended(None, "no", "lora_r", "do", True)}, "train", "no", "resume"),
        ({"train": FINE["train"] | {"losses": [1.0, None, None]}}, "train", "no number", "merge"),
        ({"look_at_result": FINE["look_at_result"] | {"moved": 0}}, "save", "no weight", None),
        ({"compare_runs": FINE["compare_runs"] | {"different": ["w"]}}, "resume", "1 of 4", None),
        ({"evaluate": FINE["evaluate"] | {"same": False}}, "evaluate", "another loss", None),
        ({"prepare_rows": Ended(None, "bad row", "", "", True)}, "prepare", "bad row", "train"),
    ],
)
def test_a_failure_stops_only_what_depends_on_it(
    walked: Callable[..., Rehearsal],
    given: dict[str, Any],
    stage: str,
    words: str,
    stopped: str | None,
) -> None:
    found = by_name(walked(**given))
    assert found[stage].state == "failed"
    assert words in found[stage].seen
    assert [s.name for s in found.values() if s.state == "failed"] == [stage]
    if stopped:
        assert found[stopped].state == "not shown"
        assert "did not end well" in found[stopped].seen


def test_the_users_to_mend_and_ours(walked: Callable[..., Rehearsal]) -> None:
    assert walked(merge=Ended(None, "no", "", "", True)).exit_code == 2


def test_what_train_would_refuse_is_refused_before_anything_is_made(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", lambda **_: pytest.fail("a folder was made"))
    with pytest.raises(ConfigErrors, match="bf16"):
        rehearse(lora_config(tiny_model, bf16=True, float16=True), COMMANDS)


def test_an_interrupt_leaves_nothing_behind(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended: list[bool] = []

    class Interrupted(FakeWorkers):
        def __init__(self, folder: Path, _: Any) -> None:
            super().__init__(folder)
            folder.mkdir()
            (folder / "something").write_text("x")

        def run(self, name: str, body: str, *arguments: Any, kill: bool = False) -> Ended:
            raise KeyboardInterrupt

        def end(self) -> None:
            ended.append(True)

    monkeypatch.setattr("axolotl.verify.rehearse.Workers", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        rehearse(lora_config(tiny_model), COMMANDS, keep=True)
    assert list(tmp_path.iterdir()) == []
    assert ended == [True]
