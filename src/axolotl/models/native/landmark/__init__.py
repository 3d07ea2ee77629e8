"""Landmarks in a model: it tells its attention where they are, and its configuration remembers them.

The decoder gets a forward hook that looks at the tokens of each pass and adds one argument, which the
library's code hands on to every layer and from there to the attention function. So nothing is kept
between passes, and a layer that is computed again for its gradients sees what it saw before. Only
while answers are made is something remembered: what the tokens in the cache are, at the cache.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from axolotl.attention import landmark
from axolotl.attention.landmark import LANDMARK, ORDINARY, PADDING, Retrieval, layout_of
from axolotl.errors import ModelError

MARK = "landmark_attention"
"""Name in the model's configuration of what it remembers."""
_KINDS = "landmark_kinds"
"""Name at a cache of what its tokens are."""
_TELLS = "tells_landmarks"
"""Attribute of a decoder that has the hook."""


@dataclass(frozen=True, slots=True)
class Landmarks:
    """What a model with landmarks remembers in its `config.json`.

    Args:
        token_id: Number of the token.
        block_tokens: A landmark stands behind so many others.
        window_blocks: Blocks that are always read in answers, the one that is written among them.
        top_blocks: Older blocks that are read in answers besides, for each head by itself.
    """

    token_id: int
    block_tokens: int = landmark.BLOCK_TOKENS
    window_blocks: int = landmark.WINDOW_BLOCKS
    top_blocks: int = landmark.TOP_BLOCKS


def landmarks_of(config: Any) -> Landmarks | None:
    """What a configuration remembers of landmarks; None where the model has none.

    Raises:
        ModelError: it cannot be read.
    """
    mark = getattr(config, MARK, None)
    if not mark:
        return None
    try:
        return Landmarks(**mark)
    except TypeError as error:
        raise ModelError(
            f"`{MARK}` in the model's config.json cannot be read: {error}",
            hint="take the config.json that was saved with the weights",
        ) from error


def settle_landmarks(model: Any, landmarks: Landmarks) -> None:
    """Have a model tell its attention where the landmarks are, and remember them.

    Doing it again changes only what is remembered. The attention itself is set as any other is, by
    the name `landmark`; with another one the hook does nothing.

    Args:
        model: A Llama of transformers, without adapter.
        landmarks: What to remember.
    """
    landmark.register()
    setattr(model.config, MARK, asdict(landmarks))
    decoder: Any = model.get_decoder()
    if not getattr(decoder, _TELLS, False):
        decoder.register_forward_pre_hook(_tell, with_kwargs=True)
        setattr(decoder, _TELLS, True)


def _tell(
    decoder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Add `landmarks` to the arguments of a decoder."""
    config = decoder.config
    known = landmarks_of(config)
    if config._attn_implementation != landmark.NAME or known is None:
        return None
    ids = args[0] if args else kwargs.get("input_ids")
    if ids is None:
        raise ModelError(
            "landmark attention needs the tokens themselves, and got embeddings",
            hint="set landmark_attention to false",
        )
    kinds = torch.where(ids == known.token_id, LANDMARK, ORDINARY)
    cache = kwargs.get("past_key_values")
    if cache is not None:
        kinds = _with_those_before(cache, kinds)
    mask = kwargs.get("attention_mask")
    if mask is not None:
        kinds = torch.where(mask[:, -kinds.shape[1] :] == 0, PADDING, kinds)
    retrieval = None if cache is None else Retrieval(known.window_blocks, known.top_blocks)
    layout = layout_of(kinds, kwargs.get("position_ids"), retrieval)
    return args, {**kwargs, "landmarks": layout}


def _with_those_before(cache: Any, kinds: Tensor) -> Tensor:
    """What all tokens are once these are in the cache, (B, K); kept there."""
    before = getattr(cache, _KINDS, None)
    seen = int(cache.get_seq_length())
    if before is None:
        before = kinds[:, :0]
    if before.shape[1] != seen:
        raise ModelError(
            f"the cache holds {seen} tokens, and landmarks are known of {before.shape[1]}",
            hint="give the model its cache from the first token on",
        )
    kinds = torch.cat([before, kinds], dim=1)
    setattr(cache, _KINDS, kinds)
    return kinds
