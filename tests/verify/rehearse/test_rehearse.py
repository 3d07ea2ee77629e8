"""Whole rehearsals: of a file of one's own, and of every example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from axolotl import api
from axolotl.config import load_config
from axolotl.resolve import examine
from axolotl.resolve.machine import Machine
from axolotl.verify.rehearse import Commands, Rehearsal, rehearse
from axolotl.verify.rehearse.architecture import recognise

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted(f.relative_to(ROOT).as_posix() for f in (ROOT / "examples").rglob("*.yml"))
SAME_ROAD = {
    **{f"examples/code-llama/{size}/lora.yml": "lora" for size in ("7b", "13b", "34b")},
    **{f"examples/code-llama/{size}/qlora.yml": "qlora" for size in ("7b", "13b", "34b")},
    "examples/llama-2/tiny-llama.yml": "lora",
}
"""Example → the one of `examples/llama-2` that stands for it: a rehearsal puts the same tiny Llama and
the same small tokenizer in the place of both bases, so that it would do the same twice."""
NOT_REHEARSED = {"base_model", "tokenizer_type", "output_dir", "pad_to_sequence_len"}
"""In what such an example may differ: names, which are replaced, and padding that trains nothing."""
COMMANDS = Commands(api.train, api.evaluate, api.merge, api.generate)
MAY_LACK = {
    "data": "made-up rows",
    "pack": "none of the",
    "merge": "all weights|ReLoRA has merged",
}
"""Stage → why an example may have nothing to show there."""
pytestmark = pytest.mark.slow


def states(found: Rehearsal) -> dict[str, str]:
    return {stage.name: stage.state for stage in found.stages}


def told(found: Rehearsal) -> str:
    return "\n".join(f"{s.name}: {s.seen} {s.hint}" for s in found.stages if s.state == "failed")


def test_all_examples_are_there() -> None:
    assert len(EXAMPLES) >= 31 + 12


@pytest.mark.parametrize("name", SAME_ROAD)
def test_what_is_not_rehearsed_differs_in_nothing_that_a_rehearsal_sees(name: str) -> None:
    gpu = Machine(gpu=True, bf16=True)
    files = (ROOT / name, ROOT / "examples" / "llama-2" / f"{SAME_ROAD[name]}.yml")
    one, other = (examine(load_config(file), machine=gpu) for file in files)
    before, after = one.as_dict(), other.as_dict()
    assert {key for key in after if before[key] != after[key]} <= NOT_REHEARSED
    assert {recognise(r.model, None)[0] for r in (one, other)} == {"llama"}


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in SAME_ROAD])
def test_every_example_passes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = rehearse(load_config(ROOT / name), COMMANDS)
    assert found.exit_code == 0, told(found)
    import re

    for stage in found.stages:
        if stage.state == "not shown":
            assert re.search(MAY_LACK[stage.name], stage.seen), stage.seen
    assert states(found)["resume"] == "proven"
    assert list(tmp_path.iterdir()) == [], "something of the user's was written to"


def own(tmp_path: Path, tiny_model: Path, **changes: Any) -> dict[str, Any]:
    rows = tmp_path / "rows.jsonl"
    lines = [
        {"instruction": f"Say {i}.", "output": f"It is {i}. " * (1 + i % 5)} for i in range(60)
    ]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {
        "base_model": str(tiny_model),
        "datasets": [{"path": str(rows), "type": "alpaca"}],
        "adapter": "lora",
        "lora_target_linear": True,
        "sample_packing": True,
        "val_set_size": 0.1,
        "output_dir": str(tmp_path / "out"),
        "dataset_prepared_path": str(tmp_path / "store"),
    } | changes


def test_ones_own_model_and_rows_are_read_and_nothing_of_ones_own_is_touched(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    options = own(tmp_path, tiny_model)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text("{}")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    found = rehearse(load_config(options), COMMANDS)
    assert found.exit_code == 0, told(found)
    assert set(states(found).values()) == {"proven"}
    assert "its own tokenizer" in found.stages[0].seen
    assert "32 of its first rows" in [one.now for one in found.replacements]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert found.folder is None


def test_long_rows_and_chats_of_many_turns_go_the_whole_road_with_a_small_tokenizer(
    tmp_path: Path, tiny_model: Path
) -> None:
    text = "There are many ways to say what the colours of a house are, and here is one more. "
    chat = [{"from": ("human", "gpt")[i % 2], "value": f"{i}: {text * 3}"} for i in range(20)]
    rows = {
        "alpaca": {"instruction": text * 3, "input": text * 9, "output": text * 40},
        "sharegpt": {"conversations": chat},
    }
    entries: list[dict[str, str]] = []
    for kind, row in rows.items():
        file = tmp_path / f"{kind}.jsonl"
        file.write_text((json.dumps(row) + "\n") * 40)
        entries.append({"path": str(file), "type": kind})
    options = own(tmp_path, tiny_model, datasets=entries, base_model="NousResearch/Llama-2-7b-hf")
    found = rehearse(load_config(options), COMMANDS)
    assert found.exit_code == 0, told(found)
    assert "a small tokenizer" in found.stages[0].seen
    by_name = {stage.name: stage for stage in found.stages}
    assert set(states(found).values()) == {"proven"}
    assert by_name["data"].numbers["by_own_rows"] == 2
    prepared = by_name["prepare"].numbers
    assert prepared["train_rows"] + prepared["eval_rows"] == 64, "rows were dropped"


def test_rows_without_the_field_are_told_as_train_tells_it(
    tmp_path: Path, tiny_model: Path
) -> None:
    options = own(tmp_path, tiny_model)
    options["datasets"][0]["type"] = {"field_instruction": "question", "field_output": "output"}
    found = rehearse(load_config(options), COMMANDS)
    assert found.exit_code == 2
    (failed,) = found.failed
    assert failed.name == "prepare"
    assert f"{tmp_path / 'rows.jsonl'} row 1" in failed.seen
    assert "question" in failed.seen
    assert states(found)["train"] == "not shown"


def test_keep_leaves_the_folder(tmp_path: Path, tiny_model: Path) -> None:
    import shutil

    found = rehearse(load_config(own(tmp_path, tiny_model, adapter=None)), COMMANDS, keep=True)
    assert found.folder is not None
    try:
        assert (found.folder / "whole" / "run.json").is_file()
        assert (found.folder / "killed" / "checkpoint-2").is_dir()
        assert (found.folder / "logs" / "train.txt").read_text()
    finally:
        shutil.rmtree(found.folder)
