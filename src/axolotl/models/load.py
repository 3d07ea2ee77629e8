"""Loading the base model: class, precision, attention, embeddings that fit the tokenizer."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from axolotl.architectures import facts_of
from axolotl.attention import landmark
from axolotl.config import Sections
from axolotl.config.attention import RopeScaling
from axolotl.config.model import ModelSection
from axolotl.config.precision import PrecisionSection
from axolotl.core.console import note
from axolotl.errors import ModelError
from axolotl.models.native import btlm
from axolotl.models.native.settle import settle_native
from axolotl.models.quantized import Quantized
from axolotl.models.quiet import no_library_bars
from axolotl.models.remote_code import say_if_elsewhere
from axolotl.models.rope import fit_length, settle_positions, stretch
from axolotl.models.rope_saved import set_saved, settled
from axolotl.models.sources import asked_briefly, base_source, first_line, hub_token, local_source
from axolotl.models.stored_form import bnb_form_of


def weight_dtype(precision: PrecisionSection) -> torch.dtype:
    """The dtype in which trained weights are held.

    `bfloat16` and `float16` hold them in half precision. Everything else, autocast included, keeps
    fp32 master weights: pure half-precision weights lose small updates under AdamW.
    """
    if precision.bfloat16:
        return torch.bfloat16
    if precision.float16:
        return torch.float16
    return torch.float32


def base_dtype(sections: Sections) -> torch.dtype:
    """The dtype in which the weights of the base model are held.

    Under an adapter they are frozen, so with `bf16: true` they are held in what they are multiplied
    in. They stay as `weight_dtype` says where the training changes them: without an adapter, where
    ReLoRA merges it into them, and where an adapter begins with a part of them (PiSSA, OLoRA,
    LoftQ), of which rounding would lose the rest.
    """
    adapter = sections.adapter
    start = str(adapter.peft_init_lora_weights)
    moved = start.startswith("pissa") or start in ("olora", "loftq")
    frozen = adapter.adapter is not None and not sections.relora.relora_steps and not moved
    if sections.precision.bf16 is True and frozen:
        return torch.bfloat16
    return weight_dtype(sections.precision)


def open_model(
    model: ModelSection,
    *,
    dtype: torch.dtype,
    attn_implementation: str,
    tokenizer: PreTrainedTokenizerBase,
    sequence_len: int | None = None,
    quantized: Quantized | None = None,
    rope_scaling: RopeScaling | None = None,
    adapter: Path | None = None,
    xpos: bool = False,
) -> PreTrainedModel:
    """Load the base model and make its embeddings large enough for the tokenizer.

    Args:
        model: What to load.
        dtype: dtype of the weights.
        attn_implementation: Name of an attention function that transformers knows.
        tokenizer: Decides how many embeddings are needed.
        sequence_len: Longest sequence in tokens; a model with fewer learned positions is refused.
        quantized: How its frozen weights are held; None for whole ones.
        rope_scaling: How its rotary positions are to be stretched.
        adapter: Folder of the saved adapter that is to be put on it; positions are stretched as it
            was trained.
        xpos: Whether they are to be xPos positions.

    Raises:
        ModelError: nothing loads from there, or its positions cannot be stretched so.
    """
    source = base_source(model)
    before = model_config(model)
    config, stretched = _with_positions(
        model, before, sequence_len, rope_scaling, adapter, source=source
    )
    arguments: dict[str, Any] = {"dtype": dtype, "attn_implementation": attn_implementation}
    if quantized is not None and quantized.kind == "gptq":
        from axolotl.models.gptq import open_gptq

        loaded = open_gptq(model, config, quantized=quantized, load=_from_pretrained, **arguments)
    else:
        stored = bnb_form_of(config, quantized, source)
        loaded = _open_few_bits(model, source, config, quantized, stored=stored, **arguments)
    landmarks = attn_implementation == landmark.NAME
    settle_native(
        loaded, tokenizer=tokenizer, landmarks=landmarks, xpos=xpos, sequence_len=sequence_len
    )
    settle_positions(loaded, source, before=before, asked=stretched)
    fit_embeddings(loaded, tokenizer, multiple=32 if model.resize_token_embeddings_to_32x else 1)
    return loaded


def planned_config(
    model: ModelSection,
    *,
    sequence_len: int | None = None,
    rope_scaling: RopeScaling | None = None,
    adapter: Path | None = None,
) -> PreTrainedConfig:
    """The configuration that `open_model` would load with, its positions stretched.

    Raises:
        ModelError: none loads, or its positions cannot be stretched so.
    """
    before, source = model_config(model), base_source(model)
    return _with_positions(model, before, sequence_len, rope_scaling, adapter, source=source)[0]


def _with_positions(
    model: ModelSection,
    before: PreTrainedConfig,
    sequence_len: int | None,
    rope_scaling: RopeScaling | None,
    adapter: Path | None,
    *,
    source: str,
) -> tuple[PreTrainedConfig, bool]:
    """A configuration with positions as asked for, and whether they are stretched."""
    config = copy.deepcopy(before)
    asked, saved = settled(rope_scaling, adapter)
    set_saved(config, saved)
    if asked is not None:
        stretch(config, asked, source=source)
    if sequence_len is not None:
        _check_positions(model, config, sequence_len, source)
    return config, asked is not None or "rope_parameters" in saved


def _open_few_bits(
    model: ModelSection,
    source: str,
    config: Any,
    quantized: Quantized | None,
    *,
    stored: bool,
    **arguments: Any,
) -> PreTrainedModel:
    """Load what is whole, or what bitsandbytes quantises or has quantised, in the form asked for."""
    if quantized is None and not stored:
        return _from_pretrained(model, source, config, **arguments)
    from axolotl.models import bnb
    from axolotl.models.left_whole import check_share

    form = quantized or Quantized("nf4", asked_by="base_model")
    left: list[str] = []
    if quantized is not None:
        skeleton = empty_model(model, config)
        form = replace(form, skip=(*form.skip, *_read_past(skeleton)))
        check_share(skeleton, form)
        if form.skip:
            left = bnb.names_left_whole(skeleton, form.skip)
    extra = bnb.loading_arguments(form, whole=left)
    if stored:  # the checkpoint says how it is quantised, but not in what to compute
        settings = extra.pop("quantization_config")
        config.quantization_config["bnb_4bit_compute_dtype"] = settings.bnb_4bit_compute_dtype
    with bnb.plain_layers():
        loaded = _from_pretrained(model, source, config, **arguments, **extra)
    if quantized is None:
        note("the weights of the base model, stored in few bits, are made whole")
        return bnb.made_whole(loaded, dtype=arguments["dtype"])
    bnb.settle(loaded, quantized)
    return loaded


def _read_past(skeleton: Any) -> list[str]:
    """Layers that would fail as packed ones: the model's code takes their weight."""
    facts = facts_of(str(skeleton.config.model_type))
    paths = [path for path, _ in skeleton.named_modules()]
    return [
        end for end in (facts.read_past if facts else ()) if any(p.endswith(end) for p in paths)
    ]


def empty_model(model: ModelSection, config: PreTrainedConfig) -> Any:
    """The base model without weights.

    Args:
        model: Names its class, if any.
        config: Its configuration.
    """
    loader = _loader(model.model_type)
    with torch.device("meta"):
        if hasattr(loader, "from_config"):
            return loader.from_config(config, trust_remote_code=model.trust_remote_code)
        return loader(config)


def _from_pretrained(
    model: ModelSection, source: str, config: PreTrainedConfig, **arguments: Any
) -> PreTrainedModel:
    """Load by the model's class, and refuse what is no language model."""
    loader = _loader(model.model_type)
    try:
        with no_library_bars(), asked_briefly(source):
            loaded = loader.from_pretrained(
                source,
                config=config,
                revision=model.model_revision or "main",
                trust_remote_code=model.trust_remote_code,
                **arguments,
                **hub_token(model),
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(
            f"the model does not load from '{source}': {first_line(error)}",
            hint=btlm.way_out(config) or _load_hint(error),
        ) from error
    if loader is not AutoModelForCausalLM and loaded.get_output_embeddings() is None:
        raise _no_language_model(model.model_type, "has no output head over the vocabulary")
    return loaded


def fit_embeddings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, multiple: int = 1
) -> None:
    """Enlarge the embeddings to the tokenizer's size, rounded up to `multiple`; never shrink them.

    New rows start at the mean of the old ones, which the library recommends: a random row has an
    unlikely norm and a loss spike of its own.
    """
    target = -(-len(tokenizer) // multiple) * multiple
    weight: Any = model.get_input_embeddings().weight
    have = weight.shape[0]
    if have >= target:
        model.tie_weights()
        return
    note(
        f"embeddings grow from {have} to {target} rows, for the tokenizer's {len(tokenizer)} tokens"
    )
    if getattr(model, "quantization_method", None) == "gptq":
        from axolotl.models.gptq import unpack_head

        unpack_head(model)
    model.resize_token_embeddings(target, mean_resizing=True)


def model_config(model: ModelSection) -> PreTrainedConfig:
    """The configuration of the base model, or of `base_model_config` where that is named.

    Raises:
        ModelError: none loads from there.
    """
    other = model.base_model_config
    place = local_source(other) if other else base_source(model)
    revision = None if other else model.model_revision
    where: dict[str, Any] = {"revision": revision or "main", **hub_token(model)}
    trusted = model.trust_remote_code
    try:
        with asked_briefly(place):
            btlm.choose(place, trust_remote_code=trusted, **where)
            if trusted:
                settings, _ = PreTrainedConfig.get_config_dict(place, **where)
                say_if_elsewhere(place, settings.get("auto_map"))
            config = AutoConfig.from_pretrained(place, trust_remote_code=trusted, **where)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"no model configuration loads from '{place}': {first_line(error)}",
            hint=_load_hint(error),
        ) from error
    btlm.settle(config)
    return config


def _check_positions(
    model: ModelSection, config: PreTrainedConfig, sequence_len: int, source: str
) -> None:
    """Have the configuration name as many positions as the sequences have tokens, where that works.

    Positions with a weight each are as many as were learnt. Whether a model has such is seen from
    its weights: those of a model with more positions would have another shape.
    """

    def shapes(one: PreTrainedConfig) -> dict[str, Any]:
        return {name: weight.shape for name, weight in empty_model(model, one).named_parameters()}

    fit_length(config, sequence_len, source=source, shapes=shapes)


def _loader(model_type: str | None) -> Any:
    if model_type in (None, "AutoModelForCausalLM"):
        return AutoModelForCausalLM
    import transformers

    loader = getattr(transformers, str(model_type), None)
    if loader is None:
        raise ModelError(
            f"transformers has no model class '{model_type}'",
            where="model_type",
            hint="leave model_type out: the class is read from the model's config.json",
        )
    is_model = isinstance(loader, type) and issubclass(loader, PreTrainedModel)
    if not is_model and not str(model_type).startswith("AutoModel"):
        raise _no_language_model(model_type, "is no model")
    return loader


def _no_language_model(model_type: str | None, why: str) -> ModelError:
    return ModelError(
        f"the class '{model_type}' {why}",
        where="model_type",
        hint="name a class such as LlamaForCausalLM, or leave model_type out: it is read from the "
        "model's config.json",
    )


def _load_hint(error: BaseException) -> str:
    text = str(error)
    if "trust_remote_code" in text:
        return "the model brings its own code: read it, then set trust_remote_code: true"
    if (
        isinstance(error, SafetensorError)
        or "safetensors" in text.lower()
        or "size mismatch" in text
    ):
        return "the weights do not fit the configuration or are damaged: fetch them again"
    if isinstance(error, OSError):
        return "is the name right, and can this machine reach the hub? a local folder works too"
    return "check that model_type and the folder belong together"
