"""ReLoRA."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.resolve.case import Case, Found, Table


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
    if case.config.schedule.lr_scheduler == "one_cycle":
        yield Found(
            "error",
            "lr_scheduler",
            "lr_scheduler: one_cycle does not go with relora_steps, which restarts the learning rate",
            "write `lr_scheduler: cosine`",
        )


TABLE: Table = [
    (relora_on_lora, "relora_steps adapter"),
    (relora_alone, "relora_steps fsdp deepspeed lr_scheduler"),
]
