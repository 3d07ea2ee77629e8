"""Whether the kernels of the gptqmodel package multiply, or the layers of this one."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from axolotl.models.gptq.checkpoint import Settings

_PACKAGES = ("gptqmodel", "optimum")
_HALF = (torch.float16, torch.bfloat16)


def packaged_kernels(dtype: torch.dtype) -> bool:
    """Whether gptqmodel is to be used: on a GPU, where it is installed, in half precision.

    Its fast kernels are for GPUs and for half precision; on a CPU it unpacks weights as the layers
    here do, at no gain.

    Args:
        dtype: In which the model is held.
    """
    there = all(find_spec(name) is not None for name in _PACKAGES)
    return torch.cuda.is_available() and dtype in _HALF and there


def packaged_arguments(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """What makes transformers load a checkpoint by gptqmodel.

    Args:
        settings: Of the checkpoint.

    Returns:
        The `quantization_config` of the model's configuration, and arguments of `from_pretrained`.
    """
    named = {1: "gptq", 2: "gptq_v2"}[settings.version]
    config = {**settings.raw, "quant_method": "gptq", "format": named, "checkpoint_format": named}
    config["backend"] = "auto_trainable"
    return config, {"device_map": {"": torch.cuda.current_device()}}
