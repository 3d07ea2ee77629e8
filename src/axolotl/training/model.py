"""The model to be trained: base, adapter, and what may learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from axolotl.errors import ModelError
from axolotl.models.adapters import attach_new, attach_saved
from axolotl.models.load import open_model, weight_dtype
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
