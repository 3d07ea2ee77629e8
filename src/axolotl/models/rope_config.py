"""What a configuration says of a model's positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axolotl.config.attention import RopeScaling

STRETCHED_LAYERS = "full_attention"
"""Where each kind of attention layer has settings of its own, those that see the whole sample."""
NAME_LENGTH = ("yarn", "llama3", "longrope")
"""Kinds whose formula asks `rope_parameters` for the own length of the model."""


def text_config(config: Any) -> Any:
    """The part of a configuration that speaks of the language model."""
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def scaling_of(config: Any) -> Mapping[str, Any] | None:
    """The `rope_parameters` by which samples as a whole are turned; None without rotary positions."""
    own = text_config(config)
    given = getattr(own, "rope_parameters", None)
    if not isinstance(given, dict) or not given or getattr(own, "alibi", False):
        return None
    return given.get(STRETCHED_LAYERS) if is_nested(given) else given


def reach(config: Any) -> int | None:
    """Longest sample in tokens that a model is made for; None where it names no number.

    With `dynamic` scaling that is more than its `max_position_embeddings`.
    """
    limit = length_named(text_config(config))
    if limit is None:
        return None
    scaling = scaling_of(config) or {}
    if scaling.get("rope_type") == "dynamic":
        return int(limit * scaling["factor"])
    return limit


def carries(scaling: Mapping[str, Any], asked: RopeScaling, *, length: int | None) -> bool:
    """Whether a configuration already says what is asked for.

    Args:
        scaling: Its `rope_parameters`.
        asked: The option.
        length: Its `max_position_embeddings`, by which `dynamic` measures; None where that is not
            known, and not compared.
    """
    wanted = asked.parameters()
    if asked.type not in NAME_LENGTH:
        own = wanted.pop("original_max_position_embeddings", None)
        if asked.type == "dynamic" and None not in (own, length) and own != length:
            return False
    return all(scaling.get(key) == value for key, value in wanted.items())


def length_named(own: Any) -> int | None:
    """The number of positions that a configuration names, if it names one."""
    limit = getattr(own, "max_position_embeddings", None)
    return limit if positive(limit) else None


def positive(value: Any) -> bool:
    """Whether it is a whole number above 0."""
    return isinstance(value, int) and value > 0


def is_nested(given: Mapping[str, Any]) -> bool:
    """Whether `rope_parameters` stand under each kind of attention layer."""
    return "rope_type" not in given and any(
        value is None or isinstance(value, dict) for value in given.values()
    )


def told(scaling: Mapping[str, Any]) -> str:
    """A scaling in a few words."""
    kind, factor = scaling.get("rope_type", "default"), scaling.get("factor")
    if kind == "default":
        return "no rope scaling"
    return f"rope scaling {kind}" + (f" {factor:g}" if factor else "")
