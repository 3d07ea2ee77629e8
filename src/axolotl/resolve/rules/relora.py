"""ReLoRA."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.resolve.case import Case, Found, Table

_WITH_PLAIN_MOMENTS = ("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused")


def relora_on_lora(case: Case) -> Iterator[Found]:
    """ReLoRA merges a LoRA again and again, so there must be one."""
    config = case.config
    if config.relora.relora_steps and config.adapter.adapter not in ("lora", "qlora"):
        yield Found(
            "error",
            "relora_steps",
            "relora_steps: ReLoRA needs an adapter to merge",
            "write `adapter: lora` or `adapter: qlora`",
        )


def relora_alone(case: Case) -> Iterator[Found]:
    """ReLoRA writes into weights that FSDP and DeepSpeed have cut up, and bends the schedule itself."""
    if not case.config.relora.relora_steps:
        return
    for key in case.asked("fsdp", "deepspeed"):
        yield Found("error", key, f"{key}: not with relora_steps", f"remove {key} or relora_steps")
    if case.asked("gptq"):
        yield Found(
            "error",
            "gptq",
            "gptq: not with relora_steps: each merge needs the weights before they were quantised, "
            "which a GPTQ checkpoint does not have",
            "name the unquantised model in base_model, with `adapter: qlora` and `load_in_4bit: true`",
        )
    if case.config.schedule.lr_scheduler == "one_cycle":
        yield Found(
            "error",
            "lr_scheduler",
            "lr_scheduler: one_cycle does not go with relora_steps, which restarts the learning rate",
            "write `lr_scheduler: cosine`",
        )


def relora_moments(case: Case) -> Iterator[Found]:
    """Pruning knows the moments of plain Adam; other states are set to zero whole."""
    relora, name = case.config.relora, case.config.optimizer.optimizer
    if relora.relora_steps and relora.relora_prune_ratio and name not in _WITH_PLAIN_MOMENTS:
        yield Found(
            "error",
            "relora_prune_ratio",
            f"relora_prune_ratio: not with `optimizer: {name}`",
            "write `optimizer: adamw_torch`, or remove it: the optimizer then forgets all",
        )


def relora_in_half(case: Case) -> Iterator[Found]:
    """What is merged into weights of half precision is rounded each time."""
    config = case.config
    if not config.relora.relora_steps or case.asked("load_in_8bit", "load_in_4bit"):
        return
    for key, instead in (("bfloat16", "bf16"), ("float16", "fp16")):
        if case.asked(key):
            yield Found(
                "warning",
                key,
                f"{key}: each merge of ReLoRA is rounded to half precision, which loses most of what "
                "a short cycle has learnt",
                f"write `{instead}: true`, which keeps the weights in full precision",
            )


def relora_offload(case: Case) -> Iterator[Found]:
    """Without quantisation, a weight is added to where it is."""
    relora = case.config.relora
    whole = not case.asked("load_in_8bit", "load_in_4bit")
    if relora.relora_steps and relora.relora_cpu_offload and whole:
        yield Found(
            "warning",
            "relora_cpu_offload",
            "relora_cpu_offload has no effect: the base model is not quantised, and is merged into "
            "where it is",
            "remove it",
        )


def relora_cycle(case: Case) -> Iterator[Found]:
    """The learning rate has to arrive before it falls again."""
    relora = case.config.relora
    every = relora.relora_steps
    if not every:
        return
    if relora.relora_warmup_steps > every:
        unsaid = "" if "relora_warmup_steps" in case.config.written else ", the default,"
        yield Found(
            "warning",
            "relora_warmup_steps",
            f"relora_warmup_steps: {relora.relora_warmup_steps}{unsaid} is more than relora_steps {every}: "
            "after the first restart the learning rate never comes back to its schedule",
            f"write `relora_warmup_steps: {max(1, every // 10)}`",
        )
    if relora.relora_anneal_steps > every:
        yield Found(
            "error",
            "relora_anneal_steps",
            f"relora_anneal_steps: {relora.relora_anneal_steps} is more than relora_steps {every}",
            f"write `relora_anneal_steps: {max(1, every // 10)}`",
        )


TABLE: Table = [
    (relora_on_lora, "relora_steps adapter"),
    (relora_alone, "relora_steps fsdp deepspeed gptq lr_scheduler"),
    (relora_moments, "relora_steps relora_prune_ratio optimizer"),
    (relora_in_half, "relora_steps bfloat16 float16 load_in_8bit load_in_4bit"),
    (relora_offload, "relora_steps relora_cpu_offload load_in_8bit load_in_4bit"),
    (relora_cycle, "relora_steps relora_warmup_steps relora_anneal_steps"),
]
