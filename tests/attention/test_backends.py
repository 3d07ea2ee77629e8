"""Each backend against attention written out, forward and backward, for all that it claims.

Kernels that need a GPU are stood in for by functions with their real signatures.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from axolotl.attention.per_document import NotServed, attend
from tests.attention import stand_ins
from tests.attention.reference import reference

LENGTHS = [5, 40, 1, 17, 9]
TOKENS = sum(LENGTHS)
WIDTH = 16
SLOPES = torch.tensor([0.5, 0.25, 0.125, 0.0])
SINKS = torch.tensor([0.3, -1.0, 2.0, 0.0])

FEATURES: dict[str, dict[str, Any]] = {
    "plain": {},
    "scale": {"scale": 0.9},
    "window": {"window": 6},
    "wide window": {"window": 40},
    "softcap": {"softcap": 1.5},
    "alibi": {"slopes": SLOPES},
    "sinks": {"sinks": SINKS},
    "softcap and window": {"softcap": 1.5, "window": 6},
    "alibi and window": {"slopes": SLOPES, "window": 6},
    "sinks and window": {"sinks": SINKS, "window": 6},
    "narrow values": {"width": 8},
}
"""What is asked → the arguments of the reference."""
ALL = frozenset(FEATURES)
_ALIBI = {"alibi", "alibi and window"}
_SINKS = {"sinks", "sinks and window"}
_CAPS = {"softcap", "softcap and window"}
CLAIMS: dict[str, frozenset[str]] = {
    "per_document": ALL,
    "flash_attention_2": ALL - _SINKS,
    "flash_attention_3": ALL - _SINKS - _ALIBI,
    "xformers": ALL - _SINKS - _ALIBI - _CAPS,
    "flex": ALL - _SINKS,
}
HALF = ("flash_attention_2", "flash_attention_3")
PUT: dict[str, Callable[[pytest.MonkeyPatch], stand_ins.Calls]] = {
    "flash_attention_2": stand_ins.flash_attn_2,
    "flash_attention_3": stand_ins.flash_attn_3,
    "xformers": stand_ins.xformers,
}
NAMES = {"slopes": "alibi_slopes", "sinks": "s_aux", "window": "sliding_window", "scale": "scaling"}
"""Arguments of the reference as models call them."""


def inputs(dtype: torch.dtype, heads: int, groups: int, width: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = [(heads, WIDTH), (groups, WIDTH), (groups, width)]
    made = [torch.randn(1, TOKENS, n, d, generator=generator) for n, d in shapes]
    # As models hand them over: heads moved in front, so not contiguous.
    return [x.to(dtype).transpose(1, 2).requires_grad_() for x in made]


def function(backend: str, patch: pytest.MonkeyPatch) -> Callable[..., tuple[Tensor, None]]:
    """The function that transformers is given, with a stand-in for what it calls."""
    if backend == "per_document":
        return attend
    if backend in PUT:
        PUT[backend](patch)
    kernel = import_module("axolotl.attention._kernel")
    patch.setattr(kernel, "runs_on", lambda device: True)
    module = import_module(f"axolotl.attention.{backend}")
    return kernel.kernel_function(module.compute, backend)


def settings(asked: dict[str, Any]) -> dict[str, Any]:
    return {"scale": WIDTH**-0.5} | asked


def call(attention: Callable[..., Any], tensors: list[Tensor], asked: dict[str, Any]) -> Tensor:
    positions = torch.cat([torch.arange(n) for n in LENGTHS])[None]
    handed = {NAMES.get(k, k): v for k, v in settings(asked).items()}
    layer = torch.nn.Module()
    output, weights = attention(layer, *tensors, None, position_ids=positions, **handed)
    assert weights is None
    return output


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize(
    ("backend", "feature", "groups"),
    [
        (backend, feature, groups)
        for backend, claimed in CLAIMS.items()
        for feature in FEATURES
        if feature in claimed
        for groups in ([4, 2, 1] if feature == "plain" else [2])
    ],
)
def test_what_a_backend_claims_it_computes(
    backend: str, feature: str, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dtype = torch.bfloat16 if backend in HALF else torch.float32
    asked = dict(FEATURES[feature])
    width = asked.pop("width", WIDTH)
    tensors = inputs(dtype, 4, groups, width)
    trains = backend != "flex"  # torch has no gradients for it on a CPU
    handed = tensors if trains else [x.detach() for x in tensors]
    got = call(function(backend, monkeypatch), handed, asked)
    copies = [x.detach().double().requires_grad_() for x in tensors]
    q, k, v = copies
    want = reference(q, k, v, LENGTHS, **settings(asked))

    assert got.shape == (1, TOKENS, 4, width)
    assert got.dtype == dtype
    tolerance = 0.03 if dtype == torch.bfloat16 else 2e-6
    assert (got - want).abs().max() <= tolerance
    if not trains:
        return
    weights = torch.randn(want.shape, generator=torch.Generator().manual_seed(4))
    (got.float() * weights).sum().backward()
    (want * weights).sum().backward()
    for mine, theirs in zip(tensors, copies, strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert (mine.grad - theirs.grad).abs().max() <= 10 * tolerance


@pytest.mark.parametrize(
    ("backend", "feature"), [(b, f) for b, claimed in CLAIMS.items() for f in FEATURES if f not in claimed]
)  # fmt: skip
def test_what_a_backend_does_not_claim_it_refuses(
    backend: str, feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = inputs(torch.bfloat16, 4, 2, WIDTH)
    with pytest.raises(NotServed, match=r"the model has .*, which .* cannot compute"):
        call(function(backend, monkeypatch), tensors, FEATURES[feature])


def test_gradients_reach_the_sinks() -> None:
    tensors = inputs(torch.float32, 4, 2, WIDTH)
    mine, theirs = SINKS.clone().requires_grad_(), SINKS.double().requires_grad_()
    call(attend, tensors, {"sinks": mine}).square().sum().backward()
    q, k, v = tensors
    want = reference(q, k, v, LENGTHS, scale=WIDTH**-0.5, sinks=theirs)
    want.square().sum().backward()
    assert mine.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(mine.grad.double(), theirs.grad, atol=1e-5)


@pytest.mark.parametrize("feature", sorted(ALL - {"narrow values"}))
def test_long_documents_go_through_in_blocks(feature: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = import_module("axolotl.attention._plain")
    monkeypatch.setattr(plain, "_BLOCK_TOKENS", 8)
    asked = FEATURES[feature]
    tensors = inputs(torch.float32, 4, 2, WIDTH)
    got = call(attend, tensors, asked)
    (grad_of_got,) = torch.autograd.grad(got.square().sum(), tensors[1])
    q, k, v = tensors
    want = reference(q, k, v, LENGTHS, **settings(asked))
    (grad_of_want,) = torch.autograd.grad(want.square().sum(), tensors[1])
    assert (got - want).abs().max() <= 2e-6
    tolerance = 1e-5 * max(1.0, grad_of_want.abs().max().item())
    assert (grad_of_got - grad_of_want).abs().max() <= tolerance


def test_a_window_keeps_no_square_over_a_long_document(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def counted(q: Tensor, k: Tensor, v: Tensor, **more: Any) -> Tensor:
        sizes.append(q.shape[2] * k.shape[2])
        return kernel(q, k, v, **more)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    tokens, window = 4096, 64
    q = torch.randn(1, 1, tokens, 8)
    positions = torch.arange(tokens)[None]
    attend(torch.nn.Module(), q, q, q, None, position_ids=positions, sliding_window=window)
    assert sum(sizes) <= 1.2 * tokens * (512 + window)


@pytest.mark.parametrize("backend", ["flash_attention_2", "flash_attention_3", "xformers"])
def test_a_window_that_no_document_reaches_costs_nothing(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = function(backend, monkeypatch)
    calls = PUT[backend](monkeypatch)
    for window in (40, 39):
        call(attention, inputs(torch.bfloat16, 4, 2, WIDTH), {"window": window})
    none = None if backend == "xformers" else (-1, -1)
    cut = 39 if backend == "xformers" else (38, 0)
    assert [seen["window"] for seen in calls.seen] == [none, cut]
    assert calls.seen[0]["lengths"] == LENGTHS


def test_early_flash_attention_3_gives_sums_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    attention = function("flash_attention_3", monkeypatch)
    stand_ins.flash_attn_3(monkeypatch, with_sums=True)
    output = call(attention, inputs(torch.bfloat16, 4, 2, WIDTH), {})
    assert output.shape == (1, TOKENS, 4, WIDTH)
