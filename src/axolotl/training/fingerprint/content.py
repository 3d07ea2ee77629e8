"""What a checkpoint keeps of the data, the options and the weights that it was begun with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axolotl.config.distributed import DistributedSection
from axolotl.config.optimizer import OptimizerSection
from axolotl.core.atomic import write_json
from axolotl.resolve import Resolved
from axolotl.resolve.deepspeed_json import read_deepspeed, zero_stage
from axolotl.training.data import Plan
from axolotl.training.fingerprint.data_options import data_options
from axolotl.training.fingerprint.weights import adapter_mark, base_mark
from axolotl.training.run_data import RunData

FINGERPRINT_FILE = "axolotl.json"
FINGERPRINT_VERSION = 1
_ADAPTER = (
    *("adapter", "lora_r", "lora_alpha", "lora_target_modules", "lora_target_linear"),
    *("lora_modules_to_save", "lora_fan_in_fan_out"),
)
_ADAPTER_IF_SET = (
    *("peft_adapter", "peft_use_dora", "peft_use_rslora", "peft_init_lora_weights", "peft"),
    *("peft_layers_to_transform", "peft_layers_pattern", "peft_layer_replication"),
    *("peft_trainable_token_indices", "lora_rank_pattern", "lora_alpha_pattern"),
)
"""Named only where they are written: checkpoints of runs without them stay as they are."""
_LOOP_IF_SET = (
    *("gradient_checkpointing", "torch_compile", "torch_compile_backend", "torch_compile_mode"),
)
Fingerprint = Mapping[str, Any]


def fingerprint(resolved: Resolved, data: RunData, plan: Plan, *, world_size: int) -> Fingerprint:
    """What decides the batches, the weights and the schedule of a run.

    Args:
        resolved: The configuration.
        data: Its data.
        plan: Rows and steps.
        world_size: Number of processes.

    Returns:
        `fixed`: what must be the same on a resume; `may_change`: what need not; `base_weights` and
        `adapter_weights`: by what the weights at the start are known; `options` and `sources`: what
        explains a difference of the data.
    """
    model, adapter, rows = resolved.model, resolved.adapter, plan.rows
    marks = dict(data.marks())
    sources = marks.pop("sources", [])
    shape: dict[str, Any] = {}
    adapter_weights: dict[str, str] = {}
    if adapter.adapter and adapter.lora_model_dir:  # its own settings replace the options
        shape = {"adapter": adapter.adapter, "lora_model_dir": place_of(adapter.lora_model_dir)}
        adapter_weights = adapter_mark(adapter.lora_model_dir)
    elif adapter.adapter:
        shape = {key: getattr(adapter, key) for key in _ADAPTER}
        given = adapter.model_dump(include=set(_ADAPTER_IF_SET))
        shape |= {key: value for key, value in given.items() if value}
    elif adapter.unfrozen_parameters:
        shape = {"unfrozen_parameters": adapter.unfrozen_parameters}
    if relora_steps := resolved.relora.relora_steps:
        shape["relora_steps"] = relora_steps
    few_bits = resolved.quantization.model_dump(
        include={"load_in_8bit", "load_in_4bit", "bnb_config_kwargs", "gptq"}, exclude_defaults=True
    )
    fixed = {
        "base_model": place_of(model.base_model),
        "model_revision": model.model_revision,
        **{key: asked for key, asked in few_bits.items() if asked},
        "adapter": None,
        **shape,
        **marks,
        "packed": rows.packed,
        "samples_per_row": rows.samples_per_row,
        "tokens_per_row": rows.capacity_tokens,
        **({"sample_packing_sequentially": True} if rows.sequential else {}),
        **({} if rows.shuffle else {"curriculum_sampling": True}),
        **({"group_by_length": True} if rows.grouped else {}),
        "rows_per_step": rows.accumulation,
        "processes": world_size,
        **({"steps_in_epoch": plan.steps.per_epoch} if plan.first_epoch else {}),
        **_cut_up(resolved.distributed),
        **_computing(resolved),
        "seed": resolved.training.seed,
        **_states(resolved.optimizer),
    }
    may_change = {
        "steps": plan.steps.total,
        "warmup_steps": plan.steps.warmup,
        **resolved.schedule.model_dump(exclude={"warmup_steps", "warmup_ratio"}),
        **resolved.optimizer.model_dump(exclude={"optimizer"}),
        **{key: value for key in _LOOP_IF_SET if (value := getattr(resolved.training, key))},
        **(resolved.relora.model_dump(exclude={"relora_steps"}) if relora_steps else {}),
        **({"lora_dropout": adapter.lora_dropout} if adapter.adapter else {}),
        **_asked(resolved),
    }
    content = {
        "version": FINGERPRINT_VERSION,
        "fixed": fixed,
        "may_change": may_change,
        "base_weights": base_mark(model.base_model, model.model_revision),
        "adapter_weights": adapter_weights,
        "options": data_options(resolved),
        "sources": sources,
    }
    return json.loads(json.dumps(content, default=str))


def _asked(resolved: Resolved) -> dict[str, Any]:
    """What decides when there are checkpoints and evaluations, and their figures; it trains nothing."""
    saving, evaluation = resolved.saving, resolved.evaluation
    often = {
        "save_strategy": saving.save_strategy,
        "save_steps": saving.save_steps,
        "saves_per_epoch": saving.saves_per_epoch,
        "evaluation_strategy": evaluation.evaluation_strategy,
        "eval_steps": evaluation.eval_steps,
        "evals_per_epoch": evaluation.evals_per_epoch,
    }
    return {
        **often,
        **({"bench_dataset": evaluation.bench_dataset} if evaluation.do_bench_eval else {}),
        **(
            {"metric_for_best_model": evaluation.metric_for_best_model}
            if evaluation.load_best_model_at_end
            else {}
        ),
    }


def _states(optimizer: OptimizerSection) -> dict[str, Any]:
    """What decides how many states the optimizer has, and of which form; rates may change."""
    groups = [group.model_dump(exclude={"lr"}) for group in optimizer.lr_groups or ()]
    given = {
        "optim_args": optimizer.optim_args,
        "optim_target_modules": optimizer.optim_target_modules,
        "lr_groups": groups,
        "loraplus": optimizer.loraplus_lr_ratio is not None,
    }
    return {"optimizer": optimizer.optimizer, **{k: v for k, v in given.items() if v}}


def _cut_up(options: DistributedSection) -> dict[str, Any]:
    """How the states of a checkpoint are cut up, which decides who can read them."""
    if options.deepspeed:
        return {"zero_stage": zero_stage(read_deepspeed(options.deepspeed))}
    return {"fsdp": True} if options.fsdp else {}


def _computing(resolved: Resolved) -> dict[str, Any]:
    """What decides how the sums of a step round, and what they are of; as the file asks for it."""
    attention, streaming, loss = resolved.attention, resolved.streaming, resolved.loss
    fused = loss.model_dump(include={"liger_fused_linear_cross_entropy", "cut_cross_entropy"})
    fused["liger_fused_linear_cross_entropy"] |= attention.flash_attn_cross_entropy
    buffer = streaming.streaming_multipack_buffer_size
    return {
        **resolved.precision.model_dump(),
        "noisy_embedding_alpha": resolved.training.noisy_embedding_alpha or None,
        **attention.model_dump(include={"attn_implementation", "rope_scaling"}),
        **{option: True for option, asked in fused.items() if asked},
        **({"xpos_rope": True} if attention.xpos_rope else {}),
        **({"streaming_multipack_buffer_size": buffer} if streaming.asked_by else {}),
    }


def write_fingerprint(checkpoint: Path, content: Fingerprint) -> None:
    """Put it into a checkpoint."""
    write_json(checkpoint / FINGERPRINT_FILE, content)


def place_of(name: str) -> str:
    """The same for a folder however it is named; a hub id as it is."""
    local = Path(name).expanduser()
    return str(local.resolve()) if local.exists() else name
