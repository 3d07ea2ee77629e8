"""Which models can be exported, and what their files say of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from axolotl.core.console import note
from axolotl.errors import ModelError
from axolotl.models.native.landmark import landmarks_of
from axolotl.models.native.xpos import scale_base_of


@dataclass(frozen=True)
class Family:
    """A kind of model as llama.cpp knows it.

    Args:
        arch: Its name in a GGUF file.
        turned: Whether llama.cpp pairs neighbouring numbers of a head for the rotary positions, and
            not, as transformers does, those of its two halves: rows of query and key then change places.
    """

    arch: str
    turned: bool = False


FAMILIES: Mapping[str, Family] = {
    "llama": Family("llama", turned=True),
    "mistral": Family("llama", turned=True),
    "qwen2": Family("qwen2"),
    "qwen3": Family("qwen3"),
}
"""`model_type` of a configuration → what it is there. SmolLM, TinyLlama and CodeLlama are Llamas."""


def family_of(config: Any) -> Family:
    """What a model is in GGUF.

    Args:
        config: Its configuration.

    Raises:
        ModelError: it cannot be exported; says what can.
    """
    kind = config.model_type
    if kind not in FAMILIES:
        raise ModelError(
            f"a model of the type '{kind}' cannot be exported to GGUF",
            hint=f"these can: {', '.join(FAMILIES)}; for others, merge, and let llama.cpp's own "
            "convert_hf_to_gguf.py read the merged folder",
        )
    for found, what in (
        (scale_base_of(config) is not None, "xPos positions"),
        (landmarks_of(config) is not None, "landmark attention"),
    ):
        if found:
            raise ModelError(
                f"a model with {what} cannot be exported to GGUF: llama.cpp does not compute it",
                hint="answer from it with axolotl inference",
            )
    return FAMILIES[kind]


def head_width(config: Any) -> int:
    """Numbers of one attention head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def write_sizes(writer: Any, config: Any) -> None:
    """Write what the model measures.

    Args:
        writer: A `gguf.GGUFWriter`.
        config: The model's configuration.

    Raises:
        ModelError: its positions are stretched in a way that llama.cpp has not.
    """
    width = head_width(config)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(_context(config))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rope = _rope(config)
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    _write_stretching(writer, rope)


def _context(config: Any) -> int:
    """Tokens that the model may read at once: no more than its window, where it has one.

    llama.cpp computes none for these models; as far as it reaches, there is no difference.
    """
    longest, window = config.max_position_embeddings, getattr(config, "sliding_window", None)
    if window is None or window >= longest:
        return longest
    note(
        f"the model's attention reaches {window:,} tokens back, which llama.cpp does not limit: the "
        f"file names a context of {window:,} tokens"
    )
    return window


def rope_factors(config: Any) -> torch.Tensor | None:
    """What each rotary frequency is divided by, where the model scales them one by one; fp32.

    Llama 3.1 leaves fast frequencies as they are, divides slow ones by `factor`, and blends between.
    """
    rope = _rope(config)
    if rope.get("rope_type") != "llama3":
        return None
    width = head_width(config)
    frequencies = float(rope["rope_theta"]) ** -(torch.arange(0, width, 2).float() / width)
    wavelengths = 2 * math.pi / frequencies
    factor, trained = float(rope["factor"]), rope["original_max_position_embeddings"]
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    smooth = ((trained / wavelengths - low) / (high - low)).clamp(0, 1)
    return 1 / ((1 - smooth) / factor + smooth)


def _rope(config: Any) -> Mapping[str, Any]:
    return config.rope_parameters or {}


def _write_stretching(writer: Any, rope: Mapping[str, Any]) -> None:
    import gguf

    kind = rope.get("rope_type", "default")
    if kind in ("default", "llama3"):
        return
    if kind not in ("linear", "yarn"):
        raise ModelError(
            f"a model with positions stretched by '{kind}' cannot be exported to GGUF",
            hint="linear, yarn and llama3 can",
        )
    writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
    writer.add_rope_scaling_factor(float(rope["factor"]))
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(int(rope["original_max_position_embeddings"]))
