"""The columns of the support table: what is done in each cell, and what must be seen of it.

A column is a function from a row to an outcome. It fails where a method runs without its effect; what
the tool refuses comes out as refused, with the reason that a user is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from axolotl import api
from axolotl.architectures import Rope
from axolotl.attention import ORDER, registered_name, why_not_here
from axolotl.errors import AxolotlError
from axolotl.models.adapters.targets import beside_experts
from axolotl.models.backend import attention_need
from axolotl.models.gptq.layer import quantised_layers
from axolotl.models.rope_config import scaling_of
from axolotl.registry import available, load
from axolotl.resolve.machine import this_machine
from axolotl.verify.packing import prove
from tests.support.case import LORA, OWN_LENGTH, Case, Outcome, logits_of, lora_layers

Column = Callable[[Case], Outcome]


def fp32(case: Case) -> Outcome:
    """All weights are trained, in fp32, by the whole road up to the last step."""
    done, _ = case.run()
    weights = list(done.model.parameters())
    assert all(weight.requires_grad and weight.dtype == torch.float32 for weight in weights)
    before = case.model.state_dict()
    moved = [name for name, now in done.model.state_dict().items() if not _same(now, before[name])]
    assert len(moved) >= len(weights) / 2, "few weights have moved"
    return Outcome("runs", "all weights trained")


def bf16(case: Case) -> Outcome:
    """Computed in bfloat16, with weights in fp32: the losses are a little other than fp32's."""
    model, losses = case.learn(bf16=True)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    whole = case.whole[1][0]
    assert losses[0] != whole, "nothing was rounded"
    assert abs(losses[0] - whole) < 0.05 * whole
    return Outcome("runs", "autocast, weights in fp32")


def lora(case: Case) -> Outcome:
    """Adapters on all linear layers that the family names; nothing else learns."""
    model, _ = case.learn(**LORA)
    layers = lora_layers(model)
    names = sorted({path.rpartition(".")[2] for path in layers})
    assert layers
    assert set(names) <= set(case.facts.linear), names
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    assert any(module.lora_B["default"].weight.any() for module in layers.values())
    return Outcome("runs", f"on {', '.join(names)}")


def qlora(case: Case) -> Outcome:
    """Adapters on layers that are held in 4 bits."""
    from bitsandbytes.nn.modules import Linear4bit

    model, _ = case.learn(**{**LORA, "adapter": "qlora", "load_in_4bit": True})
    return _few_bits(case, model, Linear4bit, "4 bits (NF4)")


def eight_bit(case: Case) -> Outcome:
    """Adapters on layers that are held in 8 bits."""
    from bitsandbytes.nn.modules import Linear8bitLt

    model, _ = case.learn(**LORA, load_in_8bit=True)
    return _few_bits(case, model, Linear8bitLt, "8 bits")


def gptq(case: Case) -> Outcome:
    """Adapters on a checkpoint in GPTQ's format."""
    model, _ = case.learn(**LORA, gptq=True, base_model=str(case.packed))
    held = {path.removesuffix(".base_layer") for path in quantised_layers(model)}
    assert held
    beside = sorted(held - set(lora_layers(model)))
    passed = beside_experts(model)
    assert beside == sorted(f"base_model.model.{path}" for path in passed), beside
    ends = sorted({path.rpartition(".")[2] for path in passed})
    without = f"; peft gives those of {', '.join(ends)} that are no experts none" if ends else ""
    return Outcome("runs", f"layers in 4 bits, as the checkpoint has them{without}")


def _few_bits(case: Case, model: Any, kind: type[nn.Module], what: str) -> Outcome:
    held = [path for path, module in model.named_modules() if isinstance(module, kind)]
    adapted = lora_layers(model)
    assert held
    assert len(adapted) == case.linear_layers
    whole = [path for path in adapted if not any(p.startswith(path) for p in held)]
    ends = sorted({path.rpartition(".")[2] for path in whole})
    return Outcome("runs", f"layers in {what}" + (f", whole: {', '.join(ends)}" if ends else ""))


def relora(case: Case) -> Outcome:
    """Adapters that are merged into the weights and begun anew."""
    options = {"relora_steps": 2, "relora_warmup_steps": 1, "max_steps": 4}
    done, _ = case.run(**LORA, **options)
    before = case.model.state_dict()
    moved = 0
    for path, module in lora_layers(done.model).items():
        weight = module.get_base_layer().weight
        moved += not _same(weight, before[f"{path.removeprefix('base_model.model.')}.weight"])
    assert moved == case.linear_layers, "the adapter was not merged everywhere"
    return Outcome("runs", "merged every 2 steps")


def packing(case: Case) -> Outcome:
    """Samples that share a row do not see each other, forward and backward."""
    proof = prove(api.resolved(case.options()), rows=1)
    assert proof.holds, proof.lines
    if not proof.numbers["rows"]:
        (why,) = (line for line in proof.lines if line.startswith("rows: "))
        return Outcome("refused", why.partition(" holds two samples: ")[2])
    assert proof.numbers["documents"] == 4
    return Outcome("runs", "samples isolated, forward and backward")


SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0},
    "llama3": {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "longrope": {"factor": 4.0},
}
"""What each kind of rope scaling is tried with; `longrope` gets its lists besides."""


def rope_scaling(case: Case) -> Outcome:
    """Each kind of scaling either changes the logits of a long sample, or is refused."""
    rope = case.facts.rope
    if not isinstance(rope, Rope) or (case.changes and scaling_of(case.model.config) is None):
        try:
            api.load_model(_stretched(case, "linear", case.base, {}))
        except AxolotlError as error:
            return Outcome("refused", case.refusal(error))
        raise AssertionError("rope_scaling is taken, and the family says that it has none")
    plain = logits_of(api.load_model(case.options(base_model=str(case.short))), 2 * OWN_LENGTH)
    taken: list[str] = []
    for kind, settings in SETTINGS.items():
        options = _stretched(case, kind, case.short, settings)
        try:
            model = api.load_model(options)
        except AxolotlError:
            assert kind not in rope.types, f"{kind} is refused, and the family says that it works"
            continue
        assert kind in rope.types, f"{kind} is taken, and the family says that it has none"
        assert (logits_of(model, 2 * OWN_LENGTH) - plain).abs().max() > 1e-4, f"{kind}: no effect"
        if not taken:
            case.learn(**{k: options[k] for k in ("base_model", "rope_scaling", "sequence_len")})
        taken.append(kind)
    return Outcome("runs", ", ".join(taken))


def _stretched(case: Case, kind: str, base: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    scaling: dict[str, Any] = {"type": kind, "factor": 4.0, **settings}
    if kind == "longrope":
        width = _rotations(case)
        scaling |= {"short_factor": [1.0] * width, "long_factor": [4.0] * width}
    return case.options(base_model=str(base), rope_scaling=scaling, sequence_len=2 * OWN_LENGTH)


def _rotations(case: Case) -> int:
    """How many frequencies a head has."""
    found = [b for name, b in case.model.named_buffers() if name.endswith("inv_freq")]
    return len(found[0]) if found else 1


SWITCHES: Mapping[str, str] = {
    "flash_attention_2": "flash_attention",
    "xformers": "xformers_attention",
}
"""Backends that are only wished for by a switch, so that another may take their place."""


def attention(case: Case, *, name: str) -> Outcome:
    """The backend keeps samples apart, forward and backward; or what it lacks is told."""
    asked: dict[str, Any] = {"attn_implementation": name}
    if name == "landmark":
        asked = {"landmark_attention": True}
    refused = load("axolotl.attention", name).why_not(attention_need(case.model.config))
    lacking = why_not_here(name, this_machine())
    try:
        resolved = api.resolved(case.options(**asked), purpose="train")
        proof = prove(resolved, rows=1)
    except AxolotlError as error:
        said = case.refusal(error)
        if refused or not lacking:
            return Outcome("refused", refused or said)
        assert lacking in said, said
        _replaced(case, name)
        return Outcome("needs", lacking)
    assert refused is None
    assert lacking is None
    assert proof.holds, proof.lines
    assert proof.lines[0].removesuffix(", one document at a time") == f"attention: {name}"
    if not proof.numbers["rows"]:
        (why,) = (line for line in proof.lines if line.startswith("rows: "))
        return Outcome("runs", why.partition(" holds two samples: ")[2])
    return Outcome("runs", "samples isolated, forward and backward")


def _replaced(case: Case, name: str) -> None:
    """Where the backend is only wished for, one that is here takes its place."""
    if switch := SWITCHES.get(name):
        model: Any = api.load_model(case.options(**{switch: True}))
        assert model.config._attn_implementation in {registered_name(n) for n in ORDER}


def xpos(case: Case) -> Outcome:
    """xPos rotary positions are computed, and a model learns with them."""
    _, losses = case.learn(xpos_rope=True)
    assert losses[0] != case.whole[1][0], "positions are turned as ever"
    return Outcome("runs", "keys and queries scaled by xPos")


METHODS: dict[str, Column] = {
    "fp32": fp32,
    "bf16": bf16,
    "LoRA": lora,
    "QLoRA": qlora,
    "8-bit": eight_bit,
    "GPTQ": gptq,
    "ReLoRA": relora,
    "packing": packing,
    "rope scaling": rope_scaling,
    "xPos": xpos,
}
COLUMNS: dict[str, Column] = {
    **METHODS,
    **{name: partial(attention, name=name) for name in available("axolotl.attention")},
}


def outcome(case: Case, column: str) -> Outcome:
    """Do what a cell stands for.

    Raises:
        AssertionError: it runs, and its effect is not seen.
    """
    try:
        return COLUMNS[column](case)
    except AxolotlError as error:
        return Outcome("refused", case.refusal(error))


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.float(), other.float())
