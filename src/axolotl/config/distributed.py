"""Several processes and machines."""

from __future__ import annotations

from typing import Literal

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
        default=False, description="Keep parameters in the memory of the CPU while they are idle."
    )
    fsdp_auto_wrap_policy: (
        Literal["TRANSFORMER_BASED_WRAP", "SIZE_BASED_WRAP", "NO_WRAP"] | None
    ) = Field(default=None, description="How the model is cut into units.")
    fsdp_min_num_params: int | None = Field(
        default=None, ge=1, description="Smallest unit, for `SIZE_BASED_WRAP`."
    )
    fsdp_reshard_after_forward: bool | None = Field(
        default=None, description="Free the gathered parameters between forward and backward."
    )
    fsdp_cpu_ram_efficient_loading: bool | None = Field(
        default=None, description="Read the weights in the first process only."
    )
    fsdp_sync_module_states: bool | None = Field(
        default=None, description="Send the first process's weights to all others."
    )
    fsdp_activation_checkpointing: bool | None = Field(
        default=None, description="Compute activations again in the backward pass."
    )
    fsdp_use_orig_params: bool | None = Field(
        default=None, description="Keep the parameters as they were; always so in FSDP 2."
    )
    fsdp_backward_prefetch: Literal["BACKWARD_PRE", "BACKWARD_POST", "NO_PREFETCH"] | None = Field(
        default=None, description="When the next parameters are gathered; FSDP 1 only."
    )
    fsdp_forward_prefetch: bool | None = Field(
        default=None, description="Gather the next parameters early; FSDP 1 only."
    )
    fsdp_limit_all_gathers: bool | None = Field(
        default=None, description="Bound the number of parameters under way; FSDP 1 only."
    )


class DistributedSection(Section):
    """Several processes and machines."""

    fsdp: str | list[str] | None = Field(
        default=None,
        description="Spread model and optimizer over the processes with FSDP, such as "
        "`[full_shard, auto_wrap]`.",
        json_schema_extra={"needs": "several processes", "pending": True},
    )
    fsdp_config: FsdpConfig | None = Field(
        default=None,
        description="How FSDP cuts the model up, and what it keeps where.",
        json_schema_extra={"needs": "`fsdp`"},
    )
    deepspeed: str | None = Field(
        default=None,
        min_length=1,
        description="File with a DeepSpeed configuration; turns DeepSpeed on.",
        json_schema_extra={"needs": "the package deepspeed", "pending": True},
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
