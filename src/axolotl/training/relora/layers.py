"""The layers that an adapter changes: what it adds to their weights, and its fresh beginning."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from transformers.pytorch_utils import Conv1D

from axolotl.errors import ModelError

_OF_THE_ADAPTER = ("lora_", "modules_to_save", "trainable_tokens_")
_WRAPPERS = ("base_layer", "original_module", "token_adapter")
_INITS = (True, "gaussian")
_QUANTISED = ("Params4bit", "Int8Params")


@dataclass(frozen=True)
class AdaptedLayer:
    """A layer with a LoRA on it.

    Args:
        name: Name of its weight in the base model, such as `model.layers.0.mlp.up_proj.weight`.
        layer: peft's layer around it.
        adapter: Name of the adapter in it.
    """

    name: str
    layer: Any
    adapter: str

    @property
    def base(self) -> Any:
        """The layer below the adapter."""
        return self.layer.get_base_layer()

    @property
    def quantised(self) -> bool:
        """Whether the weight below is held in 8 or 4 bits."""
        return type(self.base.weight).__name__ in _QUANTISED

    @property
    def turned(self) -> bool:
        """Whether the weight lies in memory transposed against that of the files.

        GPT-2's `Conv1D` becomes an ordinary linear layer where it is quantised.
        """
        return self.quantised and issubclass(getattr(self.base, "source_cls", object), Conv1D)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight, whole, as in the files."""
        if self.quantised:
            shape = (self.base.out_features, self.base.in_features)
            return shape[::-1] if self.turned else shape
        return tuple(self.base.weight.shape)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Weights of the adapter."""
        return [p for name, p in self.layer.named_parameters() if _OF_THE_ADAPTER[0] in name]

    @torch.no_grad()
    def delta(self, *, on_cpu: bool = False) -> torch.Tensor:
        """What the adapter adds to the weight of the files: B·A times its scale, in fp32.

        Args:
            on_cpu: Compute it on the CPU, wherever the adapter is.
        """
        layer, key = self.layer, self.adapter
        if key in layer.lora_embedding_A:
            a, b, transposed = layer.lora_embedding_A[key], layer.lora_embedding_B[key], True
        else:
            a, b = layer.lora_A[key].weight, layer.lora_B[key].weight
            transposed = bool(layer.fan_in_fan_out) != self.turned
        device = torch.device("cpu") if on_cpu else a.device
        product = b.to(device, torch.float32) @ a.to(device, torch.float32)
        return (product.T if transposed else product) * layer.scaling[key]

    @torch.no_grad()
    def put(self, whole: torch.Tensor) -> None:
        """Give the layer below another weight; a quantised one is quantised as it was before.

        Args:
            whole: The weight in full precision, as in the files.
        """
        old = self.base.weight
        whole = whole.T.contiguous() if self.turned else whole
        if not self.quantised:
            old.data.copy_(whole)
            return
        import bitsandbytes

        library: Any = bitsandbytes.nn
        if isinstance(old, library.Params4bit):
            # The dtype is that of what a multiplication reads, so it has to be the one of before.
            new = library.Params4bit(
                whole.to("cpu", old.quant_state.dtype),
                requires_grad=False,
                blocksize=old.blocksize,
                compress_statistics=old.compress_statistics,
                quant_type=old.quant_type,
                quant_storage=old.quant_storage,
                module=self.base,
            ).to(old.device)
            old.data, old.quant_state = new.data, new.quant_state
            return
        new = library.Int8Params(
            whole.to("cpu"), requires_grad=False, has_fp16_weights=old.has_fp16_weights
        ).to(old.device)
        old.data, old.CB, old.SCB = new.data, new.CB, new.SCB
        self.base.state.reset_grads()

    @torch.no_grad()
    def begin_anew(self, init: bool | str) -> None:
        """A random, B zero (of an embedding the other way round): the adapter adds nothing."""
        self.layer.reset_lora_parameters(self.adapter, init)


def adapted_layers(model: Any) -> list[AdaptedLayer]:
    """All layers of a model that have the adapter, in the model's order.

    Args:
        model: A model of peft.

    Raises:
        ModelError: the adapter is of a kind that cannot be merged and begun anew.
    """
    adapter = model.active_adapter
    _check_kind(model.peft_config[adapter])
    base = model.get_base_model()
    layers = [
        # One on experts is on a weight with a name of its own.
        AdaptedLayer(
            plain_name(f"{path}.{getattr(module, 'parameter_name', 'weight')}"), module, adapter
        )
        for path, module in base.named_modules()
        if isinstance(module, LoraLayer)
    ]
    for item in layers:
        weight = getattr(item.base, "weight", None)
        if not isinstance(weight, torch.Tensor) or len(item.shape) != 2:
            raise ModelError(
                f"ReLoRA cannot merge the adapter of '{item.name}', a {type(item.base).__name__}",
                where="relora_steps",
                hint="name linear layers in lora_target_modules",
            )
    _check_shared(base, layers)
    return layers


def begin_adapter_anew(layers: list[AdaptedLayer], model: Any, *, seed: int, step: int) -> None:
    """Give all adapters fresh weights, the same for the same seed and step.

    The generator that dropout draws from goes on as if nothing had been drawn.
    """
    init = model.peft_config[model.active_adapter].init_lora_weights
    device = layers[0].parameters()[0].device
    digest = hashlib.sha256(f"relora {seed} {step}".encode()).digest()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        for item in layers:
            item.begin_anew(init)


def plain_name(name: str) -> str:
    """The name that a weight has without an adapter around it.

    >>> plain_name("model.layers.0.q_proj.base_layer.weight")
    'model.layers.0.q_proj.weight'
    """
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def base_state(model: Any) -> dict[str, torch.Tensor]:
    """The weights below the adapter, by the names they have without it."""
    return {
        plain_name(name): value
        for name, value in model.get_base_model().state_dict().items()
        if not any(part.startswith(_OF_THE_ADAPTER) for part in name.split("."))
    }


def trained_apart(model: Any) -> dict[str, torch.Tensor]:
    """What is trained in full beside the adapter, such as embeddings, by the names in the base."""
    found: dict[str, torch.Tensor] = {}
    for path, module in model.get_base_model().named_modules():
        if isinstance(module, ModulesToSaveWrapper):
            copy: Any = module.modules_to_save[model.active_adapter]
            found |= {plain_name(f"{path}.{n}"): p.detach() for n, p in copy.named_parameters()}
        elif hasattr(module, "trainable_tokens_delta"):
            with torch.no_grad():
                merged = module.get_merged_weights([model.active_adapter])
            found[plain_name(f"{path}.weight")] = merged.detach()
    return found


def _check_kind(config: Any) -> None:
    wrong = None
    if config.peft_type.value != "LORA":
        wrong = f"an adapter of the kind {config.peft_type.value}"
    elif config.use_dora:
        wrong = "DoRA"
    elif config.init_lora_weights not in _INITS:
        wrong = f"an adapter begun with '{config.init_lora_weights}'"
    if wrong:
        raise ModelError(
            f"ReLoRA merges a plain LoRA, not {wrong}",
            where="relora_steps",
            hint="remove relora_steps, or train a plain LoRA",
        )


def _check_shared(base: torch.nn.Module, layers: list[AdaptedLayer]) -> None:
    """A weight that two layers share would get what the adapter of one has learnt."""
    uses = Counter(
        id(p)
        for name, p in base.named_parameters(remove_duplicate=False)
        if not any(part.startswith(_OF_THE_ADAPTER) for part in name.split("."))
    )
    for item in layers:
        if uses[id(item.base.weight)] > 1:
            raise ModelError(
                f"ReLoRA would merge the adapter of '{item.name}' into another layer too: the two "
                "share their weight",
                where="relora_steps",
                hint="leave that layer out of lora_target_modules",
            )
