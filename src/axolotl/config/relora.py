"""ReLoRA: adapters that are merged into the model again and again while it trains."""

from __future__ import annotations

from pydantic import Field

from axolotl.config.section import Section


class ReloraSection(Section):
    """ReLoRA: adapters that are merged into the model again and again while it trains."""

    relora_steps: int | None = Field(
        default=None,
        ge=1,
        description="Optimizer steps after which the adapter is merged into the model and begun anew; "
        "setting it turns ReLoRA on (arXiv 2307.05695).",
        json_schema_extra={"needs": "`adapter: lora` or `qlora`"},
    )
    relora_warmup_steps: int = Field(
        default=10,
        ge=0,
        description="Steps in which the learning rate rises again after each of these restarts.",
        json_schema_extra={"needs": "`relora_steps`"},
    )
    relora_anneal_steps: int = Field(
        default=0,
        ge=0,
        description="Steps in which the learning rate falls to near zero before each restart.",
        json_schema_extra={"needs": "`relora_steps`"},
    )
    relora_prune_ratio: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of the optimizer's moments that a restart sets to zero, the smallest ones; "
        "unset, all are, and its step count with them.",
        json_schema_extra={"needs": "`relora_steps` and `optimizer: adamw_torch`"},
    )
    relora_cpu_offload: bool = Field(
        default=False,
        description="Merge on the CPU, which spares GPU memory where the base model is quantised.",
        json_schema_extra={"needs": "`relora_steps`"},
    )
