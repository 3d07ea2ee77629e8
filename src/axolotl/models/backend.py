"""What a model asks of its attention, read from its class and configuration."""

from __future__ import annotations

from typing import Any

from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedConfig

from axolotl.attention import Choice, Need, choose
from axolotl.config.model import ModelSection
from axolotl.models.load import model_config


def attention_need(config: PreTrainedConfig) -> Need:
    """Facts for the choice of an attention backend; no weights are loaded.

    A class that transformers does not map, such as one from the hub, is taken to know only its own
    eager attention.
    """
    model_class: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if isinstance(model_class, tuple):
        model_class = model_class[0]
    return Need(
        model_type=str(config.model_type),
        interface=bool(getattr(model_class, "_supports_attention_backend", False)),
        sdpa=bool(getattr(model_class, "_supports_sdpa", False)),
        softcap=getattr(config, "attn_logit_softcapping", None) is not None,
    )


def choose_attention(model: ModelSection, requested: str | None, *, where: str) -> Choice:
    """The attention backend for a model, before its weights are loaded.

    Args:
        model: The model's options.
        requested: Value of `attn_implementation`, or None.
        where: Where that was written.

    Raises:
        ConfigError: the requested one cannot serve this model.
    """
    return choose(requested, attention_need(model_config(model)), where=where)
