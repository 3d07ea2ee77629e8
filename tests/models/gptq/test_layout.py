"""Numbers in words: what is packed is unpacked, and lies where the format has it."""

from __future__ import annotations

import pytest
import torch

from axolotl.models.gptq.layout import BITS, pack, stored_zeros, unpack, words_for, zeros_of
from tests.gptq_writer import as_words


def numbers(bits: int, *, inputs: int = 64, outputs: int = 96) -> torch.Tensor:
    generator = torch.Generator().manual_seed(bits)
    return torch.randint(0, 2**bits, (inputs, outputs), generator=generator)


@pytest.mark.parametrize("bits", BITS)
def test_numbers_come_back(bits: int) -> None:
    q = numbers(bits)
    words = pack(q, bits)
    assert words.dtype == torch.int32
    assert len(words) == words_for(64, bits)
    assert torch.equal(unpack(words, bits), q.to(torch.int32))
    assert torch.equal(words.T, as_words(q.T.contiguous(), bits)), "as written bit by bit"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("bits", BITS)
def test_zeros_come_back(bits: int, version: int) -> None:
    zeros = numbers(bits, inputs=3)
    zeros[0, :3] = 0  # of which version 1 takes one away all the same
    assert torch.equal(
        zeros_of(stored_zeros(zeros, bits, version=version), bits, version=version),
        zeros.to(torch.int32),
    )


def test_version_1_stores_one_less() -> None:
    eights = torch.full((1, 8), 8)
    assert stored_zeros(eights, 4, version=1).item() == 0x77777777
    assert stored_zeros(eights, 4, version=2).item() == 0x88888888 - (1 << 32)
    ones = torch.full((1, 32), 1)
    assert not stored_zeros(ones, 3, version=1).any()
