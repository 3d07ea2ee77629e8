"""What a checkpoint was trained on and how, so that a resume goes on with the same and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axolotl.config.optimizer import OptimizerSection
from axolotl.core.atomic import write_json
from axolotl.core.console import note
from axolotl.errors import ModelError
from axolotl.resolve import Resolved
from axolotl.training.checkpoint_files import step_of
from axolotl.training.data import Plan
from axolotl.training.run_data import RunData

FINGERPRINT_FILE = "axolotl.json"
FINGERPRINT_VERSION = 1
_WHERE = "resume_from_checkpoint"
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
    *("noisy_embedding_alpha", "gradient_checkpointing"),
    *("torch_compile", "torch_compile_backend", "torch_compile_mode"),
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
        `fixed`: what must be the same on a resume; `may_change`: what need not.
    """
    model, adapter, rows = resolved.model, resolved.adapter, plan.rows
    shape: dict[str, Any] = {}
    if adapter.adapter and adapter.lora_model_dir:  # its own settings replace the options
        shape = {"adapter": adapter.adapter, "lora_model_dir": _place(adapter.lora_model_dir)}
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
        "base_model": _place(model.base_model),
        "model_revision": model.model_revision,
        **{key: asked for key, asked in few_bits.items() if asked},
        "adapter": None,
        **shape,
        **data.marks(),
        "packed": rows.packed,
        "samples_per_row": rows.samples_per_row,
        "tokens_per_row": rows.capacity_tokens,
        **({"sample_packing_sequentially": True} if rows.sequential else {}),
        **({} if rows.shuffle else {"curriculum_sampling": True}),
        **({"group_by_length": True} if rows.grouped else {}),
        "rows_per_step": rows.accumulation,
        "processes": world_size,
        "seed": resolved.training.seed,
        **_states(resolved.optimizer),
    }
    may_change = {
        "steps": plan.steps.total,
        "warmup_steps": plan.steps.warmup,
        **resolved.schedule.model_dump(exclude={"warmup_steps", "warmup_ratio"}),
        **resolved.optimizer.model_dump(exclude={"optimizer"}),
        **resolved.precision.model_dump(),
        **{key: value for key in _LOOP_IF_SET if (value := getattr(resolved.training, key))},
        **(resolved.relora.model_dump(exclude={"relora_steps"}) if relora_steps else {}),
        **({"lora_dropout": adapter.lora_dropout} if adapter.adapter else {}),
        **_asked(resolved),
    }
    content = {"version": FINGERPRINT_VERSION, "fixed": fixed, "may_change": may_change}
    return json.loads(json.dumps(content, default=str))


def _asked(resolved: Resolved) -> dict[str, Any]:
    """What decides the figures of evaluations besides the rows; it trains nothing."""
    evaluation = resolved.evaluation
    return {
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


def write_fingerprint(checkpoint: Path, content: Fingerprint) -> None:
    """Put it into a checkpoint."""
    write_json(checkpoint / FINGERPRINT_FILE, content)


def check_resume(checkpoint: Path, now: Fingerprint) -> None:
    """Refuse to go on with other data, another layout or another model; name what else changed.

    Args:
        checkpoint: A whole checkpoint.
        now: The run that is to go on from it.

    Raises:
        ModelError: lists what differs, or says that the run would end before the checkpoint.
    """
    step, steps = step_of(checkpoint), now["may_change"]["steps"]
    if steps < step:
        raise ModelError(
            f"'{checkpoint}' has {step} steps behind it, and the run is to have only {steps}",
            where=_WHERE,
            hint="raise num_epochs or max_steps, or name an earlier checkpoint",
        )
    then = _read(checkpoint)
    if then is None:
        return
    if wrong := _changes(then["fixed"], now["fixed"]):
        raise ModelError(
            f"'{checkpoint}' was written with other options:\n    " + "\n    ".join(wrong),
            where=_WHERE,
            hint="resume with the options of that run, or start anew without "
            f"{_WHERE} and auto_resume_from_checkpoints",
        )
    if changed := _changes(then["may_change"], now["may_change"]):
        note(f"changed since {checkpoint.name}: {'; '.join(changed)}")


def _place(name: str) -> str:
    """The same for a folder however it is named; a hub id as it is."""
    local = Path(name).expanduser()
    return str(local.resolve()) if local.exists() else name


def _read(checkpoint: Path) -> dict[str, Any] | None:
    file = checkpoint / FINGERPRINT_FILE
    if not file.is_file():
        note(f"{checkpoint} has no {FINGERPRINT_FILE}: data and options cannot be compared with it")
        return None
    try:
        content = json.loads(file.read_text("utf-8"))
        if content["version"] == FINGERPRINT_VERSION:
            return {name: dict(content[name]) for name in ("fixed", "may_change")}
        reason = f"version {content['version']}, this program reads {FINGERPRINT_VERSION}"
    except (ValueError, LookupError, TypeError) as error:
        reason = str(error)
    raise ModelError(
        f"'{file}' cannot be read: {reason}",
        where=_WHERE,
        hint="name another checkpoint, or start anew",
    )


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`key: then …, now …` for all that differ; a key that one side lacks counts as null."""
    keys = dict.fromkeys((*now, *then))
    return [
        f"{key}: then {json.dumps(then.get(key))}, now {json.dumps(now.get(key))}"
        for key in keys
        if then.get(key) != now.get(key)
    ]
