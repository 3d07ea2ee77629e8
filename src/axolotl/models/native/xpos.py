"""xPos: rotary positions whose products fade with distance (arXiv 2212.10554), for Llama.

For a head of width d and pair i = 0 … d/2 - 1 let ζ_i = (2i + 0.4 d) / (1.4 d). A query at position t
is rotated as ever and multiplied by ζ^((t - c) / 2048), a key by ζ^((c - t) / 2048). In their product
only ζ^((t_q - t_k) / 2048) is left, so the centre c changes nothing but the size of the numbers
between. It is half of the `sequence_len` that the model is opened for, and is remembered: were it to
follow the length of the row, keys that lie in a cache already would be out of step.

Far from the centre the numbers between grow without bound: by ten every 3,764 positions for the pair
that fades fastest. What passes `_BEARS` of the number format is refused, at opening for the rows it is
opened for, and in each pass for the positions that are in it. The pass has one copy of a number from
the GPU for that.

A scale of its own for each pair of a head commutes with the rotation of that pair, so queries and keys
are rotated by the library's code, with whatever scaling of positions is set, and then multiplied.
Keys enter the cache with their scale.

The classes of the library stay as they are: the attention layers of one model are given a class
derived from the library's, and `remove_xpos` gives them their own back.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    apply_rotary_pos_emb,
    eager_attention_forward,
)

from axolotl.errors import ModelError

MARK = "xpos_rope"
"""Name in the model's configuration of what it remembers."""
SCALE_BASE = 2048.0
_BEARS = {torch.float16: 1e4}
"""Largest factor by number format: times a query of ordinary size it must not overflow, and its inverse
must not drown."""
_BEARS_ELSE = 1e18


def settle_xpos(
    model: Any, scale_base: float | None = None, *, sequence_len: int | None = None
) -> None:
    """Give a model xPos positions, and have its configuration remember them.

    Args:
        model: A Llama of transformers, without adapter.
        scale_base: By how many positions of distance a product fades by ζ; what the model remembers,
            or 2048, by default. Without end it is plain rotary positions.
        sequence_len: Longest sample in tokens that it is opened for, whose middle becomes the centre;
            None keeps the centre that it remembers, or takes the middle of its own length.

    Raises:
        ModelError: it is no Llama, or its number format does not bear the factors of such samples.
    """
    base = scale_base or scale_base_of(model.config) or SCALE_BASE
    centre = _centre_of(model.config) if sequence_len is None else sequence_len // 2
    layers = [module for module in model.modules() if isinstance(module, LlamaAttention)]
    if not layers:
        raise ModelError(
            f"xPos is for Llama models, and this is a {type(model).__name__}",
            where=MARK,
            hint="set xpos_rope to false",
        )
    if sequence_len is not None:
        width = layers[0].head_dim
        _check_factor(sequence_len - centre, width, base, layers[0].q_proj.weight.dtype, centre)
    for layer in layers:
        layer.__class__ = XposAttention
    setattr(model.config, MARK, {"scale_base": base, "centre": centre})


def remove_xpos(model: Any) -> None:
    """Give a model its plain rotary positions back; without xPos nothing is done."""
    layers: list[Any] = [part for part in model.modules() if isinstance(part, XposAttention)]
    for layer in layers:
        layer.__class__ = LlamaAttention
    if hasattr(model.config, MARK):
        delattr(model.config, MARK)


def scale_base_of(config: Any) -> float | None:
    """What a configuration remembers of xPos; None where the model has plain positions.

    Raises:
        ModelError: it cannot be read.
    """
    mark = getattr(config, MARK, None)
    if not mark:
        return None
    base = mark.get("scale_base") if isinstance(mark, dict) else None
    if not isinstance(base, int | float) or base <= 0:
        raise ModelError(
            f"`{MARK}` in the model's config.json is {mark!r}, and names no scale_base above 0",
            hint="take the config.json that was saved with the weights",
        )
    return float(base)


def _centre_of(config: Any) -> int:
    """The remembered centre; models of before it was remembered have the middle of their length."""
    mark = getattr(config, MARK, None) or {}
    centre = mark.get("centre", config.max_position_embeddings // 2)
    if not isinstance(centre, int) or centre < 0:
        raise ModelError(
            f"`{MARK}` in the model's config.json has the centre {centre!r}, which is no position",
            hint="take the config.json that was saved with the weights",
        )
    return centre


def _check_factor(
    distance: int, width: int, scale_base: float, dtype: torch.dtype, centre: int
) -> None:
    """Refuse positions whose factors a number format does not bear.

    Args:
        distance: Of the farthest position from the centre.
        width: Width of a head.
        scale_base: As of `scales`.
        dtype: Of the queries; weights in few bits have none of their own.
        centre: The centre.

    Raises:
        ModelError: names the length, and the longest that it bears.
    """
    bears = _BEARS.get(dtype, _BEARS_ELSE)
    farthest = int(math.log(bears) / -math.log(float(zeta(width)[0])) * scale_base)
    if distance <= farthest:
        return
    name = str(dtype).removeprefix("torch.")
    wider = "compute in bfloat16 (`bf16: true`), or " if dtype in _BEARS else ""
    raise ModelError(
        f"xPos over {centre + distance} tokens has factors beyond {bears:g}, the largest that {name} "
        "bears",
        where="sequence_len",
        hint=f"{wider}set sequence_len to at most {2 * farthest}, or xpos_rope to false",
    )


def zeta(width: int, device: torch.device | None = None) -> Tensor:
    """ζ of each pair of a head, fp32, (width / 2,).

    >>> zeta(4)
    tensor([0.2857, 0.6429])
    """
    pairs = torch.arange(0, width, 2, dtype=torch.float32, device=device)
    return (pairs + 0.4 * width) / (1.4 * width)


def scales(
    position_ids: Tensor, width: int, *, scale_base: float, centre: int
) -> tuple[Tensor, Tensor]:
    """What queries and keys are multiplied by, both (B, T, width) in fp32.

    Args:
        position_ids: (B, T).
        width: Width of a head, d; both halves have the same, as rotated pairs are (i, i + d/2).
        scale_base: By how many positions of distance a product fades by ζ.
        centre: The position at which both are 1.
    """
    power = (position_ids.float() - centre) / scale_base
    log = power[..., None] * zeta(width, position_ids.device).log()
    log = torch.cat([log, log], dim=-1)
    return log.exp(), (-log).exp()


class XposAttention(LlamaAttention):
    """Attention of a Llama with xPos positions."""

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """As that of the library, but for the scales.

        Args:
            hidden_states: (B, T, C).
            position_embeddings: Cosine and sine, each (B, T, head width).
            attention_mask: Handed on.
            past_key_values: The cache, if any.
            kwargs: Handed on to the attention function; `position_ids` among them.
        """
        assert position_embeddings is not None, "a decoder layer hands its attention the positions"
        shape = hidden_states.shape[:-1]
        query, key, value = (
            part(hidden_states).view(*shape, -1, self.head_dim).transpose(1, 2)
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        of_query, of_key = self._scales(kwargs["position_ids"], query.dtype)
        query = query * of_query.to(query.dtype)
        key = key * of_key.to(key.dtype)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        config: Any = self.config
        attend: Any = ALL_ATTENTION_FUNCTIONS.get_interface(
            config._attn_implementation, eager_attention_forward
        )
        output, weights = attend(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.o_proj(output.reshape(*shape, -1).contiguous()), weights

    def _scales(self, position_ids: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """For queries and for keys, both (B, 1, T, head width)."""
        base = scale_base_of(self.config)
        assert base is not None
        centre = _centre_of(self.config)
        seen = position_ids.numel() and not position_ids.is_meta
        if self.layer_idx == 0 and seen and not torch.compiler.is_compiling():
            distance = int((position_ids - centre).abs().max())
            _check_factor(distance, self.head_dim, base, dtype, centre)
        both = scales(position_ids, self.head_dim, scale_base=base, centre=centre)
        return both[0][:, None], both[1][:, None]
