"""The real kernels against attention written out, on a machine that has them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from axolotl.attention import Need, candidates, registered_name, why_not_here
from axolotl.resolve.machine import this_machine
from tests.attention.reference import reference

LENGTHS = [5, 300, 1, 77, 129]
LLAMA = Need("llama", interface=True, sdpa=True, head_width=64)
CASES = [
    (backend, feature)
    for backend in ("per_document", "flash_attention_2", "flash_attention_3", "xformers", "flex")
    for feature in ("plain", "window", "softcap")
    if (backend, feature) != ("xformers", "softcap")
]
FEATURES: dict[str, dict[str, Any]] = {
    "plain": {},
    "window": {"window": 40},
    "softcap": {"softcap": 3.0},
}


@pytest.mark.gpu
@pytest.mark.parametrize(("backend", "feature"), CASES)
def test_a_kernel_computes_what_it_should(backend: str, feature: str) -> None:
    from transformers import AttentionInterface

    if reason := why_not_here(backend, this_machine()):
        pytest.skip(f"{backend}: {reason}")
    assert candidates(backend, LLAMA).names == (backend,)
    attend = AttentionInterface()[registered_name(backend)]
    asked = FEATURES[feature]
    generator = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(1, heads, sum(LENGTHS), 64, generator=generator, dtype=torch.float64)
        .to(torch.bfloat16)
        .requires_grad_()
        for heads in (8, 2, 2)
    ]
    there = [x.detach().cuda().requires_grad_() for x in tensors]
    positions = torch.cat([torch.arange(n) for n in LENGTHS])[None].cuda()
    handed = {"sliding_window": asked.get("window"), "softcap": asked.get("softcap")}
    got, _ = attend(torch.nn.Module(), *there, None, position_ids=positions, **handed)
    q, k, v = tensors
    want = reference(q, k, v, LENGTHS, scale=64**-0.5, **asked)
    got.float().square().sum().backward()
    want.square().sum().backward()
    assert (got.cpu() - want).abs().max() <= 0.03
    for mine, theirs in zip(there, tensors, strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        size = theirs.grad.float().abs().max()
        assert (mine.grad.cpu() - theirs.grad).float().abs().max() <= 0.05 * size
