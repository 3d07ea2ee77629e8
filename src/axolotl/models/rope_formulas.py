"""What each kind of rope scaling is, written down from its source.

The library computes the same for the model; this is what the loaded model is held against, so it
shares no code with it. All in float64.

d rotated dimensions of a head, L the model's own length in tokens, n the length of a sample, θ the
base of the frequencies, f the factor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def frequencies(
    parameters: Mapping[str, Any], *, rotated: int, own_length: int, length: int
) -> tuple[Tensor, float]:
    """Angle per position of each rotation, and what cosine and sine are multiplied by.

    Args:
        parameters: As transformers' `rope_parameters`, with `rope_type` and `rope_theta`.
        rotated: d.
        own_length: L.
        length: n; only `dynamic` and `longrope` look at it.

    Returns:
        float64, (d / 2,), and the multiplier.

    >>> angles, times = frequencies(
    ...     {"rope_type": "linear", "rope_theta": 100.0, "factor": 2.0},
    ...     rotated=4, own_length=8, length=16,
    ... )
    >>> [round(angle, 3) for angle in angles.tolist()], times
    ([0.5, 0.05], 1.0)
    """
    given = {"own_length": own_length, "length": length}
    return _KINDS[parameters["rope_type"]](parameters, rotated, **given)


def _plain(theta: float, d: int) -> Tensor:
    """θ^(-2i/d) for i = 0 … d/2 - 1."""
    return theta ** -(torch.arange(0, d, 2, dtype=torch.float64) / d)


def _default(given: Mapping[str, Any], d: int, **_: int) -> tuple[Tensor, float]:
    """Rotary positions as they were invented (arXiv 2104.09864)."""
    return _plain(given["rope_theta"], d), 1.0


def _linear(given: Mapping[str, Any], d: int, **_: int) -> tuple[Tensor, float]:
    """Position interpolation (arXiv 2306.15595): position m is turned as m / f was."""
    return _plain(given["rope_theta"], d) / given["factor"], 1.0


def _dynamic(
    given: Mapping[str, Any], d: int, *, own_length: int, length: int
) -> tuple[Tensor, float]:
    """NTK-aware scaling by the length of the sample (described in arXiv 2309.00071, appendix B).

    θ becomes θ · (f n / L - (f - 1))^(d / (d - 2)), and stays θ where n ≤ L.
    """
    factor, n = given["factor"], max(length, own_length)
    grown = (factor * n / own_length - (factor - 1)) ** (d / (d - 2))
    return _plain(given["rope_theta"] * grown, d), 1.0


def _yarn(given: Mapping[str, Any], d: int, *, own_length: int, **_: int) -> tuple[Tensor, float]:
    """YaRN (arXiv 2309.00071): rotations are stretched the more, the fewer turns they make within L."""
    theta, factor = given["rope_theta"], given["factor"]
    plain = _plain(theta, d)

    def turning(times: float) -> float:
        """The number of the rotation, as a real number, that turns so many times within L."""
        return d * math.log(own_length / (2 * math.pi * times)) / (2 * math.log(theta))

    fast = turning(given.get("beta_fast") or 32.0)
    slow = turning(given.get("beta_slow") or 1.0)
    if given.get("truncate", True):
        fast, slow = math.floor(fast), math.ceil(slow)
    fast, slow = max(fast, 0), min(slow, d - 1)
    width = (slow - fast) or 0.001
    ramp = ((torch.arange(d // 2, dtype=torch.float64) - fast) / width).clamp(0, 1)
    return plain * (1 - ramp) + plain / factor * ramp, _yarn_times(given)


def _yarn_times(given: Mapping[str, Any]) -> float:
    """The attention factor of YaRN, 0.1 ln f + 1; `mscale` and `mscale_all_dim` weigh the logarithm."""
    if (times := given.get("attention_factor")) is not None:
        return float(times)

    def temper(weight: float) -> float:
        return 0.1 * weight * math.log(given["factor"]) + 1

    weights = given.get("mscale"), given.get("mscale_all_dim")
    if weights[0] and weights[1]:
        return temper(weights[0]) / temper(weights[1])
    return temper(1.0)


def _llama3(given: Mapping[str, Any], d: int, *, own_length: int, **_: int) -> tuple[Tensor, float]:
    """Llama 3.1 (arXiv 2407.21783 and its reference code): borders in turns within L.

    Above `high_freq_factor` turns a rotation is left alone, below `low_freq_factor` it is divided by
    f, and between the two it goes from one to the other in proportion.
    """
    low, high = given["low_freq_factor"], given["high_freq_factor"]
    plain = _plain(given["rope_theta"], d)
    kept = ((own_length * plain / (2 * math.pi) - low) / (high - low)).clamp(0, 1)
    return plain * kept + plain / given["factor"] * (1 - kept), 1.0


def _longrope(
    given: Mapping[str, Any], d: int, *, own_length: int, length: int
) -> tuple[Tensor, float]:
    """LongRoPE (arXiv 2402.13753): a factor for each rotation, one set up to L and one beyond."""
    which = given["long_factor"] if length > own_length else given["short_factor"]
    times = given.get("attention_factor")
    if times is None:
        times = math.sqrt(1 + math.log(given["factor"]) / math.log(own_length))
    return _plain(given["rope_theta"], d) / torch.tensor(which, dtype=torch.float64), float(times)


_KINDS = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "llama3": _llama3,
    "longrope": _longrope,
}
