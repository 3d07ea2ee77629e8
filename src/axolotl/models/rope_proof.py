"""Whether a stretching of rotary positions has reached a model: seen on the model, as it was loaded.

A configuration may say one thing and the code do another: some models turn positions by code of
their own, some look for the setting in another place, some never call the module that has it. So
the frequencies in the model are held against the formula at lengths on both sides of the model's
own, cosine and sine against the frequencies, and at last the module is made to give nothing that can
be computed with: if the logits do not notice, nobody uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from axolotl.models.isolation import row_arguments
from axolotl.models.rope_formulas import frequencies
from axolotl.models.rope_rows import changed, kinds_of, parts_of, rotary_modules

_NEAR = 2e-3
"""Relative difference of frequencies that rounding explains: some models keep them in bfloat16."""


def why_not_stretched(
    model: Any, wanted: Mapping[str, Any], *, layer_kind: str | None, own_length: int | None
) -> str | None:
    """Why the positions of a loaded model are not turned as asked; None if they are.

    Args:
        model: A loaded model without adapter.
        wanted: `rope_parameters` of those layers.
        layer_kind: The kind of attention layer, where each has its own.
        own_length: The model's own length in tokens.
    """
    modules = [module for module in rotary_modules(model) if layer_kind in kinds_of(module)]
    if not modules:
        return (
            "its code has no rotary positions of the library's kind, so nothing reads the setting"
        )
    for module in modules:
        if kinds_of(module)[layer_kind] != wanted["rope_type"]:
            return f"its code turns positions by '{kinds_of(module)[layer_kind]}' all the same"
        for length in (1, own_length or 64, (own_length or 64) + 1, 2 * (own_length or 64)):
            reason = _why_other(module, wanted, layer_kind, own_length or 64, length)
            if reason is not None:
                return reason
    if _changes_nothing(modules[0], wanted, layer_kind, own_length or 64):
        return "its formula leaves every rotation as it is, with these numbers"
    if not _is_used(model, modules, layer_kind):
        return "its layers do not use the rotary positions that the setting changes"
    return None


def _why_other(
    module: Any, wanted: Mapping[str, Any], layer_kind: str | None, own_length: int, length: int
) -> str | None:
    """Hold one module against the formula, with a sample of one length."""
    prefix = f"{layer_kind}_" if layer_kind else ""
    cos, sin = _turned(module, layer_kind, length)
    angles: Tensor = getattr(module, f"{prefix}inv_freq").detach().double().cpu()
    times = float(getattr(module, f"{prefix}attention_scaling", module_scaling(module)))
    want, want_times = frequencies(
        wanted, rotated=2 * len(angles), own_length=own_length, length=length
    )
    if not torch.allclose(angles, want, rtol=_NEAR, atol=0):
        share = ((angles - want).abs() / want).max()
        return (
            f"at {length} tokens its frequencies differ from those of '{wanted['rope_type']}' by "
            f"{share:.0%}"
        )
    if abs(times - want_times) > _NEAR * want_times:
        return (
            f"it multiplies cosine and sine by {times:.4g} where the formula has {want_times:.4g}"
        )
    turned = ((length - 1) * angles.float()).double()
    if not (_has(cos, turned.cos() * times) and _has(sin, turned.sin() * times)):
        return "cosine and sine are not those of its frequencies"
    return None


def _changes_nothing(
    module: Any, wanted: Mapping[str, Any], layer_kind: str | None, own_length: int
) -> bool:
    """Whether the formula has no effect even in long samples, as with borders that nothing lies beyond."""
    prefix = f"{layer_kind}_" if layer_kind else ""
    sizes = {"rotated": 2 * len(getattr(module, f"{prefix}inv_freq")), "own_length": own_length}
    angles, times = frequencies(wanted, **sizes, length=2 * own_length)
    plain, _ = frequencies({**wanted, "rope_type": "default"}, **sizes, length=1)
    return times == 1 and torch.allclose(angles, plain, rtol=1e-9, atol=0)


def module_scaling(module: Any) -> float:
    """What a rotary module multiplies cosine and sine by, where it says so."""
    return float(getattr(module, "attention_scaling", 1.0))


def _turned(module: Any, layer_kind: str | None, length: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the last position of a sample, (D,), float64."""
    device = next(iter(module.buffers())).device
    position = torch.tensor([[length - 1]], device=device)
    more = {"layer_type": layer_kind} if layer_kind else {}
    cos, sin = parts_of(module(torch.zeros(1, 1, 1, device=device), position, **more))
    return cos.flatten().double().cpu(), sin.flatten().double().cpu()


def _has(seen: Tensor, want: Tensor) -> bool:
    """Whether a row has these values: once, one row behind the other, or each twice."""
    layouts = (want, torch.cat([want, want]), want.repeat_interleave(2))
    near = 1e-4 * float(want.abs().max()) + 1e-6
    return any(
        one.shape == seen.shape and torch.allclose(seen, one, rtol=0, atol=near) for one in layouts
    )


def _is_used(model: Any, modules: list[Any], layer_kind: str | None) -> bool:
    """Whether the logits notice that the modules give nothing to compute with."""

    def spoil(_: Any, args: Any, kwargs: Any, output: Any) -> Any:
        asked = kwargs.get("layer_type", args[2] if len(args) > 2 else None)
        return changed(output, lambda part: part * torch.nan) if asked == layer_kind else None

    before = _logits(model)
    hooks = [module.register_forward_hook(spoil, with_kwargs=True) for module in modules]
    try:
        spoilt = _logits(model)
    finally:
        for hook in hooks:
            hook.remove()
    return not torch.equal(before, spoilt)


@torch.no_grad()
def _logits(model: Any) -> Tensor:
    """Logits of six tokens, by the model's own attention: the one now set may not serve it."""
    weight = model.get_input_embeddings().weight
    positions = torch.arange(6, device=weight.device)[None]
    was = model.training
    try:
        with _own_attention(model):
            row = row_arguments(model, positions % weight.shape[0], positions)
            return model.eval()(**row).logits
    finally:
        model.train(was)


@contextmanager
def _own_attention(model: Any) -> Iterator[None]:
    """While the body runs, a model that takes other attention has its eager one.

    What is set was not tried yet: it may ask for arguments that the model does not hand over, or
    for another number format than that of the weights.
    """
    present = model.config._attn_implementation
    if present == "eager" or not getattr(model, "_supports_attention_backend", False):
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(present)
