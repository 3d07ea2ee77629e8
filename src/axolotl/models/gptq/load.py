"""A GPTQ checkpoint as a base model.

transformers loads it, tensor by tensor into an empty model, as it does any other: sharded files,
tied embeddings and code from the hub need nothing here. It is told of a quantisation method of our
own, by the interface it has for that, which only puts `GPTQLinear` in the place of linear layers.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.quantizers.auto import (
    AUTO_QUANTIZER_MAPPING,
    register_quantization_config,
    register_quantizer,
)
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from axolotl.config.model import ModelSection
from axolotl.core.console import note
from axolotl.models.gptq.checkpoint import Checkpoint, Settings, read_checkpoint, weight_names
from axolotl.models.gptq.fit import put_layers, settle
from axolotl.models.gptq.kernels import packaged_arguments, packaged_kernels
from axolotl.models.gptq.layer import dequantise
from axolotl.models.quantized import Quantized
from axolotl.models.sources import base_folder

METHOD = "axolotl_gptq"
"""Under which transformers finds `_Quantizer`."""


def open_gptq(
    model: ModelSection,
    config: PreTrainedConfig,
    *,
    quantized: Quantized,
    dtype: torch.dtype,
    attn_implementation: str,
    load: Callable[..., PreTrainedModel],
) -> PreTrainedModel:
    """Load a GPTQ checkpoint; every weight is frozen.

    Args:
        model: What to load.
        config: Its configuration.
        quantized: What the file says of it, and whether it is to become ordinary layers.
        dtype: dtype of what is not quantised.
        attn_implementation: Name of an attention function that transformers knows.
        load: Loads a model from a folder, given the options, the folder and the configuration.

    Raises:
        ModelError: it is no GPTQ checkpoint, or is damaged; names the tensor.
    """
    folder = base_folder(model)
    checkpoint = read_checkpoint(folder, config)
    _report(quantized, checkpoint.settings)
    config = copy.deepcopy(config)
    name = config.name_or_path
    arguments: dict[str, Any] = {"dtype": dtype, "attn_implementation": attn_implementation}
    packaged = packaged_kernels(dtype) and not quantized.whole
    if packaged:
        note("the layers of the GPTQ checkpoint are multiplied by gptqmodel's kernels")
        method, more = packaged_arguments(checkpoint.settings)
        arguments |= more
    else:
        method = {"quant_method": METHOD, "checkpoint": checkpoint, "dtype": dtype}
    config.quantization_config = method
    with _usual_names(checkpoint) as place:
        loaded: Any = load(model, str(place), config, **arguments)
    loaded.name_or_path = loaded.config.name_or_path = name
    if not packaged:
        _put_in_order(loaded, checkpoint, dtype=dtype, whole=quantized.whole)
    return loaded.requires_grad_(False)


def _put_in_order(loaded: Any, checkpoint: Checkpoint, *, dtype: torch.dtype, whole: bool) -> None:
    """Say of the model what it is: a GPTQ model, which peft does not merge into, or an ordinary one."""
    if whole:
        dequantise(loaded, dtype=dtype)
        loaded.hf_quantizer.remove_quantization_config(loaded)
        for module in loaded.modules():
            if isinstance(module, PreTrainedModel):
                module.config._is_quantized = False
        return
    loaded.quantization_method = "gptq"
    loaded.config.quantization_config = dict(checkpoint.settings.raw)


def _report(said: Quantized, settings: Settings) -> None:
    """Say where the file differs from the checkpoint, which counts."""
    if said.gptq_groupsize not in (None, settings.group_size):
        note(
            f"warning: gptq_groupsize {said.gptq_groupsize} is not that of the checkpoint, "
            f"{settings.group_size}, which counts"
        )
    if said.gptq_model_v1 not in (None, settings.version == 1):
        note(
            f"warning: gptq_model_v1 {str(said.gptq_model_v1).lower()} is not so: the checkpoint has "
            f"version {settings.version} of the format, which counts"
        )


@contextmanager
def _usual_names(checkpoint: Checkpoint) -> Iterator[Path]:
    """The folder, or one in which its weight files go by the names that transformers looks for."""
    folder = checkpoint.folder
    names = weight_names(folder, checkpoint.settings.raw)
    if all(file.name == name for name, file in names.items()):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="axolotl_gptq_") as made:
        place = Path(made)
        for file in folder.iterdir():
            (place / file.name).symlink_to(file.resolve())
        for name, file in names.items():
            if not (place / name).exists():
                (place / name).symlink_to(file.resolve())
        yield place


class _Plan(QuantizationConfigMixin):
    """Brings the checkpoint to `_Quantizer`."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype, **_: Any) -> None:
        self.quant_method: Any = METHOD
        self.checkpoint = checkpoint
        self.dtype = dtype

    def to_dict(self) -> dict[str, Any]:
        """What the checkpoint says of itself."""
        return dict(self.checkpoint.settings.raw)


class _Quantizer(HfQuantizer):
    """Makes an empty model ready for a checkpoint, and the loaded one ready for use."""

    def _process_model_before_weight_loading(self, model: Any, **_: Any) -> Any:
        plan: Any = self.quantization_config
        self.new_biases = put_layers(model, plan.checkpoint, dtype=plan.dtype)
        return model

    def _process_model_after_weight_loading(self, model: Any, **_: Any) -> Any:
        plan: Any = self.quantization_config
        settle(model, plan.checkpoint, new_biases=self.new_biases)
        return model

    def is_serializable(self) -> Any:
        """Only adapters are saved."""
        return False

    @property
    def is_trainable(self) -> Any:
        """Whether an adapter on it is."""
        return True


if METHOD not in AUTO_QUANTIZER_MAPPING:
    register_quantization_config(METHOD)(_Plan)
    register_quantizer(METHOD)(_Quantizer)
