"""Several processes and machines."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from axolotl.config.section import Section


class FsdpConfig(Section):
    """Details of FSDP."""

    fsdp_transformer_layer_cls_to_wrap: str | list[str] | None = Field(
        default=None, description="Class of the decoder layers, such as `LlamaDecoderLayer`."
    )
    fsdp_state_dict_type: Literal["FULL_STATE_DICT", "SHARDED_STATE_DICT"] | None = Field(
        default=None, description="Save checkpoints whole or in a part for each process."
    )
    fsdp_offload_params: bool = Field(
        default=False,
        description="Keep parameters in the memory of the CPU while they are idle; so it is without a "
        "GPU anyway.",
    )
    fsdp_auto_wrap_policy: (
        Literal["TRANSFORMER_BASED_WRAP", "SIZE_BASED_WRAP", "NO_WRAP"] | None
    ) = Field(
        default=None,
        description="How the model is cut into units: by "
        "its layers, or not at all; by size is of FSDP 1, and refused.",
    )
    fsdp_min_num_params: int | None = Field(
        default=None,
        ge=1,
        description="Has no effect: smallest unit of `SIZE_BASED_WRAP`, which is of FSDP 1.",
    )
    fsdp_reshard_after_forward: bool | None = Field(
        default=None,
        description="Free the gathered parameters between forward and backward; the word `full_shard` "
        "of `fsdp` says the same, `shard_grad_op` the opposite.",
    )
    fsdp_cpu_ram_efficient_loading: bool | None = Field(
        default=None,
        description="Has no effect: each process tries the model on its own before it is cut up, so it "
        "reads the weights.",
    )
    fsdp_sync_module_states: bool | None = Field(
        default=None, description="Send the first process's weights to all others."
    )
    fsdp_activation_checkpointing: bool | None = Field(
        default=None,
        description="Compute activations again in the backward pass; the same as "
        "`gradient_checkpointing`.",
    )
    fsdp_use_orig_params: bool | None = Field(
        default=None,
        description="Has no effect: parameters are kept as they were, always so in FSDP 2.",
    )
    fsdp_backward_prefetch: Literal["BACKWARD_PRE", "BACKWARD_POST", "NO_PREFETCH"] | None = Field(
        default=None,
        description="Has no effect: when the next parameters are gathered; FSDP 1 only.",
    )
    fsdp_forward_prefetch: bool | None = Field(
        default=None,
        description="Has no effect: gather the next parameters early; FSDP 1 only.",
    )
    fsdp_limit_all_gathers: bool | None = Field(
        default=None,
        description="Has no effect: bound the number of parameters under way; FSDP 1 only.",
    )


class DistributedSection(Section):
    """Several processes and machines."""

    fsdp: str | list[str] | None = Field(
        default=None,
        description="Spread model and optimizer over the processes with FSDP 2: `full_shard` or "
        "`shard_grad_op`, and `auto_wrap`, `offload`, such as `[full_shard, auto_wrap]`.",
        json_schema_extra={"needs": "several processes"},
    )
    fsdp_config: FsdpConfig | None = Field(
        default=None,
        description="How FSDP cuts the model up, and what it keeps where.",
        json_schema_extra={"needs": "`fsdp`"},
    )
    deepspeed: str | dict[str, Any] | None = Field(
        default=None,
        description="File with a DeepSpeed configuration, such as `deepspeed/zero2.json`, or its content; "
        "turns DeepSpeed on. Optimizer, schedule and batches stay those of this file.",
        json_schema_extra={"needs": "the package deepspeed"},
    )
    ddp_timeout: int | None = Field(
        default=None,
        ge=1,
        description="Seconds that processes wait for each other before they give up; 1800 by default.",
        json_schema_extra={"needs": "several processes"},
    )
    ddp_bucket_cap_mb: int | None = Field(
        default=None,
        ge=1,
        description="Megabytes of gradients that are exchanged at once.",
        json_schema_extra={"needs": "several processes"},
    )
    ddp_broadcast_buffers: bool | None = Field(
        default=None,
        description="Send the first process's buffers to all others before each forward pass.",
        json_schema_extra={"needs": "several processes"},
    )
    ddp_find_unused_parameters: bool | None = Field(
        default=None,
        description="Look for weights without a gradient in every step; slower, and only needed where "
        "a step leaves some out.",
        json_schema_extra={"needs": "several processes"},
    )
    local_rank: int | None = Field(
        default=None,
        ge=-1,
        description="Has no effect: the launcher tells each process its number in the environment; "
        "accepted for files that have it.",
    )
