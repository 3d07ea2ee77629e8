"""Where each token of a row stands in its document, and how long that is."""

from __future__ import annotations

import torch
from torch import Tensor


def places_of(
    tokens: int, seen: int, position_ids: Tensor | None, *, device: torch.device
) -> Tensor:
    """Place of each token, int64, (1 or B, T).

    Args:
        tokens: Those of this pass.
        seen: Those in the cache.
        position_ids: (1 or B, T), where documents share a row: one begins wherever these do not go
            on by 1. None where a row is one document; padding in front of it counts, since only
            differences of places matter.
        device: Where the result is to be.

    >>> places_of(5, 0, torch.tensor([[0, 1, 2, 0, 1]]), device=torch.device("cpu")).tolist()
    [[0, 1, 2, 0, 1]]
    >>> places_of(2, 7, None, device=torch.device("cpu")).tolist()
    [[7, 8]]
    """
    places = (torch.arange(tokens, device=device) + seen)[None]
    if position_ids is None:
        return places
    begins = torch.ones_like(position_ids, dtype=torch.bool)
    begins[:, 1:] = position_ids.diff(dim=1) != 1
    return places - torch.where(begins, places, 0).cummax(dim=1).values


def lengths_of(
    places: Tensor, position_ids: Tensor | None, attention_mask: Tensor | None
) -> Tensor:
    """Tokens of the document that each token is in, int64, (1 or B, 1 or T).

    Args:
        places: As `places_of` gives them.
        position_ids: As it is given them.
        attention_mask: (B, tokens of the cache too), 0 for padding, which is not counted.

    >>> lengths_of(torch.tensor([[0, 1, 2, 0, 1]]), torch.tensor([[0, 1, 2, 0, 1]]), None).tolist()
    [[3, 3, 3, 2, 2]]
    """
    if attention_mask is not None and attention_mask.dim() == 2:
        return attention_mask.long().sum(dim=1, keepdim=True)
    if position_ids is None:
        return places[:, -1:] + 1
    document = (places == 0).cumsum(dim=1) - 1
    counts = torch.zeros_like(places).scatter_add_(1, document, torch.ones_like(places))
    return counts.gather(1, document)
