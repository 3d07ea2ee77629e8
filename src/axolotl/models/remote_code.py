"""Python code that comes with a model, where the file lets it run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from axolotl.core.console import note_once


def say_if_elsewhere(source: str, named: Any) -> None:
    """Say it once where a model takes code from another repository than its own.

    transformers takes the newest there is there; a revision of the model does not hold for it.

    Args:
        source: Folder or hub id of the model or tokenizer.
        named: The `auto_map` of its configuration: class of transformers → `module.Class`, with
            `owner/name--` in front for code that lies elsewhere; a list of such in old tokenizers.
    """
    for place in sorted({place for place in _places(named) if place != source}):
        note_once(
            f"trust_remote_code: '{source}' has Python code of '{place}' run, as it is there now; "
            "model_revision does not pin it"
        )


def _places(named: Any) -> Iterable[str]:
    if isinstance(named, dict):
        named = list(named.values())
    for name in named if isinstance(named, (list, tuple)) else [named]:
        if isinstance(name, (list, tuple)):
            yield from _places(name)
        elif isinstance(name, str) and "--" in name:
            yield name.partition("--")[0]
