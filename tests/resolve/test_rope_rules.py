"""Rope scaling by its parameters, and by what the config.json of a local model says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from axolotl.config import load_config
from axolotl.config.attention import RopeScaling
from axolotl.errors import ConfigErrors
from axolotl.records import Finding
from axolotl.resolve import examine
from axolotl.resolve.machine import Machine
from axolotl.resolve.rules.rope import KINDS

CPU = Machine(gpu=False, bf16=False)
SMALL: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d.jsonl", "type": "alpaca"}]}
LLAMA3 = {"type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}
LONG = {"type": "longrope", "factor": 4, "short_factor": [1, 2], "long_factor": [2, 3]}


def found(rope: dict[str, Any] | None, **changes: Any) -> list[Finding]:
    given = {**SMALL, **({"rope_scaling": rope} if rope else {}), **changes}
    findings = examine(load_config(given), machine=CPU).findings
    return [f for f in findings if f.rule.startswith(("rope", "longer")) or f.rule == "renamed"]


def model(folder: Path, **settings: Any) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    return str(folder)


@pytest.mark.parametrize(
    "rope",
    [
        {"type": "linear", "factor": 2},
        {"type": "dynamic", "factor": 2, "original_max_position_embeddings": 2048},
        {"type": "yarn", "factor": 4, "beta_fast": 16, "beta_slow": 2, "attention_factor": 1.1},
        {"type": "yarn", "factor": 4, "mscale": 1, "mscale_all_dim": 0.7, "truncate": False},
        LLAMA3,
        LONG,
    ],
    ids=str,
)
def test_each_kind_with_its_parameters(rope: dict[str, Any]) -> None:
    assert found(rope) == []
    named = {name for kind in KINDS.values() for name in (*kind.needs, *kind.may)}
    assert named | {"type"} == set(RopeScaling.model_fields)


@pytest.mark.parametrize(
    ("rope", "key", "says", "hint"),
    [
        ({"type": "linear"}, "", "needs factor", "`factor: 2`"),
        ({"type": "llama3", "factor": 8, "low_freq_factor": 1}, "", "needs high_freq_factor", "4"),
        ({"type": "longrope", "factor": 8, "short_factor": [1]}, "", "needs long_factor", "search"),
        ({"type": "linear", "factor": 2, "beta_fast": 3}, ".beta_fast", "no such", "type: yarn"),
        ({**LLAMA3, "attention_factor": 1}, ".attention_factor", "no such", "yarn or longrope"),
        ({**LLAMA3, "low_freq_factor": 4}, ".low_freq_factor", "not less than", "1 and 4"),
        (
            {"type": "yarn", "factor": 2, "beta_slow": 40},
            ".beta_slow",
            "not less",
            "leave both out",
        ),
        ({"type": "yarn", "factor": 2, "beta_fast": 0.5}, ".beta_fast", "not less", "leave both"),
        ({"type": "yarn", "factor": 2, "mscale": 1}, ".mscale", "without mscale_all_dim", "add"),
    ],
)
def test_what_is_missing_or_does_not_fit(
    rope: dict[str, Any], key: str, says: str, hint: str
) -> None:
    (one,) = found(rope)
    assert (one.level, one.key) == ("error", f"rope_scaling{key}")
    assert says in one.message
    assert hint in one.hint


@pytest.mark.parametrize(
    ("rope", "says"),
    [
        ({"type": "liner", "factor": 2}, "linear"),
        ({"type": "linear", "facter": 2}, "factor"),
        ({"type": "linear", "factor": 1}, "factor"),
        ({"factor": 2}, "type"),
    ],
)
def test_what_is_no_scaling_is_refused_with_the_nearest_name(
    rope: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigErrors, match=says):
        load_config({**SMALL, "rope_scaling": rope})


def test_rope_type_is_read_as_type() -> None:
    given = {**SMALL, "rope_scaling": {"rope_type": "yarn", "factor": 2}}
    scaling = load_config(given).attention.rope_scaling
    assert scaling is not None
    assert scaling.parameters() == {"rope_type": "yarn", "factor": 2.0}
    (one,) = found({"rope_type": "yarn", "factor": 2})
    assert (one.level, one.hint) == ("info", "write type")


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "falcon", "alibi": True},
        {"model_type": "mpt", "attn_config": {"alibi": True}},
    ],
    ids=str,
)
def test_a_local_model_that_cannot_be_stretched(tmp_path: Path, settings: dict[str, Any]) -> None:
    name = model(tmp_path / "m", **settings)
    (one,) = found({"type": "linear", "factor": 2}, base_model=name)
    assert (one.level, one.key) == ("error", "rope_scaling")
    assert "cannot be stretched: " in one.message


def test_a_kind_that_the_family_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from axolotl.architectures import Rope, facts_of
    from axolotl.resolve.rules import rope

    llama = facts_of("llama")
    assert llama is not None
    name = model(tmp_path / "m", model_type="llama")
    assert found({"type": "linear", "factor": 2}, base_model=name) == []
    only = replace(llama, rope=Rope(frozenset({"longrope"})))
    monkeypatch.setattr(rope, "facts_of", lambda _: only)
    (one,) = found({"type": "linear", "factor": 2}, base_model=name)
    assert (one.level, one.key, one.hint) == (
        "error",
        "rope_scaling.type",
        "write `type: longrope`",
    )
    monkeypatch.setattr(rope, "facts_of", lambda _: replace(llama, rope="positions are learnt"))
    (one,) = found({"type": "linear", "factor": 2}, base_model=name)
    assert one.message.endswith("(llama) cannot be stretched: positions are learnt")


def test_samples_longer_than_a_local_model(tmp_path: Path) -> None:
    name = model(tmp_path / "m", model_type="llama", max_position_embeddings=2048)
    assert found(None, base_model=name, sequence_len=2048) == []
    (one,) = found(None, base_model=name, sequence_len=5000)
    assert (one.level, one.key) == ("warning", "sequence_len")
    assert "at least 2.44" in one.hint
    doubled = {"type": "linear", "factor": 2}
    assert (
        "4096 tokens that it is stretched to"
        in found(doubled, base_model=name, sequence_len=5000)[0].message
    )
    assert found({"type": "linear", "factor": 3}, base_model=name, sequence_len=5000) == []


def test_a_damaged_config_is_left_to_the_loading(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    assert found({"type": "linear", "factor": 2}, base_model=str(tmp_path)) == []
