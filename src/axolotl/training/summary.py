"""The table before the start: what will be trained, on what, for how long."""

from __future__ import annotations

from typing import Any

import torch

from axolotl.attention import Choice
from axolotl.config import Sections
from axolotl.config.adapter import AdapterSection
from axolotl.core.console import note, print_pairs
from axolotl.models.matmul import Route
from axolotl.training.data import Plan
from axolotl.training.run_data import RunData


def print_summary(
    sections: Sections,
    data: RunData,
    plan: Plan,
    *,
    model: Any,
    attention: Choice,
    route: Route,
    device: torch.device,
) -> dict[str, Any]:
    """Print it, and return what was chosen on the way, for `run.json`."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    print_pairs(
        "About to train",
        {
            "model": f"{sections.model.base_model}, {total:,} parameters",
            "trainable": f"{trainable:,} ({trainable / total:.2%}), {_method(sections.adapter)}",
            **data.lines(plan),
            "steps": _steps(plan),
            "attention": attention.name,
            "matmul": f"{route} on {device.type}, {_dtype(model)}",
            "output": str(sections.saving.output_dir),
        },
    )
    for warning in data.warnings:
        note(f"warning: {warning}")
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
        "packing_efficiency": plan.first_epoch.efficiency if plan.first_epoch else None,
        "rows_per_epoch": plan.steps.rows_per_epoch if plan.first_epoch else None,
        "steps_per_epoch": plan.steps.per_epoch if plan.first_epoch else None,
        "steps": plan.steps.total,
        "warmup_steps": plan.steps.warmup,
    }


def _method(adapter: AdapterSection) -> str:
    if adapter.adapter is None:
        return "full fine-tuning"
    if adapter.lora_model_dir:
        return f"adapter of {adapter.lora_model_dir}"
    return f"{adapter.adapter} r {adapter.lora_r}, alpha {adapter.lora_alpha}"


def _steps(plan: Plan) -> str:
    steps = plan.steps
    each = f"{steps.per_epoch:,} an epoch, " if plan.first_epoch else ""
    return f"{steps.total:,} ({each}{steps.accumulation} rows a step), {steps.warmup:,} of warm-up"


def _dtype(model: Any) -> str:
    return str(next(model.parameters()).dtype).removeprefix("torch.")
