"""A training whose numbers have left the range of floats: nothing after that can be used."""

from __future__ import annotations

from axolotl.errors import AxolotlError


def diverged(what: str, *, step: int) -> AxolotlError:
    """The error that ends such a training.

    Args:
        what: What is not finite, such as `the loss is nan`.
        step: Optimizer steps done.
    """
    return AxolotlError(
        f"the training has diverged: {what} at step {step}",
        where="learning_rate",
        hint="lower learning_rate, warm up longer, set max_grad_norm, or use bf16 instead of fp16; "
        "checkpoints written before are whole",
    )
