"""The optimizer."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field

from axolotl.config.section import Section


class RateGroup(Section):
    """Weights with a learning rate of their own."""

    name: str = Field(min_length=1, description="What logs call it.")
    modules: list[str] = Field(
        min_length=1, description="Parts of names; weights that have one of them in theirs belong."
    )
    lr: float = Field(gt=0, description="Their learning rate.")


Trained = Literal[
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_hf",
    "adamw_apex_fused",
    "adafactor",
    "sgd",
    "adagrad",
]
"""Optimizers that train."""

Waiting = Literal[
    "adamw_torch_xla",
    "adamw_anyprecision",
    "adamw_bnb_8bit",
    "lion_8bit",
    "lion_32bit",
    "paged_adamw_32bit",
    "paged_adamw_8bit",
    "paged_lion_32bit",
    "paged_lion_8bit",
]
"""Optimizers that are known and not carried out yet."""


class OptimizerSection(Section):
    """The optimizer."""

    optimizer: Trained | Waiting = Field(
        default="adamw_torch",
        description="Name of the optimizer; `adamw_hf` and `adamw_apex_fused` are old names that "
        "now mean `adamw_torch` and `adamw_torch_fused`.",
        json_schema_extra={
            "instead": "write `optimizer: adamw_torch`, which keeps its state in full precision",
            "pending": list(get_args(Waiting)),
        },
    )
    learning_rate: float = Field(
        default=2e-4, gt=0, le=10, description="Highest learning rate, reached after the warm-up."
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        description="Decoupled weight decay, applied to all but biases and norms.",
    )
    adam_beta1: float = Field(
        default=0.9, ge=0, lt=1, description="Adam: decay of the mean of the gradients."
    )
    adam_beta2: float = Field(
        default=0.999, ge=0, lt=1, description="Adam: decay of the mean of the squared gradients."
    )
    adam_epsilon: float = Field(
        default=1e-8, gt=0, description="Adam: added to the denominator, for numerical stability."
    )
    adam_beta3: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="AdEMAMix and CAME: decay of the third mean.",
        json_schema_extra={"pending": True},
    )
    adam_epsilon2: float | None = Field(
        default=None,
        gt=0,
        description="CAME and Adafactor: the second number for numerical stability.",
        json_schema_extra={"pending": True},
    )
    optim_args: str | dict[str, Any] | None = Field(
        default=None,
        description="Further options of the optimizer, by their names.",
        json_schema_extra={"pending": True},
    )
    optim_target_modules: str | list[str] | None = Field(
        default=None,
        description="Layers whose gradients are projected: names, or `all_linear`.",
        json_schema_extra={"needs": "a GaLore or APOLLO optimizer", "pending": True},
    )
    loraplus_lr_ratio: float | None = Field(
        default=None,
        gt=0,
        description="LoRA+: the learning rate of the B matrices is so many times that of the others "
        "(arXiv 2402.12354).",
        json_schema_extra={"needs": "`adapter: lora` or `qlora`", "pending": True},
    )
    loraplus_lr_embedding: float = Field(
        default=1e-6,
        gt=0,
        description="Learning rate of adapters on embeddings.",
        json_schema_extra={"needs": "`loraplus_lr_ratio`"},
    )
    lr_groups: list[RateGroup] | None = Field(
        default=None,
        description="Weights with learning rates of their own.",
        json_schema_extra={"pending": True},
    )
    max_grad_norm: float = Field(
        default=1.0, ge=0, description="Gradients are scaled down to this norm; 0 for no limit."
    )
    torchdistx_path: str | None = Field(
        default=None,
        description="Has no effect: `adamw_anyprecision` needs no checkout of torchdistx, which is no "
        "longer kept; accepted for files that have it.",
    )
