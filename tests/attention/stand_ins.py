"""Stand-ins for kernels that need a GPU: the real signatures, strict about what they are given.

They check what the real ones ask for (shapes, formats, borders, last stride), keep what they were
called with, and compute by the reference. Signatures: flash-attn 2.8 `flash_attn_interface.py`,
flash-attention `hopper/flash_attn_interface.py`, xFormers 0.0.35 `ops/fmha`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.attention.reference import reference

HALF = (torch.bfloat16, torch.float16)


@dataclass
class Calls:
    """What a stand-in was called with."""

    seen: list[dict[str, Any]] = field(default_factory=list)


def _varlen(
    calls: Calls, q: Tensor, k: Tensor, v: Tensor, cu_seqlens: tuple[Any, Any], longest: Any, *,
    scale: float | None, causal: bool, window: tuple[int, int], softcap: float, slopes: Any = None,
) -> Tensor:  # fmt: skip
    cu_q, cu_k = cu_seqlens
    assert q.dtype in HALF
    assert q.dtype == k.dtype == v.dtype
    assert q.ndim == k.ndim == v.ndim == 3
    assert q.stride(-1) == k.stride(-1) == v.stride(-1) == 1
    assert q.shape[-1] == k.shape[-1] == v.shape[-1] <= 256
    assert q.shape[1] % k.shape[1] == 0
    assert k.shape[:2] == v.shape[:2]
    for borders in (cu_q, cu_k):
        assert borders.dtype == torch.int32
        assert borders.ndim == 1
        assert borders.is_contiguous()
        assert borders[0] == 0
        assert borders[-1] == len(q) == len(k)
    lengths = cu_q.diff().tolist()
    assert min(lengths) > 0
    assert tuple(longest) == (max(lengths), max(lengths))
    assert type(longest[0]) is int
    assert causal is True
    left, right = window
    assert (left, right) == (-1, -1) or (left >= 0 and right == 0)
    if slopes is not None:
        assert slopes.dtype == torch.float32
        assert slopes.shape == (q.shape[1],)
    calls.seen.append({"lengths": lengths, "window": window, "softcap": softcap, "scale": scale})
    output = reference(
        q.transpose(0, 1)[None],
        k.transpose(0, 1)[None],
        v.transpose(0, 1)[None],
        lengths,
        scale=q.shape[-1] ** -0.5 if scale is None else scale,
        window=None if left < 0 else left + 1,
        softcap=softcap or None,
        slopes=slopes,
    )
    return output[0].to(q.dtype)


def flash_attn_2(patch: pytest.MonkeyPatch) -> Calls:
    """Put a stand-in for flash-attn in the place of the package."""
    calls = Calls()

    def flash_attn_varlen_func(
        q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0.0,
        softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0, alibi_slopes=None,
        deterministic=False, return_attn_probs=False, block_table=None,
    ):  # fmt: skip
        assert (dropout_p, return_attn_probs, block_table) == (0.0, False, None)
        assert type(deterministic) is bool
        return _varlen(
            calls, q, k, v, (cu_seqlens_q, cu_seqlens_k), (max_seqlen_q, max_seqlen_k),
            scale=softmax_scale, causal=causal, window=window_size, softcap=softcap, slopes=alibi_slopes,
        )  # fmt: skip

    _put(patch, "flash_attn", flash_attn_varlen_func=flash_attn_varlen_func)
    return calls


def flash_attn_3(patch: pytest.MonkeyPatch, *, with_sums: bool = False) -> Calls:
    """Put a stand-in for flash-attn-3 in the place of the package.

    Args:
        patch: Undoes it.
        with_sums: Whether it gives the logarithms of the sums besides, as early versions do.
    """
    calls = Calls()

    def flash_attn_varlen_func(
        q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, seqused_q=None,
        seqused_k=None, softmax_scale=None, causal=False, qv=None, q_descale=None, k_descale=None,
        v_descale=None, window_size=(-1, -1), attention_chunk=0, softcap=0.0, num_splits=1,
        pack_gqa=None, deterministic=False, sm_margin=0, return_attn_probs=False,
    ):  # fmt: skip
        assert (seqused_q, seqused_k, qv, attention_chunk) == (None, None, None, 0)
        output = _varlen(
            calls, q, k, v, (cu_seqlens_q, cu_seqlens_k), (max_seqlen_q, max_seqlen_k),
            scale=softmax_scale, causal=causal, window=window_size, softcap=softcap,
        )  # fmt: skip
        return (output, None) if with_sums else output

    _put(patch, "flash_attn_interface", flash_attn_varlen_func=flash_attn_varlen_func)
    return calls


@dataclass
class Mask:
    """`BlockDiagonalCausalMask`, and its local kind."""

    lengths: list[int]
    window: int | None = None

    @classmethod
    def from_seqlens(cls, q_seqlen: Any, kv_seqlen: Any = None, *, device: Any = None) -> Mask:
        assert kv_seqlen is None
        assert isinstance(q_seqlen, list)
        return cls(q_seqlen)

    def make_local_attention(self, window_size: int) -> Mask:
        assert window_size > 0
        return Mask(self.lengths, window_size)


def xformers(patch: pytest.MonkeyPatch) -> Calls:
    """Put a stand-in for xFormers in the place of the package."""
    calls = Calls()

    def memory_efficient_attention(
        query, key, value, attn_bias=None, p=0.0, scale=None, *, op=None, output_dtype=None
    ):
        assert query.ndim == key.ndim == value.ndim == 4
        assert query.shape == key.shape  # grouped heads have no gradients
        assert query.shape[:3] == value.shape[:3]
        assert query.dtype == key.dtype == value.dtype
        assert query.stride(-1) == key.stride(-1) == value.stride(-1) == 1
        assert isinstance(attn_bias, Mask)
        assert sum(attn_bias.lengths) == query.shape[1]
        assert p == 0.0
        calls.seen.append(
            {"lengths": attn_bias.lengths, "window": attn_bias.window, "scale": scale}
        )
        output = reference(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_bias.lengths,
            scale=query.shape[-1] ** -0.5 if scale is None else scale,
            window=attn_bias.window,
        )
        return output.to(query.dtype)

    masks = SimpleNamespace(BlockDiagonalCausalMask=Mask)
    ops = _put(
        patch,
        "xformers.ops",
        memory_efficient_attention=memory_efficient_attention,
        fmha=SimpleNamespace(attn_bias=masks),
    )
    _put(patch, "xformers", ops=ops)
    return calls


def _put(patch: pytest.MonkeyPatch, name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    for member, value in members.items():
        setattr(module, member, value)
    patch.setitem(sys.modules, name, module)
    return module
