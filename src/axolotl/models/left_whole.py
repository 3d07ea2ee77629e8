"""How much of a model bitsandbytes would leave whole, known before any weight is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from axolotl.core.console import note_once
from axolotl.core.optional import need
from axolotl.errors import ModelError
from axolotl.models.bnb import is_linear
from axolotl.models.quantized import Quantized

_WORTH_A_WORD = 0.1
_TOO_MUCH = 0.5


def check_share(skeleton: Any, form: Quantized) -> None:
    """Refuse a model of whose layers most would stay whole, and warn of more than a little.

    Only linear layers are held in few bits. Many models keep all experts of a block in one tensor,
    which is none: the memory would be that of the whole model. Embeddings and the output head stay
    whole in every model and do not count, nor what the file itself leaves whole.

    Args:
        skeleton: The model, without weights.
        form: How it is to be held.

    Raises:
        ModelError: more than half of the weights would stay whole.
        EnvironmentFault: bitsandbytes is missing.
    """
    need("bitsandbytes", extra="bnb", why=form.asked_by)
    packed, whole = _sizes(skeleton, form.skip)
    total, left = packed + sum(whole.values()), sum(whole.values())
    if left <= _WORTH_A_WORD * total:
        return
    largest = max(whole, key=lambda name: whole[name])
    what = (
        f"{left / total:.0%} of the weights of the model's layers ({left:,} of {total:,}) are not "
        f"in linear layers and stay whole, such as '{largest}'"
    )
    if left <= _TOO_MUCH * total:
        note_once(f"warning: {form.asked_by}: {what}")
        return
    raise ModelError(
        f"it would save little: {what}",
        where=form.asked_by,
        hint=f"remove {form.asked_by} and train with `adapter: lora`, with `bf16: true` in half the "
        "memory of fp32; or name a model without experts",
    )


def _sizes(skeleton: Any, skip: Sequence[str]) -> tuple[int, dict[str, int]]:
    """How many weights lie in linear layers, and how many in each other matrix, by its name."""
    head = skeleton.get_output_embeddings()
    packed, whole = 0, {}
    for path, module in skeleton.named_modules():
        if module is head or isinstance(module, nn.Embedding) or path.endswith(tuple(skip)):
            continue
        for name, weight in module.named_parameters(recurse=False):
            if weight.ndim > 1 and is_linear(module):
                packed += weight.numel()
            elif weight.ndim > 1:
                whole[f"{path}.{name}"] = weight.numel()
    return packed, whole
