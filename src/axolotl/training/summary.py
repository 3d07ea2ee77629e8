"""The table before the start: what will be trained, on what, for how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from axolotl.attention import Choice
from axolotl.config import Sections
from axolotl.config.adapter import PeftAdapter
from axolotl.core.console import note, print_pairs
from axolotl.core.units import bytes_in_words
from axolotl.models.load import base_dtype
from axolotl.models.matmul import Route
from axolotl.models.quantized import Quantized, quantized_base
from axolotl.models.weights import Weights, count_weights
from axolotl.training import table
from axolotl.training.cadence import checkpoints_in_words, evaluations_in_words
from axolotl.training.data import Plan
from axolotl.training.distributed.spread import Spread
from axolotl.training.processes import each_process
from axolotl.training.relora.room import disk_line
from axolotl.training.run_data import RunData

_FEW = 0.25
"""A share of the weights; in models whose experts are no linear layers it is some percent."""


def print_summary(
    sections: Sections,
    data: RunData,
    plan: Plan,
    *,
    model: Any,
    attention: Choice,
    route: Route,
    device: torch.device,
    spread: Spread,
) -> dict[str, Any]:
    """Print it, and return what was chosen on the way, for `run.json`."""
    form = quantized_base(sections)
    weights = count_weights(model, whole=base_dtype(sections))
    total, trainable = weights.parameters, weights.trainable
    print_pairs(
        "About to train",
        {
            "model": f"{sections.model.base_model}, {total:,} parameters",
            **({"base weights": _saving(form, weights)} if form else {}),
            "trainable": f"{trainable:,} ({trainable / total:.2%}), {_method(sections)}",
            **spread.said,
            **data.lines(plan),
            "steps": _steps(plan),
            "checkpoints": checkpoints_in_words(sections, plan),
            "evaluations": evaluations_in_words(sections, plan),
            "optimizer": _optimizer(sections),
            "attention": str(attention),
            "matmul": f"{route} on {device.type}, {_dtype(model)}",
            **_where_set(
                {
                    "formats": table.number_formats(sections, gpu=device.type == "cuda"),
                    "besides": table.savers(sections),
                    "trackers": table.trackers(sections),
                    "hub": table.hub(sections),
                }
            ),
            "output": str(sections.saving.output_dir),
            **disk_line(sections, weights, total=plan.steps.total),
        },
    )
    for warning in data.warnings:
        note(f"warning: {warning}")
    if form and weights.packed < _FEW * (total - trainable):
        note(
            f"warning: only {weights.packed / (total - trainable):.0%} of the frozen weights lie in "
            f"layers that {form.asked_by} has an effect on"
        )
    if attention.reason:
        note(f"attention: {attention.reason}")
    shared = sections.sequence.sample_packing or sections.training.micro_batch_size > 1
    if attention.leak and shared:
        note(
            f"{attention.name} attention: {attention.leak}, so each row holds one sample, and more "
            "rows are accumulated to make up for it"
        )
    return {
        "attention": attention.name,
        "documents_isolated": attention.isolates,
        "matmul": {"setting": route.setting, "gain": route.gain, "error": route.error},
        "device": device.type,
        "dtype": _dtype(model),
        "parameters": total,
        "trainable_parameters": trainable,
        "quantized": _facts(form, weights) if form else None,
        "packing_efficiency": plan.first_epoch.efficiency if plan.first_epoch else None,
        "rows_per_epoch": plan.steps.rows_per_epoch if plan.first_epoch else None,
        "steps_per_epoch": plan.steps.per_epoch if plan.first_epoch else None,
        "steps": plan.steps.total,
        "warmup_steps": plan.steps.warmup,
    }


def _where_set(lines: Mapping[str, str | None]) -> dict[str, str]:
    return {name: words for name, words in lines.items() if words}


def _saving(form: Quantized, weights: Weights) -> str:
    """What few bits are good for: `nf4, double quantisation, 166 MB instead of 538 MB`."""
    double = ", double quantisation" if weights.double else ""
    computed = "" if form.rounds_to == torch.float32 else f", computed in {_name(form.rounds_to)}"
    held, whole = map(bytes_in_words, (weights.frozen_bytes, weights.frozen_bytes_whole))
    return f"{form.kind}{double}{computed}, {held} instead of {whole}"


def _facts(form: Quantized, weights: Weights) -> dict[str, Any]:
    return {
        "kind": form.kind,
        "double": weights.double,
        "compute_dtype": _name(form.rounds_to),
        "bytes": weights.frozen_bytes,
        "bytes_unquantized": weights.frozen_bytes_whole,
    }


def _method(sections: Sections) -> str:
    adapter, every = sections.adapter, sections.relora.relora_steps
    if adapter.adapter is None:
        named = adapter.unfrozen_parameters
        return f"only weights named {', '.join(named)}" if named else "full fine-tuning"
    merged = f", merged every {every:,} steps" if every else ""
    if adapter.lora_model_dir:
        return f"adapter of {adapter.lora_model_dir}{merged}"
    if adapter.adapter == "llama-adapter":
        return f"prompts of {(adapter.peft_adapter or PeftAdapter()).len} tokens in the last layers"
    variants = {
        "DoRA": adapter.peft_use_dora,
        "rsLoRA": adapter.peft_use_rslora,
        str(adapter.peft_init_lora_weights): isinstance(adapter.peft_init_lora_weights, str),
        "some layers": adapter.peft_layers_to_transform is not None,
        "stacked layers": adapter.peft_layer_replication,
        "rows of tokens": adapter.peft_trainable_token_indices,
    }
    also = "".join(f", {name}" for name, asked in variants.items() if asked)
    return f"{adapter.adapter} r {adapter.lora_r}, alpha {adapter.lora_alpha}{also}{merged}"


def _steps(plan: Plan) -> str:
    steps = plan.steps
    each = f"{steps.per_epoch:,} an epoch, " if plan.first_epoch else ""
    return f"{steps.total:,} ({each}{steps.accumulation} rows a step{each_process()}), {steps.warmup:,} of warm-up"


def _optimizer(sections: Sections) -> str:
    """How weights are changed: `adamw_torch, learning rate 0.0002, cosine`."""
    optimizer = sections.optimizer
    own = [f"{group.lr:g} for {group.name}" for group in optimizer.lr_groups or ()]
    if optimizer.loraplus_lr_ratio:
        own.append(f"{optimizer.learning_rate * optimizer.loraplus_lr_ratio:g} for B matrices")
    rates = ", ".join([f"{optimizer.learning_rate:g}", *own])
    return f"{optimizer.optimizer}, learning rate {rates}, {sections.schedule.lr_scheduler}"


def _dtype(model: Any) -> str:
    return _name(next(model.parameters()).dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
