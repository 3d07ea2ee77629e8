"""Tiny random models of an architecture, for rehearsals, tests and measurements."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig


def tiny_config(of: PreTrainedConfig | str, *, vocabulary: int = 512) -> PreTrainedConfig:
    """The configuration of a tiny model of the same architecture: two layers, hidden width 64.

    Args:
        of: The configuration to be made small, or a `model_type`.
        vocabulary: Rows of the embeddings.

    Raises:
        ModelError: transformers knows no causal language model of that type.
    """
    raise NotImplementedError


def tiny_model(of: PreTrainedConfig | str, *, vocabulary: int = 512, seed: int = 0) -> Any:
    """A random model by `tiny_config`, fp32, in eval mode; the same for the same seed."""
    raise NotImplementedError
