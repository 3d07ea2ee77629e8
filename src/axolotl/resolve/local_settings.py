"""What the base model says of itself, where it lies in a folder here: read without loading anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from axolotl.config.model import ModelSection


def local_settings(model: ModelSection) -> Mapping[str, Any] | None:
    """The `config.json` of a model in a folder here; None for any other, and for a damaged one.

    What is wrong with a damaged one is said where it is loaded.
    """
    file = Path(model.base_model_config or model.base_model).expanduser() / "config.json"
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    settings = cast(dict[str, Any], found)
    text = settings.get("text_config")
    return {**settings, **cast(dict[str, Any], text)} if isinstance(text, dict) else settings
