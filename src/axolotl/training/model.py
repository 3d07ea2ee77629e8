"""The model to be trained: base, adapter, and what may learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from axolotl.errors import ModelError
from axolotl.models.adapters import attach_new, attach_saved
from axolotl.models.load import open_model, weight_dtype
from axolotl.models.tokenizer import new_tokens
from axolotl.resolve import Resolved


def build_model(resolved: Resolved, *, attention: str, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Base model with its adapter, in training mode.

    Args:
        resolved: The configuration.
        attention: Name of the attention backend.
        tokenizer: Decides the number of embeddings.

    Raises:
        ModelError: nothing in the model would be trained.
    """
    adapter = resolved.adapter
    if adapter.adapter is not None and adapter.lora_model_dir is None:
        _check_new_tokens(resolved)
    model: Any = open_model(
        resolved.model,
        dtype=weight_dtype(resolved.precision),
        attn_implementation=attention,
        tokenizer=tokenizer,
        sequence_len=resolved.sequence.sequence_len,
    )
    if adapter.adapter is not None:
        if adapter.lora_model_dir:
            model = attach_saved(model, Path(adapter.lora_model_dir), trainable=True)
        else:
            model = attach_new(model, adapter)
    if not any(p.requires_grad for p in model.parameters()):
        raise ModelError("nothing in the model would be trained", hint="check the adapter options")
    return model.train()


def _check_new_tokens(resolved: Resolved) -> None:
    """Refuse new tokens whose embeddings nobody trains: they would stay at what they began with.

    Raises:
        ModelError: names them.
    """
    if resolved.adapter.lora_modules_to_save:
        return
    if new := new_tokens(resolved.model):
        raise ModelError(
            f"the adapter does not train the embeddings of the new tokens {', '.join(new)}",
            where=resolved.origin("tokens" if resolved.model.tokens else "special_tokens"),
            hint="set lora_modules_to_save to the names of the embeddings and the output head, such "
            "as [embed_tokens, lm_head], or use tokens that the tokenizer has",
        )
