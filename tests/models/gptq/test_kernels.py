"""gptqmodel's kernels multiply on a GPU where they are installed, and never elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from axolotl.config.adapter import AdapterSection
from axolotl.config.model import ModelSection
from axolotl.models.adapters import linear_names
from axolotl.models.adapters.targets import chosen_targets
from axolotl.models.gptq import kernels, load
from axolotl.models.load import model_config
from axolotl.models.quantized import Quantized
from tests.conftest import build_llama
from tests.gptq_writer import Recipe, write_gptq


@pytest.mark.parametrize(
    ("gpu", "installed", "dtype", "theirs"),
    [
        (True, True, torch.float16, True),
        (True, True, torch.bfloat16, True),
        (True, True, torch.float32, False),
        (True, False, torch.float16, False),
        (False, True, torch.float16, False),
    ],
)
def test_whose_kernels_multiply(
    gpu: bool,
    installed: bool,
    dtype: torch.dtype,
    theirs: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(kernels, "find_spec", lambda _: object() if installed else None)
    assert kernels.packaged_kernels(dtype) is theirs


@pytest.mark.parametrize("version", [1, 2])
def test_what_transformers_is_told(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_llama(vocab=448)
    write_gptq(model, tmp_path, Recipe(act_order=True, version=version))
    seen: dict[str, Any] = {}

    def from_pretrained(_: Any, place: str, config: Any, **arguments: Any) -> Any:
        seen.update(arguments, place=place, quantization=config.quantization_config)
        return model

    monkeypatch.setattr(load, "packaged_kernels", lambda _: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    section = ModelSection(base_model=str(tmp_path))
    opened = load.open_gptq(
        section,
        model_config(section),
        quantized=Quantized("gptq"),
        dtype=torch.float16,
        attn_implementation="sdpa",
        load=from_pretrained,
    )
    assert not any(p.requires_grad for p in opened.parameters())
    named = "gptq" if version == 1 else "gptq_v2"
    told = seen.pop("quantization")
    assert {k: told[k] for k in ("quant_method", "format", "bits", "desc_act", "backend")} == {
        "quant_method": "gptq",
        "format": named,
        "bits": 4,
        "desc_act": True,
        "backend": "auto_trainable",
    }
    assert seen == {
        "place": str(tmp_path),
        "dtype": torch.float16,
        "attn_implementation": "sdpa",
        "device_map": {"": 3},
    }


class _Foreign(torch.nn.Module):
    """A quantised layer of another package: no `nn.Linear`, and no weight."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("qweight", torch.zeros(8, 64, dtype=torch.int32))


def test_layers_of_another_package_are_named_for_peft() -> None:
    """peft's own "all-linear" does not see them."""
    model = build_llama(vocab=448)
    every = AdapterSection(adapter="lora", lora_target_linear=True)
    assert chosen_targets(model, every) == "all-linear"
    names = linear_names(model)
    for layer in model.model.layers:
        layer.mlp.up_proj = _Foreign()
    assert chosen_targets(model, every) == names == linear_names(model)
