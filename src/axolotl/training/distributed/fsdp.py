"""FSDP 2: parameters, gradients and optimizer states are cut up over the processes."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.fsdp import MixedPrecisionPolicy

from axolotl.config.distributed import DistributedSection, FsdpConfig
from axolotl.resolve.rules.distributed import fsdp_words

SYNC = "sync_module_states"
"""FSDP 2 of accelerate does not know it, so the trainer sees to it."""
_NAMES = {
    "fsdp_transformer_layer_cls_to_wrap": "transformer_layer_cls_to_wrap",
    "fsdp_auto_wrap_policy": "auto_wrap_policy",
}
"""Option → the name that transformers has for it."""


def reshards(options: DistributedSection) -> bool:
    """Whether gathered parameters are freed between forward and backward pass."""
    config = options.fsdp_config or FsdpConfig()
    if config.fsdp_reshard_after_forward is not None:
        return config.fsdp_reshard_after_forward
    return "shard_grad_op" not in fsdp_words(options)


def fsdp_arguments(options: DistributedSection, *, on_gpu: bool) -> dict[str, Any]:
    """FSDP as `TrainingArguments` are told of it; nothing where it is not asked for.

    Args:
        options: What the file asks for.
        on_gpu: Whether the processes have a GPU each; else all is in the memory of the CPU as it is.
    """
    if not options.fsdp:
        return {}
    config = options.fsdp_config or FsdpConfig()
    given = {name: getattr(config, key) for key, name in _NAMES.items()}
    offload = config.fsdp_offload_params or "offload" in fsdp_words(options)
    return {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "reshard_after_forward": reshards(options),
            "state_dict_type": config.fsdp_state_dict_type or "FULL_STATE_DICT",
            "cpu_offload": on_gpu and offload,
            SYNC: bool(config.fsdp_sync_module_states),
            **{name: value for name, value in given.items() if value is not None},
        },
    }


def mixed_precision(autocast: torch.dtype | None) -> MixedPrecisionPolicy | None:
    """In which formats a sharded model computes; None for that of its weights.

    accelerate's own choice adds gradients up in half precision, and rounds the output of the model,
    which carries the gradient of the loss here.
    """
    if autocast is None:
        return None
    return MixedPrecisionPolicy(param_dtype=autocast, reduce_dtype=torch.float32)
