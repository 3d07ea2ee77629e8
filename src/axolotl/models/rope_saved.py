"""What an adapter says of its base model's positions, which no configuration of its own does."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from axolotl.config.attention import RopeScaling
from axolotl.core.atomic import write_json
from axolotl.core.console import note_once
from axolotl.errors import ModelError
from axolotl.models.rope_config import (
    STRETCHED_LAYERS,
    carries,
    length_named,
    scaling_of,
    text_config,
    told,
)

POSITIONS_FILE = "base_config.json"
"""Beside an adapter: what the base model's configuration has to say while the adapter is on it."""
_OF_POSITIONS = (
    *("rope_parameters", "max_position_embeddings", "original_max_position_embeddings"),
    *("max_seq_len", "max_sequence_length", "head_dim"),
    *("xpos_rope", "landmark_attention"),
)
CHANGES = "changed_positions"
"""Attribute of a loaded model: what of its configuration is not as in the folder it came from."""


def set_saved(config: PreTrainedConfig, saved: Mapping[str, Any]) -> None:
    """Set what an adapter was trained with, as `saved_positions` read it."""
    own = text_config(config)
    for key, value in copy.deepcopy(dict(saved)).items():
        setattr(own, key, value)


def settled(
    asked: RopeScaling | None, adapter: Path | None
) -> tuple[RopeScaling | None, Mapping[str, Any]]:
    """What to set on a base model that an adapter is put on.

    Args:
        asked: `rope_scaling` of the file.
        adapter: Folder of a saved adapter; None for a new one, or none.

    Returns:
        What is still to be set by the option, and what is set by what the adapter was trained with.

    Raises:
        ModelError: the file asks for another scaling than the adapter was trained with.
    """
    saved = saved_positions(adapter) if adapter is not None else {}
    given = saved.get("rope_parameters")
    if not given:
        return asked, saved
    scaling = given.get(STRETCHED_LAYERS, given)
    length = saved.get("max_position_embeddings")
    if asked is not None and not carries(scaling, asked, length=length):
        raise ModelError(
            f"the adapter in '{adapter}' was trained with {told(scaling)}, and the file asks for "
            f"{told(asked.parameters())}",
            where="rope_scaling",
            hint="leave rope_scaling out: what the adapter was trained with is taken",
        )
    if asked is None:
        note_once(
            f"positions are stretched as the adapter in '{adapter}' was trained: {told(scaling)}"
        )
    return None, saved


def saved_positions(folder: Path) -> Mapping[str, Any]:
    """What an adapter's folder says of the base model's configuration; nothing where it says nothing.

    Raises:
        ModelError: the file is damaged.
    """
    file = folder / POSITIONS_FILE
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text("utf-8"))
        return {key: value for key, value in content.items() if key in _OF_POSITIONS}
    except (ValueError, AttributeError) as error:
        raise ModelError(
            f"'{file}' cannot be read: {error}",
            hint="it says how the positions were stretched in training: fetch it again",
        ) from error


def changes(before: Any, after: Any) -> dict[str, Any]:
    """What of a configuration has been set otherwise here."""
    old, new = text_config(before), text_config(after)
    now = {key: getattr(new, key) for key in _OF_POSITIONS if hasattr(new, key)}
    return {key: value for key, value in now.items() if value != getattr(old, key, None)}


def write_positions(model: Any, folder: Path) -> None:
    """Write beside an adapter what its base model's configuration has to say.

    Args:
        model: A model with an adapter of peft; of any other, its own `config.json` says it.
        folder: Where the adapter is.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else None
    if base is not None and (changed := vars(base).get(CHANGES)):
        write_json(folder / POSITIONS_FILE, changed)


def say_left_aside(config: Any, asked: RopeScaling | None, source: str) -> None:
    """Say where a trained model is stretched otherwise than the file asks; the model counts."""
    scaling = scaling_of(config) or {}
    length = length_named(text_config(config))
    if asked is not None and not carries(scaling, asked, length=length):
        note_once(
            f"warning: rope_scaling of the file is left aside: '{source}' was trained with "
            f"{told(scaling)}"
        )
