"""ALiBi by wider queries and keys: the slopes of the paper, and scores that hold the bias exactly."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from axolotl.models.native.btlm.alibi import ADDED, RelativeBias, slopes_of


def test_slopes_of_a_power_of_two_are_those_of_the_paper() -> None:
    # Section 3: with 8 heads 1/2, 1/4, … 1/256; with 16 the roots between them, from 2^-0.5 on.
    assert slopes_of(8) == [1 / 2**k for k in range(1, 9)]
    assert slopes_of(16) == pytest.approx([2 ** (-k / 2) for k in range(1, 17)])
    assert slopes_of(32)[0] == pytest.approx(0.8408964, abs=1e-7)
    assert slopes_of(32)[-1] == 1 / 256
    assert slopes_of(1) == [1 / 256]


def test_slopes_of_another_number_fill_up_from_the_next_larger_row() -> None:
    assert slopes_of(12) == pytest.approx(
        [*(1 / 2**k for k in range(1, 9)), 2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]
    )
    assert slopes_of(6) == pytest.approx([1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8])
    for heads in (3, 5, 20, 40):
        assert len(set(slopes_of(heads))) == heads


PLACES = (0, 1, 2, 100, 255, 256, 257, 511, 1000, 4097, 8190, 8191)


def scores(
    bias: RelativeBias,
    places: Sequence[int],
    *,
    scaling: float = 1.0,
    dtype: torch.dtype = torch.float32,
    length: int | None = None,
) -> torch.Tensor:
    """Differences of the added scores to that of the query with itself, (H, T, T)."""
    tokens = length or len(places)
    query, key = bias(torch.tensor([places]), torch.tensor([[tokens]]), scaling=scaling)
    assert query.shape == (1, bias.heads, len(places), ADDED)
    assert key.shape == (1, 1, len(places), ADDED)
    query, key = query.to(dtype).double(), key.to(dtype).double()
    added = (query @ key.transpose(2, 3) * scaling)[0]
    return added - added.diagonal(dim1=1, dim2=2)[..., None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scaling", [1.0, 1 / 80, 16**-0.5])
def test_the_added_numbers_hold_slope_times_distance_in_every_dtype(
    scaling: float, dtype: torch.dtype
) -> None:
    bias = RelativeBias(12, None)
    place = torch.tensor(PLACES)
    distance = (place[:, None] - place[None]).double()
    want = -bias.slopes.double()[:, :, None] * distance
    got = scores(bias, PLACES, scaling=scaling, dtype=dtype)
    tolerance = 1e-4 if dtype == torch.float16 else 1e-6  # the smallest parts of it are not normal
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


def test_scores_stay_small_near_the_diagonal_far_into_a_text() -> None:
    # Where the scores themselves are rounded to 8 bits, large ones would hide the distances.
    query, key = RelativeBias(32, None)(
        torch.arange(8000, 8100)[None], torch.tensor([[8100]]), scaling=1.0
    )
    exact = (query.double() @ key.double().transpose(2, 3))[0]
    assert exact.diagonal(dim1=1, dim2=2).abs().max() < 0.1


def test_a_factor_flattens_all_slopes() -> None:
    flat = RelativeBias(4, {"type": "linear", "factor": 4.0})
    plain = scores(RelativeBias(4, None), PLACES)
    torch.testing.assert_close(scores(flat, PLACES), plain / 4)


def test_a_trained_length_flattens_the_slopes_of_longer_texts_only() -> None:
    bias = RelativeBias(4, {"type": "linear", "train_seq_len": 10})
    plain = scores(RelativeBias(4, None), PLACES)
    torch.testing.assert_close(scores(bias, PLACES, length=10), plain)
    torch.testing.assert_close(scores(bias, PLACES, length=25), plain / 2.5)
