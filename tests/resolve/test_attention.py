"""Switches for kernels: the kernel where it can run, else nothing, and one line that says why."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.attention import KERNEL_PACKAGES, ORDER, why_not_here
from axolotl.config import load_config
from axolotl.config.attention import AttentionSection
from axolotl.config.section import facts
from axolotl.errors import ConfigErrors
from axolotl.registry import available
from axolotl.resolve import examine, resolve
from axolotl.resolve.machine import Machine

ALL = frozenset(KERNEL_PACKAGES)
CPU = Machine(gpu=False, bf16=False, kernels=ALL)
BASE: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d.jsonl", "type": "alpaca"}]}


def gpu(capability: tuple[int, int], *kernels: str) -> Machine:
    found = frozenset(kernels) if kernels else ALL
    return Machine(gpu=True, bf16=True, kernels=found, capability=capability)


CASES = [
    ("flash_attention", gpu((9, 0)), {"bf16": "auto"}, "flash_attention_3"),
    ("flash_attention", gpu((9, 0), "flash_attn"), {"bf16": True}, "flash_attention_2"),
    ("flash_attention", gpu((10, 0)), {"bf16": True}, "flash_attention_2"),
    ("flash_attention", gpu((7, 5)), {"fp16": True}, None),
    ("flash_attention", gpu((9, 0)), {}, None),
    ("flash_attention", gpu((9, 0), "xformers"), {"bf16": True}, None),
    ("flash_attention", CPU, {"bf16": True}, None),
    ("xformers_attention", gpu((7, 5)), {}, "xformers"),
    ("xformers_attention", gpu((9, 0), "flash_attn"), {}, None),
    ("xformers_attention", CPU, {}, None),
]


@pytest.mark.parametrize(("switch", "machine", "given", "name"), CASES)
def test_a_switch_means_the_kernel_that_runs(
    switch: str, machine: Machine, given: dict[str, Any], name: str | None
) -> None:
    resolved = examine(load_config(BASE | given | {switch: True}), machine=machine)
    assert resolved.attention.attn_implementation == name
    said = [f for f in resolved.findings if f.rule == "attention-in-its-place"]
    assert len(said) == (name is None)
    origin = resolved.origin("attn_implementation")
    assert origin == (f"implied by {switch}" if name else "default")


def test_a_name_that_cannot_run_is_refused_before_anything_loads() -> None:
    config = load_config(BASE | {"attn_implementation": "flash_attention_2", "bf16": True})
    with pytest.raises(
        ConfigErrors, match="flash_attention_2 cannot be used: there is no GPU here"
    ):
        resolve(config, machine=CPU)
    assert not resolve(config, purpose="prepare", machine=CPU).errors
    assert not resolve(config, machine=gpu((8, 0))).errors


def test_all_backends_may_be_named() -> None:
    info = AttentionSection.model_fields["attn_implementation"]
    assert set(facts(info).get("choices", ())) == set(available("axolotl.attention")) - {"landmark"}
    assert all(why_not_here(name, CPU) is None for name in ORDER)
