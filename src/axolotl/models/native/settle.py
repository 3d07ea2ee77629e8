"""What is rebuilt in a model after it has loaded: what the file asks for, and what it remembers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from transformers import PreTrainedConfig

from axolotl.attention import landmark
from axolotl.config.attention import AttentionSection
from axolotl.core.console import note_once
from axolotl.errors import ConfigError, ModelError
from axolotl.models.native.landmark import Landmarks, landmarks_of, settle_landmarks
from axolotl.models.native.xpos import scale_base_of, settle_xpos

_OPTIONS = {"landmark_attention": "landmark attention", "xpos_rope": "xPos"}


def check_native(config: PreTrainedConfig, attention: AttentionSection) -> None:
    """Refuse what is rebuilt for another kind of model, and data that is not as the model was trained.

    Nothing is loaded yet, and no data prepared.

    Args:
        config: The model's.
        attention: What the file asks for.

    Raises:
        ConfigError: names the option.
    """
    for option, name in _OPTIONS.items():
        if getattr(attention, option) and config.model_type != "llama":
            raise ConfigError(
                option,
                f"{name} is for Llama models, and the base model is {config.model_type}",
                where=option,
                hint=f"remove {option}",
            )
    if landmarks_of(config) and not attention.landmark_attention:
        raise ConfigError(
            "landmark_attention",
            "the base model was trained with landmarks, and this file puts none into the data",
            where="landmark_attention",
            hint="write `landmark_attention: true`; to train on as a plain Llama, remove "
            "landmark_attention from the model's config.json",
        )


def settle_native(
    model: Any,
    *,
    tokenizer: Any,
    landmarks: bool,
    xpos: bool,
    sequence_len: int | None = None,
) -> None:
    """Rebuild what is asked for, and what the model was trained with, as its configuration says.

    Args:
        model: A model as it was loaded, without adapter.
        tokenizer: Knows the landmark.
        landmarks: Whether it is trained with landmarks.
        xpos: Whether it gets xPos positions.
        sequence_len: Longest sample in tokens that it is opened for, if that is known.

    Raises:
        ModelError: it is no Llama, its number format does not bear xPos over so many tokens, or there is no landmark among the tokens.
    """
    if scale_base_of(model.config) is not None and not xpos:
        note_once("the model was trained with xPos positions: they are used")
        xpos = True
    if xpos:
        settle_xpos(model, sequence_len=sequence_len)
    known = landmarks_of(model.config)
    if landmarks:
        token = _token(tokenizer)
        known = replace(known, token_id=token) if known else Landmarks(token)
    if known:
        settle_landmarks(model, known)


def read_as_trained(model: Any) -> None:
    """Let a model answer as it was trained, by what its configuration says.

    Args:
        model: A model of transformers, without adapter, however it was loaded.
    """
    if scale_base_of(model.config) is not None:
        settle_xpos(model)
    if known := landmarks_of(model.config):
        settle_landmarks(model, known)
        model.set_attn_implementation(landmark.NAME)


def _token(tokenizer: Any) -> int:
    """Number of the landmark.

    Raises:
        ModelError: the tokenizer has none.
    """
    token = tokenizer.get_vocab().get(landmark.TOKEN) if tokenizer is not None else None
    if token is None:
        raise ModelError(
            f"the tokenizer has no token '{landmark.TOKEN}'",
            where="attn_implementation",
            hint="write `landmark_attention: true`, which adds it, in place of attn_implementation",
        )
    return token
