"""New adapters on a base model: LoRA with all its variants, and prompts in the last layers."""

from __future__ import annotations

import re
from typing import Any, cast

from peft import AdaptionPromptConfig, LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from axolotl.config.adapter import AdapterSection, PeftAdapter
from axolotl.core.console import note
from axolotl.errors import ModelError
from axolotl.models.adapters.starts import begin
from axolotl.models.adapters.targets import (
    beside_experts,
    check_layers,
    check_module_names,
    check_token_indices,
    check_whole_weights,
    chosen_targets,
    linear_names,
    near,
    no_place,
    outside_experts,
    touches_tied_weights,
)
from axolotl.models.quiet import quiet_peft
from axolotl.models.sources import first_line


def check_names(model: PreTrainedModel, adapter: AdapterSection) -> None:
    """Refuse names and numbers of layers that a model does not have; weights are not needed.

    Raises:
        ModelError: names them, and near ones.
    """
    if adapter.adapter == "llama-adapter":
        check_prompts(model.config, adapter)
        return
    check_module_names(model, adapter.lora_modules_to_save or (), key="lora_modules_to_save")
    check_layers(model, adapter)


def attach_new(model: PreTrainedModel, adapter: AdapterSection) -> PeftModel:
    """Put a fresh adapter on `model` and freeze everything else.

    Targets are `lora_target_modules` together with all linear layers if `lora_target_linear`; with
    neither, all linear layers. The output head is never a target by itself. By default B starts at
    zero, so the first forward pass equals the base model (Hu et al. 2021, arXiv 2106.09685); with
    starts that move a part of the weights into the adapter it equals it up to rounding.

    Raises:
        ModelError: the model has nothing of one of the names, or no place for such an adapter.
    """
    check_names(model, adapter)
    if adapter.adapter == "llama-adapter":
        return _attach_prompts(model, adapter)
    check_whole_weights(model, adapter.lora_modules_to_save or ())
    check_token_indices(model, adapter)
    linear, outside = linear_names(model), outside_experts(model)  # peft may fail half-way
    try:
        with quiet_peft():
            adapted: PeftModel = get_peft_model(model, _lora_config(model, adapter))
    except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
        raise _why_not(adapter, error, linear=linear, outside=outside) from error
    _check_patterns(adapted, adapter)
    _check_lengths(adapted)
    fit_layer_types(adapted)
    begin(adapted, adapter)
    _say_passed_over(adapted)
    return adapted


def _say_passed_over(adapted: PeftModel) -> None:
    """Say which linear layers learn nothing, though they are named like the experts that do."""
    if passed := beside_experts(adapted):
        names = ", ".join(sorted({path.rpartition(".")[2] for path in passed}))
        note(
            f"warning: peft takes {names} for the experts, so {len(passed)} linear layers of these "
            f"names get no adapter, such as '{passed[0]}'"
        )


def _lora_config(model: PreTrainedModel, adapter: AdapterSection) -> LoraConfig:
    start = adapter.peft_init_lora_weights
    return LoraConfig(
        r=adapter.lora_r,
        lora_alpha=adapter.lora_alpha,
        lora_dropout=adapter.lora_dropout,
        target_modules=chosen_targets(model, adapter),
        modules_to_save=list(adapter.lora_modules_to_save or []) or None,
        fan_in_fan_out=_transposed(model, adapter),
        use_dora=adapter.peft_use_dora,
        use_rslora=adapter.peft_use_rslora,
        init_lora_weights=True if start in (None, "loftq") else cast(Any, start),
        layers_to_transform=adapter.peft_layers_to_transform,
        layers_pattern=adapter.peft_layers_pattern,
        layer_replication=cast(Any, adapter.peft_layer_replication),
        trainable_token_indices=adapter.peft_trainable_token_indices,
        rank_pattern=dict(adapter.lora_rank_pattern or {}),
        alpha_pattern=dict(adapter.lora_alpha_pattern or {}),
        ensure_weight_tying=touches_tied_weights(model, adapter),
        bias="none",
        task_type="CAUSAL_LM",
    )


def _transposed(model: PreTrainedModel, adapter: AdapterSection) -> bool:
    """Whether the adapted layers store their weights transposed: the model knows, not the file."""
    has = any(isinstance(module, Conv1D) for module in model.modules())
    if adapter.lora_fan_in_fan_out and not has:
        note(
            "lora_fan_in_fan_out: no layer of this model stores its weights transposed, so it is "
            "taken as false"
        )
    return has


def _why_not(
    adapter: AdapterSection, error: Exception, *, linear: list[str], outside: list[str]
) -> ModelError:
    """What peft refused, under the option that asked for it.

    Args:
        adapter: The options.
        error: What it said.
        linear: Names of the model's linear layers.
        outside: Those that are no part of its experts.
    """
    said = first_line(error)
    if "ParamWrapper" in said and "dropout" in said:
        return ModelError(
            "the adapter goes on experts, whose weights are no layers of their own, and nothing "
            "can be dropped out of their inputs",
            where="lora_dropout",
            hint="write `lora_dropout: 0`, or leave the experts out: "
            f"`lora_target_modules: [{', '.join(outside)}]`, without lora_target_linear",
        )
    if "layer_replication" in said or "locate the layers" in said:
        return ModelError(
            f"the layers of this model cannot be stacked: {said}",
            where="peft_layer_replication",
            hint="remove peft_layer_replication",
        )
    missing = "not found in the base model" in said or "No modules were targeted" in said
    start = adapter.peft_init_lora_weights
    if start not in (None, True, False) and not missing:
        return ModelError(
            f"the adapter cannot begin with '{start}' on this model: {said}",
            where="peft_init_lora_weights",
            hint="name other layers in lora_target_modules, or remove peft_init_lora_weights",
        )
    if adapter.peft_use_dora and not missing:
        return ModelError(
            f"DoRA does not fit this model: {said}",
            where="peft_use_dora",
            hint=f"DoRA is for linear layers, which are {', '.join(linear)}",
        )
    return no_place(adapter, said, linear=linear)


def _check_patterns(adapted: PeftModel, adapter: AdapterSection) -> None:
    """Refuse a pattern that no adapted layer has: its rank or alpha would be without effect.

    Raises:
        ModelError: names near layers.
    """
    prefix = "base_model.model."
    names = [
        name.removeprefix(prefix)
        for name, module in adapted.named_modules()
        if isinstance(module, LoraLayer)
    ]
    for key in ("lora_rank_pattern", "lora_alpha_pattern"):
        for pattern in getattr(adapter, key) or {}:
            try:
                matched = any(re.match(rf"(.*\.)?({pattern})$", name) for name in names)
            except re.error as error:
                raise ModelError(
                    f"'{pattern}' is no regular expression: {error}",
                    where=key,
                    hint="write the end of a layer's name, such as q_proj",
                ) from error
            if not matched:
                ends = sorted({name.rpartition(".")[2] for name in names})
                raise ModelError(
                    f"no adapted layer is called '{pattern}'",
                    where=key,
                    hint=f"{near(pattern, ends)}the adapted layers are {', '.join(ends)}",
                )


def _check_lengths(adapted: PeftModel) -> None:
    """Refuse DoRA where it would divide by zero: on a weight with a row of zeros, such as a pad's.

    Raises:
        ModelError: names the layer.
    """
    for name, parameter in adapted.named_parameters():
        if ".lora_magnitude_vector." in name and not parameter.detach().all():
            layer = name.partition(".lora_magnitude_vector.")[0].removeprefix("base_model.model.")
            raise ModelError(
                f"DoRA divides by the length of each part of a weight, and one of '{layer}' is zero",
                where="peft_use_dora",
                hint=f"leave {layer.rpartition('.')[2]} out of lora_target_modules",
            )


def fit_layer_types(adapted: PeftModel) -> None:
    """Let the configuration of a model with stacked layers say of each copy what kind it is."""
    config: Any = adapted.config
    pairs = getattr(adapted.peft_config["default"], "layer_replication", None)
    kinds = getattr(config, "layer_types", None)
    if pairs and kinds:
        config.layer_types = [kinds[i] for start, end in pairs for i in range(start, end)]


def _attach_prompts(model: PreTrainedModel, adapter: AdapterSection) -> PeftModel:
    """Trained prompts in the attention of the last layers (Zhang et al. 2023, arXiv 2303.16199)."""
    asked, have = adapter.peft_adapter or PeftAdapter(), model.config.num_hidden_layers
    settings = AdaptionPromptConfig(
        adapter_len=asked.len, adapter_layers=min(asked.layers, have), task_type="CAUSAL_LM"
    )
    with quiet_peft():
        return get_peft_model(model, settings)


def check_prompts(config: Any, adapter: AdapterSection) -> None:
    """Refuse trained prompts for a model that peft has none for.

    Args:
        config: The model's configuration.
        adapter: The options.

    Raises:
        ModelError: it is of another kind, or has fewer layers than are asked for.
    """
    asked = adapter.peft_adapter or PeftAdapter()
    if config.model_type not in _PROMPTED or not _has_known_heads(config):
        raise ModelError(
            f"peft has no such prompts for this model ('{config.model_type}')",
            where="adapter",
            hint=f"they fit models of the kinds {' and '.join(_PROMPTED)}; write `adapter: lora`",
        )
    have = config.num_hidden_layers
    if asked.layers > have and "layers" in asked.model_fields_set:
        raise ModelError(
            f"the model has {have} layers, not {asked.layers}",
            where="peft_adapter.layers",
            hint=f"write `layers: {have}` or less",
        )


_PROMPTED = ("llama", "mistral")


def _has_known_heads(config: Any) -> bool:
    """Whether the heads share the hidden width among them, as peft takes it."""
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return width * config.num_attention_heads == config.hidden_size
