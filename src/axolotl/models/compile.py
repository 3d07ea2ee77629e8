"""torch.compile, layer by layer.

The layers of the decoder are compiled where they stand, each for itself: names of weights stay as
they are, and what is around the layers (noise on the embeddings, the loss inside the head, hooks of
adapters) runs as ever. All layers have the same code, so it is compiled once. Attention over
documents of changing number and length is left out: it would be compiled anew for every row.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import nn

from axolotl.attention import own_functions
from axolotl.errors import ModelError

_LOGGERS = ("torch._dynamo", "torch._inductor", "torch.fx.experimental.symbolic_shapes")
"""What they warn of, a part that cannot be compiled, costs time and changes nothing."""
_LOOKED_AT = r"The \.grad attribute of a Tensor that is not a leaf Tensor is being accessed"


def compile_layers(model: Any, *, backend: str | None, mode: str | None) -> int:
    """Let the layers be compiled when they are first used.

    Args:
        model: The model, with its adapter.
        backend: What compiles; torch's own, `inductor`, by default.
        mode: How hard `inductor` tries.

    Returns:
        How many layers that is.

    Raises:
        ModelError: there is no such backend, or the model does not say which its layers are.
    """
    backends = torch.compiler.list_backends(exclude_tags=())
    if backend is not None and backend not in backends:
        raise ModelError(
            f"torch has no backend '{backend}' here",
            where="torch_compile_backend",
            hint=f"there are: {', '.join(sorted(backends))}",
        )
    layers = decoder_layers(model)
    if not layers:
        raise ModelError(
            "the model does not say which its layers are", where="torch_compile", hint="remove it"
        )
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    # The compiler looks at every tensor that it meets, and torch warns it of that.
    warnings.filterwarnings("ignore", _LOOKED_AT, UserWarning)
    _leave_out_attention()
    for layer in layers:
        layer.compile(backend=backend or "inductor", mode=mode)
    return len(layers)


def decoder_layers(model: Any) -> list[nn.Module]:
    """The layers that the model says must not be torn apart; those that hold no other of them."""
    base: Any = getattr(model, "get_base_model", lambda: model)()
    names = set(getattr(base, "_no_split_modules", None) or ())
    found = [module for module in base.modules() if type(module).__name__ in names]
    return [
        module
        for module in found
        if not any(inner in found for inner in module.modules() if inner is not module)
    ]


def _leave_out_attention() -> None:
    """The function that transformers calls for a row's attention is not looked into."""
    from transformers import AttentionInterface

    for name, function in own_functions().items():
        AttentionInterface.register(name, torch.compiler.disable(function, recursive=True))
