"""The optimizer."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from axolotl.config.section import Section


class RateGroup(Section):
    """Weights with a learning rate of their own."""

    name: str = Field(min_length=1, description="What logs call it.")
    modules: list[str] = Field(
        min_length=1, description="Parts of names; weights that have one of them in theirs belong."
    )
    lr: float = Field(gt=0, description="Their learning rate.")


class OptimizerSection(Section):
    """The optimizer."""

    optimizer: str = Field(
        default="adamw_torch",
        min_length=1,
        description="Name of the optimizer. Those of bitsandbytes keep their states in 8 bits or on "
        "pages, `adamw_anyprecision` in bfloat16; `galore_*` and `apollo_adamw` project gradients; "
        "`schedule_free_*` average the weights. `adamw_hf` and `adamw_apex_fused` are old names that now "
        "mean `adamw_torch` and `adamw_torch_fused`.",
        json_schema_extra={
            "choices": [
                "adamw_torch",
                "adamw_torch_fused",
                "adafactor",
                "adagrad",
                "adamw_8bit",
                "adamw_anyprecision",
                "adamw_bnb_8bit",
                "adamw_torch_4bit",
                "adamw_torch_8bit",
                "ademamix",
                "ademamix_8bit",
                "apollo_adamw",
                "galore_adafactor",
                "galore_adamw",
                "grokadamw",
                "lion_32bit",
                "lion_8bit",
                "optimi_adamw",
                "paged_adamw_32bit",
                "paged_adamw_8bit",
                "paged_ademamix_32bit",
                "paged_ademamix_8bit",
                "paged_lion_32bit",
                "paged_lion_8bit",
                "rmsprop",
                "rmsprop_bnb",
                "rmsprop_bnb_32bit",
                "rmsprop_bnb_8bit",
                "schedule_free_adamw",
                "schedule_free_radam",
                "schedule_free_sgd",
                "sgd",
                "stable_adamw",
                "adamw_hf",
                "adamw_apex_fused",
            ]
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
        description="AdEMAMix: decay of the slow mean of the gradients; 0.9999 by default.",
        json_schema_extra={"needs": "an `ademamix` optimizer"},
    )
    adam_epsilon2: float | None = Field(
        default=None,
        gt=0,
        description="Adafactor: the least size of weights that steps are scaled by; 1e-3 by default.",
        json_schema_extra={
            "needs": "`optimizer: adafactor` with `optim_args: {scale_parameter: true}`"
        },
    )
    optim_args: str | dict[str, Any] | None = Field(
        default=None,
        description="Further options of the optimizer, by their names: a mapping, or text such as "
        "`rank=64,scale=0.5`.",
    )
    optim_target_modules: str | list[str] | None = Field(
        default=None,
        description="Linear layers whose gradients are projected: `all_linear`, a list of parts of "
        "their names, or a regular expression for the whole name.",
        json_schema_extra={"needs": "a `galore` or `apollo` optimizer"},
    )
    loraplus_lr_ratio: float | None = Field(
        default=None,
        gt=0,
        description="LoRA+: the learning rate of the B matrices is so many times that of the others "
        "(arXiv 2402.12354).",
        json_schema_extra={"needs": "`adapter: lora` or `qlora`"},
    )
    loraplus_lr_embedding: float = Field(
        default=1e-6,
        gt=0,
        description="Learning rate of adapters on embeddings.",
        json_schema_extra={"needs": "`loraplus_lr_ratio`"},
    )
    lr_groups: list[RateGroup] | None = Field(
        default=None,
        description="Weights with learning rates of their own; each belongs to the first group that "
        "means it.",
    )
    max_grad_norm: float = Field(
        default=1.0, ge=0, description="Gradients are scaled down to this norm; 0 for no limit."
    )
    torchdistx_path: str | None = Field(
        default=None,
        description="Has no effect: `adamw_anyprecision` needs no checkout of torchdistx, which is no "
        "longer kept; accepted for files that have it.",
    )
