"""Base models in 8 and 4 bits, by bitsandbytes through transformers.

Two things of the library are put right as soon as a model is loaded, before its first forward pass:

- On a CPU with AVX512-BF16, a 4-bit layer that answers (evaluation mode, no gradient wanted) rearranges
  its packed weight in place, once, for a faster kernel. All that reads the weight afterwards takes the
  new order for the old one: gradients, merges and `dequantize` are noise from then on, and the loss
  looks as ever. The layers are told that there is no such kernel.
- On a CPU, an 8-bit layer multiplies by its dequantised weight in training, and quantises its inputs
  too in evaluations: the held-out loss is then that of another, coarser model (logits of a model of 30
  layers differ by 5 %), in which documents of one row touch, since columns with outliers are chosen
  over the whole row. It saves no time there, so evaluations compute what the training does.
"""

from __future__ import annotations

import copy
import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import torch
from torch import nn

from axolotl.core.optional import need
from axolotl.errors import ModelError
from axolotl.models.quantized import Quantized
from axolotl.models.quiet import no_library_lines


def loading_arguments(form: Quantized, *, whole: Sequence[str] = ()) -> dict[str, Any]:
    """What `from_pretrained` is given to quantise a model while it loads.

    Args:
        form: `int8`, `nf4` or `fp4`.
        whole: Layers that stay whole, by the ends of their names; default: the output head.

    Raises:
        EnvironmentFault: bitsandbytes is missing.
    """
    need("bitsandbytes", extra="bnb", why=form.asked_by)
    from transformers import BitsAndBytesConfig

    if form.kind == "int8":
        settings = BitsAndBytesConfig(
            load_in_8bit=True,
            llm_int8_threshold=form.threshold,
            llm_int8_skip_modules=list(whole) or None,
        )
    else:
        settings = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=form.kind,
            bnb_4bit_use_double_quant=form.double,
            bnb_4bit_compute_dtype=form.compute_dtype,
            llm_int8_skip_modules=list(whole) or None,
        )
    return {"quantization_config": settings, "device_map": {"": place_of_this_process()}}


def names_left_whole(skeleton: Any, skip: Sequence[str]) -> list[str]:
    """The layers that stay whole: those named, and what the library leaves whole by itself.

    With any name given, the library no longer thinks of the output head.

    Args:
        skeleton: The model, without weights.
        skip: Ends of the names of layers.

    Raises:
        ModelError: no layer has such a name.
    """
    from transformers.quantizers.base import get_keys_to_not_convert

    paths = [path for path, module in skeleton.named_modules() if is_linear(module)]
    for name in skip:
        if not any(path.endswith(name) for path in paths):
            ends = sorted({path.rpartition(".")[2] for path in paths})
            raise ModelError(
                f"the model has no linear layer '{name}' to leave whole",
                where="bnb_config_kwargs.llm_int8_skip_modules",
                hint=f"its linear layers are {', '.join(ends)}",
            )
    return [*skip, *get_keys_to_not_convert(skeleton)]


def is_linear(module: nn.Module) -> bool:
    """Whether it is a layer that the library quantises, `plain_layers` given."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D) or (
        isinstance(module, nn.Linear) and _computes_as_plain(type(module))
    )


@contextmanager
def plain_layers() -> Iterator[None]:
    """Let layers that compute as `nn.Linear` does be quantised as such while the body loads a model.

    The library looks for that class itself and leaves out those derived from it, of which all of
    Falcon is made.
    """
    import transformers.integrations

    integrations: Any = transformers.integrations
    replace = integrations.replace_with_bnb_linear

    def made_plain(model: nn.Module, *arguments: Any, **more: Any) -> Any:
        for module in model.modules():
            if isinstance(module, nn.Linear) and is_linear(module):
                module.__class__ = nn.Linear
        return replace(model, *arguments, **more)

    with _set(integrations, "replace_with_bnb_linear", made_plain):
        yield


@contextmanager
def _set(place: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


@cache
def _computes_as_plain(kind: type[nn.Linear]) -> bool:
    """Whether layers of a class give what ordinary ones with their weights do."""
    if kind is nn.Linear or kind in _packed_kinds():
        return True
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
        plain = nn.Linear(3, 2, dtype=torch.float32)
        rows = torch.randn(4, 3)
        wanted, other = plain(rows), copy.copy(plain)
        other.__class__ = kind
        try:
            got = other(rows)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
            # It needs what an ordinary layer does not have, or other inputs.
            return False
    return isinstance(got, torch.Tensor) and got.shape == wanted.shape and got.allclose(wanted)


def _packed_kinds() -> tuple[type[nn.Linear], ...]:
    from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt

    return Linear4bit, Linear8bitLt


def place_of_this_process() -> str | int:
    """The GPU of this process, else `cpu`; weights are quantised where they are to stay."""
    return torch.cuda.current_device() if torch.cuda.is_available() else "cpu"


def settle(model: nn.Module, form: Quantized) -> None:
    """Make a freshly loaded model fit to train on; nothing may have gone through it yet.

    Args:
        model: The model; all of it is frozen.
        form: As it was loaded.

    Raises:
        ModelError: nothing in it is quantised.
    """
    layers = quantised_layers(model)
    if not layers:
        raise ModelError(
            "the model has no linear layers of the kind that can be held in few bits",
            where=form.asked_by,
            hint=f"remove {form.asked_by}",
        )
    for layer in layers:
        if form.kind != "int8":
            layer.support_avx512bf16_for_cpu = False
        elif layer.weight.device.type == "cpu":
            layer.register_forward_pre_hook(_as_in_training)
    model.requires_grad_(False)
    give_back_freed_memory()


def give_back_freed_memory() -> None:
    """Let the C library return to the system what it only keeps: the whole weights, read before.

    It can be nearly all of them, and the saving would then be none. Only glibc has such a call.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def made_whole(model: Any, *, dtype: torch.dtype) -> Any:
    """A model that was stored in few bits, with ordinary layers in place of quantised ones."""
    with no_library_lines():
        whole = model.dequantize(dtype)
    # Saved, it would be packed again by steps of loading that have no way back.
    known = getattr(whole, "_weight_conversions", None) or []
    whole._weight_conversions = [step for step in known if not _unpacks(step)]
    return whole


def _unpacks(step: Any) -> bool:
    return any(type(part).__name__.startswith("Bnb") for part in getattr(step, "operations", ()))


def quantised_layers(model: nn.Module) -> list[Any]:
    """The layers of the library in a model."""
    return [module for module in model.modules() if isinstance(module, _packed_kinds())]


@contextmanager
def without_outliers(model: nn.Module) -> Iterator[None]:
    """Quantise the inputs of 8-bit layers token by token while the body runs.

    Which columns hold outliers is decided over all tokens of a pass; with that left out, what one
    document does to another must come from attention.
    """
    states = [layer.state for layer in quantised_layers(model) if hasattr(layer, "state")]
    before = [state.threshold for state in states]
    try:
        for state in states:
            state.threshold = 0.0
        yield
    finally:
        for state, threshold in zip(states, before, strict=True):
            state.threshold = threshold


def _as_in_training(layer: nn.Module, *_: Any) -> None:
    """The layer has nothing else in it that depends on the mode."""
    layer.training = True
