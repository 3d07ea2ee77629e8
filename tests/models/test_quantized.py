"""What the options say of a base model in few bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from axolotl.config import load_config
from axolotl.config.precision import PrecisionSection
from axolotl.errors import ConfigErrors
from axolotl.models.quantized import Quantized, compute_dtype, quantized_base

SMALL: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d", "type": "alpaca"}]}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"adapter": "lora"}, None),
        ({"adapter": "qlora", "load_in_4bit": True}, Quantized("nf4", double=True)),
        ({"adapter": "lora", "load_in_4bit": True}, Quantized("fp4")),
        ({"adapter": "lora", "load_in_8bit": True}, Quantized("int8", asked_by="load_in_8bit")),
        (
            {"adapter": "qlora", "load_in_4bit": True, "bf16": True},
            Quantized("nf4", torch.bfloat16, double=True),
        ),
        (
            {"adapter": "lora", "gptq": True, "gptq_groupsize": 64, "gptq_model_v1": False},
            Quantized("gptq", asked_by="gptq", gptq_groupsize=64, gptq_model_v1=False),
        ),
    ],
)
def test_the_form_that_is_asked_for(options: dict[str, Any], expected: Quantized | None) -> None:
    assert quantized_base(load_config(SMALL | options)) == expected


@pytest.mark.parametrize(
    ("precision", "cpu", "gpu"),
    [
        ({}, torch.float32, torch.float32),
        ({"bf16": True}, torch.bfloat16, torch.bfloat16),
        ({"bfloat16": True}, torch.bfloat16, torch.bfloat16),
        ({"bf16": "full"}, torch.float32, torch.float32),
        ({"fp16": True}, torch.float32, torch.float16),
        ({"float16": True}, torch.float32, torch.float16),
        ({"tf32": True}, torch.float32, torch.float32),
    ],
)
def test_it_is_multiplied_in_the_precision_of_the_file(
    monkeypatch: pytest.MonkeyPatch,
    precision: dict[str, Any],
    cpu: torch.dtype,
    gpu: torch.dtype,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert compute_dtype(PrecisionSection(**precision)) == cpu
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert compute_dtype(PrecisionSection(**precision)) == gpu


def test_bnb_config_kwargs_change_what_the_adapter_implies() -> None:
    more = {
        "bnb_4bit_quant_type": "fp4",
        "bnb_4bit_use_double_quant": False,
        "llm_int8_skip_modules": ["q_proj"],
        "llm_int8_has_fp16_weight": False,
    }
    qlora = {"adapter": "qlora", "load_in_4bit": True, "bnb_config_kwargs": more}
    assert quantized_base(load_config(SMALL | qlora)) == Quantized("fp4", skip=("q_proj",))
    eight = {"adapter": "lora", "load_in_8bit": True}
    threshold = {"bnb_config_kwargs": {"llm_int8_threshold": 0}}
    form = quantized_base(load_config(SMALL | eight | threshold))
    assert form == Quantized("int8", threshold=0, asked_by="load_in_8bit")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"bnb_4bit_quant_type": "nf3"}, "nf4"),
        ({"bnb_4bit_quant": "nf4"}, "bnb_4bit_quant_type"),
    ],
)
def test_settings_that_are_none_are_refused_by_name(more: dict[str, Any], said: str) -> None:
    options = {"adapter": "qlora", "load_in_4bit": True, "bnb_config_kwargs": more}
    with pytest.raises(ConfigErrors, match=said):
        load_config(SMALL | options)
