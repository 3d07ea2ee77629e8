"""Whether an adapter is gone on with by the tokens that it was trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from axolotl.core.console import note
from axolotl.errors import ModelError

_SHOWN = 5
_TRAINS_TOKENS = ("modules_to_save", "trainable_token_indices")


def check_same_tokens(folder: Path, tokenizer: Any) -> None:
    """Compare the added tokens of the tokenizer saved beside an adapter with those of this run.

    Where the adapter has learnt embeddings, those of missing tokens would be lost or be another
    token's; else a line says that such texts are now read in pieces.

    Args:
        folder: The adapter; without a tokenizer beside it nothing is known and nothing is done.
        tokenizer: That of this run.

    Raises:
        ModelError: tokens are missing, or have other numbers, and the adapter trains embeddings.
    """
    here = tokenizer.get_vocab()
    missing = [text for text, number in _added(folder).items() if here.get(text) != number]
    if not missing:
        return
    shown = ", ".join(missing[:_SHOWN]) + (" …" if len(missing) > _SHOWN else "")
    problem = f"the adapter was trained with tokens that the tokenizer of this run lacks: {shown}"
    way = f"write `tokenizer_config: {folder}`, or the `tokens` and `special_tokens` of its run"
    settings = _json(folder / "adapter_config.json")
    if any(settings.get(key) for key in _TRAINS_TOKENS):
        raise ModelError(problem, where="lora_model_dir", hint=way)
    note(f"warning: {problem}; {way}")


def _added(folder: Path) -> dict[str, int]:
    """The tokens that were added to a vocabulary, and their numbers."""
    listed = _json(folder / "tokenizer.json").get("added_tokens")
    if listed is not None:
        return {token["content"]: token["id"] for token in listed}
    numbered = _json(folder / "tokenizer_config.json").get("added_tokens_decoder", {})
    return {token["content"]: int(number) for number, token in numbered.items()}


def _json(file: Path) -> dict[str, Any]:
    """What a file says; nothing where there is none."""
    if not file.is_file():
        return {}
    try:
        return json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ModelError(
            f"'{file}' is not JSON: {error}", where="lora_model_dir", hint="copy it again"
        ) from error
