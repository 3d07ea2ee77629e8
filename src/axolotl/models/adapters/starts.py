"""Adapters that begin with a part of the weights: PiSSA, OLoRA and LoftQ.

PiSSA (arXiv 2404.02948) and OLoRA (arXiv 2406.01775) take s·B0·A0 out of a weight W and train it as
the adapter, so what is trained is W - s·B0·A0 + s·B·A. Saved as it is, such an adapter would be
wrong on W. So every saved folder, checkpoints too, holds the adapter of twice the rank with
A' = [A; A0] and B' = [B, -B0]: on the unchanged W it gives the same, in any program, and a resume
finds A and B in it bit for bit.

LoftQ (arXiv 2310.08659) trains beside Q(W), the weight as it is after quantisation, with s·B·A near
W - Q(W). No small adapter makes W of it, so the base with Q(W) is kept in the run folder.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from axolotl.config.adapter import AdapterSection, LoftQ
from axolotl.core.console import note
from axolotl.core.optional import need
from axolotl.errors import ModelError

OWN_BASE = "loftq_base"
"""Folder in `output_dir` for the base model of a LoftQ adapter."""
_BLOCK = 64
"""Weights that share a scale in NF4."""


@dataclass
class Start:
    """What an adapter began with.

    Args:
        kind: `pissa`, `olora` or `loftq`.
        factors: Name of a saved tensor → A0 or B0; empty where the base is kept instead.
        base: Where it is kept.
    """

    kind: str
    factors: dict[str, Tensor]
    base: Path | None = None


_STARTS: WeakKeyDictionary[nn.Module, Start] = WeakKeyDictionary()


def begin(adapted: PeftModel, adapter: AdapterSection) -> None:
    """Remember where a new adapter began; quantise the base for LoftQ.

    Raises:
        ModelError: the weights have no such start.
    """
    asked = adapter.peft_init_lora_weights
    if asked in ("olora", "loftq") or str(asked).startswith("pissa"):
        _check_weights(adapted, str(asked))
    if asked == "loftq":
        settings = (adapter.peft and adapter.peft.loftq_config) or LoftQ()
        for layer in _lora_layers(adapted):
            _loftq(layer, settings)
        _STARTS[adapted] = Start("loftq", {})
    elif isinstance(asked, str) and (asked == "olora" or asked.startswith("pissa")):
        state = get_peft_model_state_dict(adapted, save_embedding_layers=False)
        factors = {k: v.detach().clone() for k, v in state.items() if _half(k) is not None}
        _STARTS[adapted] = Start(asked, factors)


def _check_weights(adapted: PeftModel, start: str) -> None:
    """Refuse weights with fewer singular values than ranks, or that the library reads across."""
    for path, layer in adapted.named_modules():
        if not isinstance(layer, LoraLayer) or "default" not in layer.lora_A:
            continue
        name, found = path.removeprefix("base_model.model."), cast(Any, layer)
        have = min(found.in_features, found.out_features)
        if found.r["default"] > have:
            raise ModelError(
                f"{name} has {have} singular values, and {start} needs one for each of its "
                f"{found.r['default']} ranks",
                where="lora_rank_pattern" if found.r["default"] != _rank(adapted) else "lora_r",
                hint=f"write {have} or less, or leave that layer out",
            )
        if start == "olora" and found.fan_in_fan_out:
            raise ModelError(
                f"{name} stores its weights transposed, and OLoRA of peft reads them across",
                where="peft_init_lora_weights",
                hint="write `peft_init_lora_weights: pissa`",
            )


def _rank(adapted: PeftModel) -> int:
    return cast(Any, adapted.peft_config["default"]).r


def start_of(adapted: nn.Module) -> Start | None:
    """Where an adapter began; None for one whose base weights are untouched."""
    return _STARTS.get(adapted)


def _lora_layers(adapted: PeftModel) -> list[Any]:
    return [
        module
        for module in adapted.modules()
        if isinstance(module, LoraLayer) and "default" in cast(Any, module).lora_A
    ]


def _half(name: str) -> int | None:
    """The dimension of a saved tensor along which the rank runs; None for other tensors."""
    if "lora_A" in name or "lora_embedding_A" in name:
        return 0
    return 1 if "lora_B" in name or "lora_embedding_B" in name else None


@torch.no_grad()
def _loftq(layer: Any, settings: LoftQ) -> None:
    """Replace the weight by what quantisation leaves of it; begin with the rest, as far as rank goes."""
    base = layer.get_base_layer()
    weight = base.weight.detach().float()
    if layer.fan_in_fan_out:
        weight = weight.T
    rank, scale = layer.r["default"], layer.scaling["default"]
    quantised, b, a = _fitted(weight, rank, settings)
    for _ in range(settings.loftq_iter - 1):
        quantised, b, a = _fitted(weight, rank, settings, rest=b @ a)
    layer.lora_A["default"].weight.copy_(a)
    layer.lora_B["default"].weight.copy_(b / scale)
    base.weight.copy_(quantised.T if layer.fan_in_fan_out else quantised)


def _fitted(
    weight: Tensor, rank: int, settings: LoftQ, *, rest: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The weight without `rest` after quantisation, and the best factors for what that lacks."""
    quantised = _quantised(weight if rest is None else weight - rest, settings.loftq_bits)
    left, values, right = torch.linalg.svd(weight - quantised, full_matrices=False)
    root = values[:rank].sqrt()
    return quantised, left[:, :rank] * root, root[:, None] * right[:rank]


def _quantised(weight: Tensor, bits: int) -> Tensor:
    """The weight, rounded to NF4 or to 8 bits a row, in fp32."""
    if bits == 8:
        largest = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12)
        return (weight / largest * 127).round() * largest / 127
    functional = need(
        "bitsandbytes.functional", extra="bnb", why="peft_init_lora_weights: loftq in 4 bits"
    )
    packed, state = functional.quantize_4bit(
        weight.contiguous(), blocksize=_BLOCK, quant_type="nf4"
    )
    return functional.dequantize_4bit(packed, state).reshape(weight.shape)


def write_converted(start: Start, folder: Path) -> None:
    """Make an adapter that was saved as it is one of twice the rank, for the unchanged weights.

    Args:
        start: Where it began.
        folder: A folder that peft has just written.
    """
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    for name, first in start.factors.items():
        dim = cast(int, _half(name))
        first = first.to(tensors[name])
        tensors[name] = torch.cat([tensors[name], first if dim == 0 else -first], dim)
    save_file(tensors, file, metadata={"format": "pt"})
    _write_settings(folder, _doubled)


def _doubled(settings: dict[str, Any]) -> dict[str, Any]:
    """Twice the rank with the same scale: alpha / r, or alpha / sqrt(r) with rsLoRA."""
    factor = math.sqrt(2) if settings.get("use_rslora") else 2
    return {
        "init_lora_weights": True,
        "r": settings["r"] * 2,
        "lora_alpha": settings["lora_alpha"] * factor,
        "rank_pattern": {k: v * 2 for k, v in (settings.get("rank_pattern") or {}).items()},
        "alpha_pattern": {k: v * factor for k, v in (settings.get("alpha_pattern") or {}).items()},
    }


def _write_settings(folder: Path, change: Any) -> None:
    file = folder / "adapter_config.json"
    settings = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(settings | change(settings), indent=2, sort_keys=True), "utf-8")


def take_up(adapted: PeftModel, start: Start, folder: Path) -> None:
    """Set the weights that a folder of this very run holds, to go on from there.

    Args:
        adapted: The model, with its adapter.
        start: Where it began.
        folder: A checkpoint.

    Raises:
        ModelError: it holds no such adapter.
    """
    tensors = load_file(folder / "adapter_model.safetensors")
    first: dict[str, Tensor] = {}
    for name, ours in start.factors.items():
        if name not in tensors:
            raise ModelError(
                f"'{folder}' holds no {name}",
                where="resume_from_checkpoint",
                hint="resume with the adapter options that it was written with",
            )
        dim = cast(int, _half(name))
        now, then = tensors[name].chunk(2, dim)
        tensors[name] = now.contiguous()
        first[name] = (then if dim == 0 else -then).to(ours)
    _move(adapted, start, first)
    set_peft_model_state_dict(adapted, tensors)


@torch.no_grad()
def _move(adapted: PeftModel, start: Start, first: dict[str, Tensor]) -> None:
    """Let the base weights be those that the checkpoint was trained beside.

    The same program on the same machine finds the same start, and nothing is to be done; another
    one may find other singular vectors.
    """
    if all(torch.equal(first[name], ours) for name, ours in start.factors.items()):
        return
    note("the adapter began with other factors on the machine of the checkpoint; they are taken up")
    for name, ours in start.factors.items():
        if ".lora_A." not in name:
            continue
        other = name.replace(".lora_A.", ".lora_B.")
        layer: Any = adapted.get_submodule(name.partition(".lora_A.")[0])
        delta = start.factors[other] @ ours - first[other] @ first[name]
        delta = delta * layer.scaling["default"]
        weight = layer.get_base_layer().weight
        weight += (delta.T if layer.fan_in_fan_out else delta).to(weight)
    start.factors.update(first)


def keep_base(adapted: PeftModel, output: Path, tokenizer: Any) -> None:
    """Write the base model of a LoftQ adapter into the run folder, where nothing else has it.

    Args:
        adapted: The model before its first step.
        output: The run folder.
        tokenizer: Saved with it.
    """
    start = start_of(adapted)
    if start is None or start.kind != "loftq":
        return
    base: Any = adapted.get_base_model()
    weights: dict[str, Tensor] = {}
    for name, tensor in base.state_dict().items():
        parts = name.split(".")
        if any(part.startswith("lora_") for part in parts) or "modules_to_save" in parts:
            continue
        if "trainable_tokens_delta" in parts or "trainable_tokens_original" in parts:
            continue
        wrappers = ("base_layer", "original_module", "token_adapter")
        weights[".".join(part for part in parts if part not in wrappers)] = tensor
    base.save_pretrained(output / OWN_BASE, state_dict=weights)
    tokenizer.save_pretrained(output / OWN_BASE)
    start.base = output / OWN_BASE


def name_own_base(folder: Path, base: Path) -> None:
    """Let a saved LoftQ adapter say which base it belongs to."""
    named = {"base_model_name_or_path": str(base)}
    _write_settings(folder, lambda _: named)
