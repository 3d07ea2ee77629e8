"""Putting packed layers into an empty model, where the tensors of a checkpoint fit its layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from axolotl.architectures import facts_of
from axolotl.errors import ModelError
from axolotl.models.gptq.checkpoint import Checkpoint, Stored
from axolotl.models.gptq.layer import Form, GPTQLinear, quantised_layers
from axolotl.models.gptq.layout import BITS

_DTYPES = {"I32": torch.int32, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
_PARTS = ("qweight", "qzeros", "scales", "g_idx")
_MEND = "the checkpoint is damaged, or of another model than its config.json says"


def put_layers(model: Any, checkpoint: Checkpoint, *, dtype: torch.dtype) -> list[str]:
    """Put a packed layer in place of each linear layer that the checkpoint has quantised.

    Args:
        model: On the meta device; changed in place.
        checkpoint: What is going to be loaded into it.
        dtype: dtype of what is not quantised.

    Returns:
        The layers that have a bias in the checkpoint and none in the model's code: AutoGPTQ used to
        write zeros there.

    Raises:
        ModelError: names the first tensor that is missing, or that does not fit its layer.
    """
    modules = dict(model.named_modules())
    new_biases: list[str] = []
    for path in sorted({n.rpartition(".")[0] for n in checkpoint.tensors if _is_part(n)}):
        if path not in modules:
            raise ModelError(
                f"the checkpoint has {path}.qweight, and the model has no layer '{path}'",
                hint="experts that the model's code holds in one tensor cannot be read from GPTQ"
                if ".experts." in path
                else _MEND,
            )
        _check_called(path, str(model.config.model_type))
        form = _form(path, modules[path], checkpoint)
        if form.bias and getattr(modules[path], "bias", None) is None:
            new_biases.append(path)
        scales = _DTYPES[checkpoint.tensors[f"{path}.scales"].dtype]
        layer = GPTQLinear(form, dtype=dtype, scales_dtype=scales, device="meta")
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, layer)
    _untie_quantised_head(model)
    _check_whole_layers(model, checkpoint)
    return new_biases


def _check_called(path: str, model_type: str) -> None:
    """Refuse a packed layer whose weight the model's code takes without calling the layer."""
    facts = facts_of(model_type)
    if facts is not None and path.rpartition(".")[2] in facts.read_past:
        raise ModelError(
            f"{path} is quantised, and the code of {facts.title} takes its weight past the layer",
            hint=f"a checkpoint that leaves {', '.join(facts.read_past)} whole can be used",
        )


def settle(model: nn.Module, checkpoint: Checkpoint, *, new_biases: list[str]) -> None:
    """Make loaded layers ready: the order of their groups, and biases that are none.

    Args:
        model: With its tensors loaded.
        checkpoint: Where they are from.
        new_biases: As `put_layers` gave them.

    Raises:
        ModelError: names a tensor whose numbers cannot be right.
    """
    for path, layer in quantised_layers(model).items():
        if f"{path}.g_idx" not in checkpoint.tensors:
            layer.g_idx = layer.form.plain_order.to(layer.qweight.device)
        low, high = layer.g_idx.aminmax()
        if low < 0 or high >= layer.form.groups:
            raise ModelError(
                f"{path}.g_idx names group {int(low if low < 0 else high)}, and there are "
                f"{layer.form.groups}",
                hint=_MEND,
            )
        if not torch.isfinite(layer.scales).all():
            raise ModelError(f"{path}.scales holds numbers that are not finite", hint=_MEND)
        if path in new_biases and layer.bias is not None and not layer.bias.any():
            layer.register_parameter("bias", None)
        layer.settle()


def _is_part(name: str) -> bool:
    return name.rpartition(".")[2] in ("qweight", "qzeros")


def _form(path: str, layer: nn.Module, checkpoint: Checkpoint) -> Form:
    """How the layer is stored.

    Raises:
        ModelError: not as GPTQ stores a layer of this size.
    """
    if isinstance(layer, nn.Linear):
        inputs, outputs = layer.in_features, layer.out_features
    elif isinstance(layer, Conv1D):
        inputs, outputs = layer.weight.shape
    else:
        raise ModelError(
            f"the checkpoint has {path}.qweight, and '{path}' is a {type(layer).__name__}, "
            "no linear layer",
            hint=_MEND,
        )
    tensors, settings = checkpoint.tensors, checkpoint.settings
    has_bias = getattr(layer, "bias", None) is not None
    for part in (*_PARTS, *(["bias"] if has_bias else [])):
        optional = part == "g_idx" and not settings.act_order
        if f"{path}.{part}" not in tensors and not optional:
            raise ModelError(f"the checkpoint lacks {path}.{part}", hint=_MEND)
    bits = settings.bits
    group = settings.group_size if settings.group_size > 0 else inputs
    groups = -(-inputs // group)
    if settings.mixed:
        bits = tensors[f"{path}.qweight"].shape[0] * 32 // inputs
        groups = tensors[f"{path}.scales"].shape[0]
    _check_bits(path, bits, inputs, outputs)
    form = Form(
        inputs=inputs,
        outputs=outputs,
        bits=bits,
        groups=groups,
        version=settings.version,
        bias=f"{path}.bias" in tensors,
        transposed=isinstance(layer, Conv1D),
        group_size=None if settings.mixed else group,
    )
    for part, (dtype, shape) in form.tensors().items():
        if (stored := tensors.get(f"{path}.{part}")) is not None:
            _check(f"{path}.{part}", stored, dtype, shape, form)
    return form


def _check_bits(path: str, bits: int, inputs: int, outputs: int) -> None:
    if bits not in BITS:
        raise ModelError(
            f"{path} is quantised to {bits} bits; writers do not agree on how those lie in words",
            hint=f"checkpoints with {', '.join(map(str, BITS))} bits can be read",
        )
    for count, what in ((inputs, "inputs"), (outputs, "outputs")):
        if count * bits % 32:
            raise ModelError(
                f"{path} has {count} {what}, whose {bits} bits do not fill whole words of 32",
                hint="such a layer must be left out when the model is quantised",
            )


def _check(
    name: str, stored: Stored, dtype: torch.dtype, shape: tuple[int, ...], form: Form
) -> None:
    found = _DTYPES.get(stored.dtype)
    if stored.shape != shape:
        raise ModelError(
            f"{name} has the shape {list(stored.shape)}; {form.inputs} inputs and {form.outputs} "
            f"outputs with {form.bits} bits in {form.groups} groups are {list(shape)}",
            hint=_MEND,
        )
    if found != dtype and not (name.endswith(".scales") and found and found.is_floating_point):
        kind = str(dtype).removeprefix("torch.")
        raise ModelError(f"{name} holds {stored.dtype}, not {kind}", hint=_MEND)


def _untie_quantised_head(model: Any) -> None:
    """A quantised head has weights of its own, whatever the configuration says."""
    if isinstance(model.get_output_embeddings(), GPTQLinear) and model.config.tie_word_embeddings:
        model.config.tie_word_embeddings = False
        model.all_tied_weights_keys = model.get_expanded_tied_weights_keys(all_submodels=True)


def _check_whole_layers(model: Any, checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint without a layer that the model has: transformers would make one up.

    Raises:
        ModelError: names the first.
    """
    names = checkpoint.tensors
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    prefix = f"{model.base_model_prefix}."
    for path, module in model.named_modules():
        if not isinstance(module, nn.Linear | Conv1D | nn.Embedding):
            continue
        name = f"{path}.weight"
        there = name in names or name.removeprefix(prefix) in names or name in tied
        if not there and not isinstance(module, GPTQLinear):
            raise ModelError(f"the checkpoint has neither {path}.qweight nor {name}", hint=_MEND)
