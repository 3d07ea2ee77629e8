"""Models whose weights have other names, or another cut, in their files than in transformers' code.

The library saves such a model as it is published: the head of GPT-NeoX as `embed_out`, the experts
of Mixtral one by one. Its `from_pretrained` reads that back, and its Trainer does not, which loads a
checkpoint name by name.
"""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping

from axolotl.models.quiet import no_library_bars


def is_published_otherwise(model: Any) -> bool:
    """Whether files of this model have other names or other tensors than the model itself."""
    return isinstance(model, PreTrainedModel) and bool(
        get_model_conversion_mapping(model, add_legacy=False)
    )


def take_published(model: PreTrainedModel, folder: str | Path) -> SimpleNamespace:
    """Take up the weights in a folder, as the library reads them.

    Args:
        model: The model; its weights are overwritten where they stand.
        folder: With its files, as `save_pretrained` writes them.

    Returns:
        `missing_keys` and `unexpected_keys`, as of `load_state_dict`.

    Raises:
        RuntimeError: a weight has another shape.
    """
    dtypes = {weight.dtype for weight in model.parameters()}
    exact = dtypes.pop() if len(dtypes) == 1 else torch.float32
    kind: Any = type(model)
    with no_library_bars():
        read, info = kind.from_pretrained(
            folder, config=copy.deepcopy(model.config), dtype=exact, output_loading_info=True
        )
    model.load_state_dict(read.state_dict())
    return SimpleNamespace(
        missing_keys=list(info["missing_keys"]), unexpected_keys=list(info["unexpected_keys"])
    )
