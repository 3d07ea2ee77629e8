"""Options as they may leave this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from axolotl.data.fetched import shown


def without_secrets(values: Any) -> Any:
    """The same values; addresses without what may hold a password or a token.

    >>> without_secrets({"path": "https://me:password@host/a.jsonl?token=1", "lora_r": 8})
    {'path': 'https://host/a.jsonl', 'lora_r': 8}
    """
    if isinstance(values, str):
        return shown(values) if "://" in values.partition(" ")[0] else values
    if isinstance(values, Mapping):
        inner = cast("Mapping[Any, Any]", values)
        return {key: without_secrets(value) for key, value in inner.items()}
    if isinstance(values, list | tuple):
        return [without_secrets(value) for value in cast("list[Any]", values)]
    return values
