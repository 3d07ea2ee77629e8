"""Defaults that follow from other options, each with the option that it follows from.

What depends on the data (steps of warm-up, steps between log lines) is filled in when the data is
known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from axolotl.attention.landmark import TOKEN
from axolotl.config import Config
from axolotl.errors import UnknownName
from axolotl.optimizers import OLD_OPTIMIZERS, facts_of
from axolotl.resolve.machine import Machine
from axolotl.resolve.rules.attention import KERNELS, SWITCHES, kernel_of
from axolotl.resolve.rules.evaluation import divides
from axolotl.resolve.rules.precision import float16_instead

Implied = tuple[Any, str]
"""A value, and what implies it."""


def _eval_sample_packing(config: Config, _: Machine) -> Implied | None:
    sequence = config.sequence
    if sequence.eval_sample_packing is not None:
        return None
    if sequence.max_packed_sequence_len is not None and not sequence.sample_packing:
        return True, "max_packed_sequence_len"
    return sequence.sample_packing, "sample_packing"


def _eval_batch_size(config: Config, _: Machine) -> Implied | None:
    if config.training.eval_batch_size is None:
        return config.training.micro_batch_size, "micro_batch_size"
    return None


def _gradient_checkpointing(config: Config, _: Machine) -> Implied | None:
    return (True, "fsdp_config") if _fsdp_computes_again(config) else None


def _fsdp_computes_again(config: Config) -> bool:
    """FSDP's word for the same thing."""
    fsdp = config.distributed.fsdp_config
    on = bool(config.distributed.fsdp) and fsdp is not None and fsdp.fsdp_activation_checkpointing
    return bool(on) and not config.training.gradient_checkpointing


def _gradient_checkpointing_kwargs(config: Config, _: Machine) -> Implied | None:
    training = config.training
    on = training.gradient_checkpointing or _fsdp_computes_again(config)
    if on and training.gradient_checkpointing_kwargs is None:
        return {"use_reentrant": False}, "gradient_checkpointing"
    return None


def _save_strategy(config: Config, _: Machine) -> Implied | None:
    saving = config.saving
    if saving.save_strategy is not None:
        return None
    often = {"save_steps": saving.save_steps, "saves_per_epoch": saving.saves_per_epoch}
    return _strategy(config, often)


def _strategy(config: Config, often: Mapping[str, float | None]) -> Implied:
    """`steps` where one of the options says how often, or where there are no epochs."""
    asked = next((key for key, value in often.items() if value is not None), None)
    asked = asked or config.streaming.asked_by
    return ("steps", asked) if asked else ("epoch", "")


def _save_steps(config: Config, _: Machine) -> Implied | None:
    saving = config.saving
    return _steps_of_a_stream(config, saving.save_strategy, saving.save_steps)


def _eval_steps(config: Config, _: Machine) -> Implied | None:
    evaluation = config.evaluation
    if not config.data.evaluates:
        return None
    return _steps_of_a_stream(config, evaluation.evaluation_strategy, evaluation.eval_steps)


def _steps_of_a_stream(config: Config, strategy: str | None, steps: float | None) -> Implied | None:
    """So often that a run that ends early has lost little."""
    key, total = config.streaming.asked_by, config.training.max_steps
    if key is None or total is None or strategy is not None or steps is not None:
        return None
    return max(1, total // 10), key


def _evaluation_strategy(config: Config, _: Machine) -> Implied | None:
    evaluation = config.evaluation
    if evaluation.evaluation_strategy is not None:
        return None
    if not config.data.evaluates:
        return "no", "val_set_size"
    often = {"eval_steps": evaluation.eval_steps, "evals_per_epoch": evaluation.evals_per_epoch}
    return _strategy(config, often)


def _bf16(config: Config, machine: Machine) -> Implied | None:
    if config.precision.bf16 == "auto":
        return machine.bf16, "this machine"
    return None


def _fp16(config: Config, machine: Machine) -> Implied | None:
    bf16 = config.precision.bf16
    if config.precision.fp16 and (machine.bf16 if bf16 == "auto" else bf16 is True):
        return False, "bf16"
    if float16_instead(config, machine):
        return True, "bf16: auto on this machine"
    return None


def _optimizer(config: Config, _: Machine) -> Implied | None:
    old = config.optimizer.optimizer
    return (OLD_OPTIMIZERS[old], f"optimizer: {old}") if old in OLD_OPTIMIZERS else None


def _lr_scheduler(config: Config, _: Machine) -> Implied | None:
    """An average of the weights stands in the place of a falling rate."""
    name = config.optimizer.optimizer
    try:
        averages = facts_of(name).averages
    except UnknownName:
        return None  # said by a rule
    if averages and "lr_scheduler" not in config.written:
        return "constant_with_warmup", f"optimizer: {name}"
    return None


def _sample_packing(config: Config, _: Machine) -> Implied | None:
    if config.streaming.pretraining_dataset and "sample_packing" not in config.written:
        return True, "pretraining_dataset"
    if config.sequence.max_packed_sequence_len is None or config.sequence.sample_packing:
        return None
    return True, "max_packed_sequence_len"


def _shuffle_merged_datasets(config: Config, _: Machine) -> Implied | None:
    if config.rows.shuffle_merged_datasets is not None:
        return None
    if config.rows.curriculum_sampling:
        return False, "curriculum_sampling"
    return config.data.has_several, "datasets"


def _sample_packing_sequentially(config: Config, _: Machine) -> Implied | None:
    """Rows filled by what fits best have no order of samples to keep."""
    rows, sequence = config.rows, config.sequence
    packs = sequence.sample_packing or sequence.max_packed_sequence_len is not None
    if rows.curriculum_sampling and packs and not rows.sample_packing_sequentially:
        return True, "curriculum_sampling"
    return None


def _sequence_len(config: Config, _: Machine) -> Implied | None:
    """The old way packs rows of its own length, so no sample can be longer."""
    longest = config.sequence.max_packed_sequence_len
    if longest is None or longest >= config.sequence.sequence_len:
        return None
    return longest, "max_packed_sequence_len"


def _output_dir(config: Config, _: Machine) -> Implied | None:
    adapter = config.adapter
    if adapter.adapter is None or not adapter.lora_out_dir or "output_dir" in config.written:
        return None
    return adapter.lora_out_dir, "lora_out_dir"


def _attn_implementation(config: Config, machine: Machine) -> Implied | None:
    attention = config.attention
    if attention.attn_implementation is None:
        for key in ("sdp_attention", "flash_optimum", "landmark_attention"):
            if getattr(attention, key):
                return SWITCHES[key], key
        for key in KERNELS:
            if getattr(attention, key) and (name := kernel_of(key, config, machine).name):
                return name, key
    return None


def _load_best_model_at_end(config: Config, _: Machine) -> Implied | None:
    evaluation, save_steps = config.evaluation, config.saving.save_steps
    if evaluation.load_best_model_at_end is not None:
        return None
    if evaluation.early_stopping_patience:
        return True, "early_stopping_patience"
    if not config.data.evaluates:
        return None
    if save_steps and evaluation.eval_steps:
        return (True, "eval_steps") if divides(evaluation.eval_steps, save_steps) else None
    saves, evaluations = config.saving.saves_per_epoch, evaluation.evals_per_epoch
    if saves and evaluations and evaluations % saves == 0:
        return True, "evals_per_epoch"
    return None


def _lora_target_linear(config: Config, _: Machine) -> Implied | None:
    adapter = config.adapter
    if adapter.adapter not in ("lora", "qlora") or adapter.lora_model_dir:
        return None
    if adapter.lora_target_linear:
        return None
    return None if adapter.lora_target_modules else (True, "adapter")


def _tokenizer_config(config: Config, _: Machine) -> Implied | None:
    model = config.model
    if model.base_model_config and not model.tokenizer_config:
        return model.base_model_config, "base_model_config"
    return None


def _special_tokens(config: Config, _: Machine) -> Implied | None:
    """The landmark, beside the special tokens that the file sets."""
    if not config.attention.landmark_attention:
        return None
    return {**config.model.special_tokens, "landmark_token": TOKEN}, "landmark_attention"


IMPLIED: Mapping[str, Callable[[Config, Machine], Implied | None]] = {
    "eval_sample_packing": _eval_sample_packing,
    "eval_batch_size": _eval_batch_size,
    "gradient_checkpointing": _gradient_checkpointing,
    "gradient_checkpointing_kwargs": _gradient_checkpointing_kwargs,
    "save_strategy": _save_strategy,
    "save_steps": _save_steps,
    "evaluation_strategy": _evaluation_strategy,
    "eval_steps": _eval_steps,
    "bf16": _bf16,
    "fp16": _fp16,
    "optimizer": _optimizer,
    "lr_scheduler": _lr_scheduler,
    "sample_packing": _sample_packing,
    "sample_packing_sequentially": _sample_packing_sequentially,
    "shuffle_merged_datasets": _shuffle_merged_datasets,
    "sequence_len": _sequence_len,
    "output_dir": _output_dir,
    "attn_implementation": _attn_implementation,
    "load_best_model_at_end": _load_best_model_at_end,
    "lora_target_linear": _lora_target_linear,
    "tokenizer_config": _tokenizer_config,
    "special_tokens": _special_tokens,
}
"""Option → its value and what implies it (nothing: it is the default), or None to leave it."""
