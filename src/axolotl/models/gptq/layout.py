"""How GPTQ checkpoints lay small numbers out in 32-bit words.

A weight is `(q - zero) * scale`: q has 2, 3, 4 or 8 bits, and zero and scale are shared by a group
of inputs (Frantar et al. 2022, arXiv 2210.17323; the layout is that of the authors' own kernels).
The q of one output follow each other bit by bit, lowest first, down a column of words; the zeros
lie the same way along a row. With 3 bits a number may straddle two words: 32 of them fill three.

Version 1 of the format stores `zero - 1` and version 2 stores `zero`. The 1 is taken off and added
to whole words, borrows and all, as their writers do it; with 3 bits it is done number by number.

I inputs, O outputs, G groups, W words.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

BITS: Final = (2, 3, 4, 8)
"""Widths whose layout is the same for all writers."""


def words_for(count: int, bits: int) -> int:
    """How many words hold `count` numbers.

    >>> words_for(64, 4), words_for(64, 3)
    (8, 6)
    """
    return count * bits // 32


def unpack(words_WO: Tensor, bits: int) -> Tensor:
    """Numbers from words, down the columns.

    Args:
        words_WO: int32, (W, O).
        bits: Width of a number.

    Returns:
        int32, (I, O).

    >>> unpack(torch.tensor([[0x76543210]], dtype=torch.int32), 4).flatten().tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    outputs = words_WO.shape[1]
    mask = (1 << bits) - 1
    if bits == 3:
        return _unpack_straddling(words_WO, bits)
    shifts = torch.arange(0, 32, bits, dtype=torch.int32, device=words_WO.device)
    return (words_WO[:, None] >> shifts[:, None]).bitwise_and_(mask).reshape(-1, outputs)


def pack(numbers_IO: Tensor, bits: int) -> Tensor:
    """Words from numbers; the inverse of `unpack`.

    Args:
        numbers_IO: Whole numbers from 0 to 2**bits - 1, (I, O).
        bits: Width of a number; `I * bits` must be a multiple of 32.

    Returns:
        int32, (W, O).
    """
    inputs, outputs = numbers_IO.shape
    assert inputs * bits % 32 == 0, "numbers do not fill whole words"
    period = 32 if bits == 3 else 32 // bits
    words = period * bits // 32
    numbers = numbers_IO.to(torch.int64).reshape(-1, period, outputs)
    packed = torch.zeros(
        (len(numbers), words, outputs), dtype=torch.int64, device=numbers_IO.device
    )
    for i in range(period):
        word, shift = divmod(i * bits, 32)
        packed[:, word] |= (numbers[:, i] << shift) & 0xFFFFFFFF
        if shift + bits > 32:
            packed[:, word + 1] |= numbers[:, i] >> (32 - shift)
    return _as_int32(packed.reshape(-1, outputs))


def _unpack_straddling(words_WO: Tensor, bits: int) -> Tensor:
    """Read each number out of two neighbouring words at once, in 64 bits."""
    outputs = words_WO.shape[1]
    groups = (words_WO.to(torch.int64) & 0xFFFFFFFF).reshape(-1, bits, outputs)
    starts = torch.arange(32, device=words_WO.device) * bits
    first = starts // 32
    second = (first + 1).clamp(max=bits - 1)
    pairs = groups[:, first] | (groups[:, second] << 32)
    numbers = (pairs >> (starts % 32)[:, None]) & ((1 << bits) - 1)
    return numbers.reshape(-1, outputs).to(torch.int32)


def zeros_of(qzeros_GW: Tensor, bits: int, *, version: int) -> Tensor:
    """The zeros of every group.

    Args:
        qzeros_GW: int32, (G, W).
        bits: Width of a number.
        version: 1 or 2, of the format.

    Returns:
        int32, (G, O).
    """
    if version == 1 and bits != 3:
        qzeros_GW = qzeros_GW + _ones(bits)
    zeros_OG = unpack(qzeros_GW.t(), bits)
    if version == 1 and bits == 3:
        zeros_OG = (zeros_OG + 1) & 7
    return zeros_OG.t()


def stored_zeros(zeros_GO: Tensor, bits: int, *, version: int) -> Tensor:
    """What a checkpoint stores for these zeros; the inverse of `zeros_of`."""
    if version == 1 and bits == 3:
        zeros_GO = (zeros_GO - 1) & 7
    words_GW = pack(zeros_GO.t(), bits).t()
    if version == 1 and bits != 3:
        words_GW = words_GW - _ones(bits)
    return words_GW.contiguous()


def _ones(bits: int) -> int:
    """A 1 in each number of a word.

    >>> hex(_ones(4))
    '0x11111111'
    """
    return sum(1 << shift for shift in range(0, 32, bits))


def _as_int32(words: Tensor) -> Tensor:
    return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)
