"""Ways of stretching that a family names change its outputs; others are refused or ignored."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from huggingface_hub.errors import StrictDataclassClassValidationError
from torch import Tensor

from axolotl.architectures import STRETCHES, Rope, families
from axolotl.models.tiny import tiny_config

CASES = [
    (model_type, isinstance(facts.rope, Rope) and facts.rope.per_layer_kind, facts.rope)
    for facts in families().values()
    for model_type in facts.model_types
]
LENGTH, TOKENS = 32, 48
"""The model's own length, and that of the text, which is longer."""


def settings(kind: str, base: dict[str, Any], config: Any) -> dict[str, Any]:
    head = getattr(config, "qk_rope_head_dim", 0) or getattr(config, "head_dim", 0) or 16
    pairs = int(head * base.get("partial_rotary_factor", 1.0)) // 2
    more: dict[str, Any] = {"rope_theta": 10000.0, **base, "rope_type": kind, "factor": 4.0}
    if kind in ("yarn", "llama3", "longrope"):
        more["original_max_position_embeddings"] = LENGTH // 4
    if kind == "llama3":
        more |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    if kind == "longrope":
        more |= {"short_factor": [1.0] * pairs, "long_factor": [2.0] * pairs}
    return more


def stretched(model_type: str, kind: str, *, per_layer_kind: bool) -> Any:
    config: Any = small(model_type)
    now = config.to_dict().get("rope_parameters") or {}
    if per_layer_kind:
        rope = {k: settings(kind, v, config) for k, v in now.items()}
    else:
        flat = {k: v for k, v in now.items() if not isinstance(v, dict)}
        rope = settings(kind, flat, config)
    return type(config).from_dict({**config.to_dict(), "rope_parameters": rope})


def small(model_type: str) -> Any:
    config: Any = tiny_config(model_type)
    if isinstance(getattr(config, "rope_parameters", None), dict):
        config.max_position_embeddings = LENGTH
        if getattr(config, "head_dim", 16) is None:  # some formulas of the library need it
            config.head_dim = 16
    return config


def logits(config: Any, positions: Tensor) -> Tensor:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        ids = torch.arange(10, 10 + positions.shape[1])[None]
        whole = torch.ones_like(ids)  # one document, whatever its positions
        return model(
            input_ids=ids, attention_mask=whole, position_ids=positions, use_cache=False
        ).logits


PLACES = torch.arange(TOKENS)[None]


@pytest.mark.parametrize(
    ("model_type", "nested", "rope"),
    [case for case in CASES if isinstance(case[2], Rope)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_ways_that_are_named_take_effect(model_type: str, nested: bool, rope: Rope) -> None:
    plain = logits(small(model_type), PLACES)
    for kind in STRETCHES:
        if kind in rope.types:
            changed = logits(stretched(model_type, kind, per_layer_kind=nested), PLACES)
            assert (changed - plain).abs().max() > 1e-3, kind
        else:
            with pytest.raises((ValueError, KeyError, StrictDataclassClassValidationError)):
                logits(stretched(model_type, kind, per_layer_kind=nested), PLACES)
    if "linear" in rope.types:
        four = logits(stretched(model_type, "linear", per_layer_kind=nested), PLACES * 4)
        rope_of = small(model_type).rope_parameters
        if "yarn" not in str(rope_of):  # its own stretching is replaced, not added to
            assert torch.allclose(four, plain, atol=1e-4 * plain.abs().max().item())
    if nested:
        flat = logits(stretched(model_type, "linear", per_layer_kind=False), PLACES)
        assert torch.equal(flat, plain)


@pytest.mark.parametrize("model_type", ["gptj", "codegen"])
def test_code_that_turns_positions_by_itself_ignores_them(model_type: str) -> None:
    plain = logits(small(model_type), PLACES)
    for kind in STRETCHES:
        changed = stretched(model_type, kind, per_layer_kind=False)
        assert torch.equal(logits(changed, PLACES), plain)
