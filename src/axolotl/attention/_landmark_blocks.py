"""Attention over one document that is cut into blocks by landmarks (arXiv 2305.16300, section 3).

A query sees the ordinary tokens of its own block directly. Every earlier block stands in the same
softmax with one entry, the score of its landmark; what that entry receives is dealt out over the
ordinary tokens of the block by a softmax of their own:

    weight(i, j) = softmax over {own tokens up to i, landmarks of earlier blocks}
                   x softmax over the ordinary tokens of the block of j       for j in an earlier block

So the weights of a query sum to 1, and landmarks give no value. The first softmax has as many
columns as there are blocks, besides the own block; there is no array of queries x keys x blocks.
Queries are taken in pieces, and while gradients are wanted each piece is computed again on the way
back, so that memory grows with the length of the document and not with its square.

H heads, G key-value heads, R = H / G, T keys, Q queries (the last of the T tokens), C queries of a
piece, N blocks that are complete, L tokens of the longest of them, D width of a head, E of a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from axolotl.attention._landmark_layout import Retrieval, blocks_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MOST_SCORES = 2**24
"""Scores that are held at a time: 64 MB in fp32, and a few arrays like it."""
LEAST_QUERIES = 32


def attend_document(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    landmarks: Sequence[int],
    *,
    scaling: float,
    dropout: float = 0.0,
    retrieval: Retrieval | None = None,
) -> Tensor:
    """Attention of the last tokens of a document to all of it.

    Args:
        query: (H, Q, D).
        key: (G, T, D).
        value: (G, T, E).
        landmarks: Places of the landmarks, rising; each ends a block that is not empty.
        scaling: Factor on the scores.
        dropout: Probability of dropping a weight.
        retrieval: Which blocks may be read; None for all.

    Returns:
        (H, Q, E), in the dtype of the values.
    """
    heads, queries, _ = query.shape
    tokens = key.shape[1]
    if not landmarks or landmarks[0] >= tokens - 1:
        # In one block only: nothing lies behind its landmark, which it does not see itself.
        seen = [landmarks[0]] if landmarks else []
        return _one_block(query, key, value, seen, scaling=scaling, dropout=dropout)
    piece = max(LEAST_QUERIES, MOST_SCORES // (heads * tokens))
    first = tokens - queries
    outputs: list[Tensor] = []
    for begin in range(first, tokens, piece):
        end = min(begin + piece, tokens)
        part = _Piece(
            begin, end, tuple(p for p in landmarks if p < end), scaling, dropout, retrieval
        )
        q = query[:, begin - first : end - first]
        outputs.append(_recomputed(part, q, key, value, several=queries > piece))
    return outputs[0] if len(outputs) == 1 else _cat(outputs)


def _cat(outputs: list[Tensor]) -> Tensor:
    import torch

    return torch.cat(outputs, dim=1)


def _recomputed(
    part: _Piece, query: Tensor, key: Tensor, value: Tensor, *, several: bool
) -> Tensor:
    """The piece; computed again for its gradients where it is one of several."""
    import torch
    from torch.utils.checkpoint import checkpoint

    if not (several and torch.is_grad_enabled()):
        return part(query, key, value)
    found = checkpoint(part, query, key, value, use_reentrant=False)
    assert isinstance(found, torch.Tensor)
    return found


def _one_block(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    landmark: list[int],
    *,
    scaling: float,
    dropout: float,
) -> Tensor:
    """Plain causal attention, but for a landmark at the end, which nobody sees."""
    import torch

    queries, tokens = query.shape[1], key.shape[1]
    mask = None
    if landmark or queries not in (1, tokens):
        place = torch.arange(tokens, device=query.device)
        mask = place[None, :] <= place[tokens - queries :, None]
        mask[:, landmark] = False
    return torch.nn.functional.scaled_dot_product_attention(
        query[None],
        key[None],
        value[None],
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None and queries > 1,
        scale=scaling,
        enable_gqa=query.shape[0] != key.shape[0],
    )[0]


@dataclass(frozen=True)
class _Piece:
    """Some queries of a document, one after the other.

    Args:
        begin: Place of the first.
        end: Behind the last.
        landmarks: Places of the landmarks before `end`.
        scaling: Factor on the scores.
        dropout: Probability of dropping a weight.
        retrieval: Which blocks may be read.
    """

    begin: int
    end: int
    landmarks: tuple[int, ...]
    scaling: float
    dropout: float
    retrieval: Retrieval | None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(H, C, E) of query (H, C, D), key (G, T, D) and value (G, T, E)."""
        import torch

        device, groups = query.device, key.shape[0]
        key, value = key[:, : self.end], value[:, : self.end]
        q = query.reshape(groups, -1, query.shape[-1])
        scores = torch.matmul(q, key.transpose(1, 2))
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32)) * self.scaling
        scores = scores.unflatten(1, (-1, self.end - self.begin))  # (G, R, C, end)
        block_of = self._block_of_token(device)  # (end,)
        of_query = block_of[self.begin :, None]  # (C, 1)
        own_begin = self._begin_of_block(int(block_of[self.begin]))
        own = scores[..., own_begin:].masked_fill(
            ~self._own(block_of, own_begin, device), -torch.inf
        )
        if not self.landmarks:
            return self._output(own.softmax(-1), value[:, own_begin:], query.shape[0])
        places = torch.tensor(self.landmarks, device=device)
        of_landmarks = self._readable(scores[..., places], of_query)  # (G, R, C, N)
        outer = torch.cat([own, of_landmarks], dim=-1).softmax(-1)
        direct, of_blocks = outer.split([own.shape[-1], len(self.landmarks)], dim=-1)
        inside, there = self._tokens_of_blocks(device)  # both (N, L)
        within = scores[..., inside].masked_fill(~there, -torch.inf).softmax(-1)
        read = (of_blocks[..., None] * within).flatten(-2)  # (G, R, C, N * L)
        direct_output = self._output(direct, value[:, own_begin:], query.shape[0])
        return direct_output + self._output(read, value[:, inside.flatten()], query.shape[0])

    def _output(self, weights: Tensor, value: Tensor, heads: int) -> Tensor:
        """(H, C, E) of weights (G, R, C, S) and value (G, S, E)."""
        import torch

        if self.dropout:
            weights = torch.nn.functional.dropout(weights, self.dropout)
        found = torch.matmul(weights.flatten(1, 2).to(value.dtype), value)
        return found.reshape(heads, self.end - self.begin, -1)

    def _block_of_token(self, device: torch.device) -> Tensor:
        """Number of the block that each token is in, (end,); a landmark is in the one it ends."""
        import torch

        ends = torch.tensor(self.landmarks, device=device, dtype=torch.int64)
        return torch.searchsorted(ends, torch.arange(self.end, device=device))

    def _begin_of_block(self, block: int) -> int:
        return self.landmarks[block - 1] + 1 if block else 0

    def _own(self, block_of: Tensor, own_begin: int, device: torch.device) -> Tensor:
        """Which ordinary tokens of its own block, up to itself, a query sees: (C, end - own_begin)."""
        import torch

        place = torch.arange(own_begin, self.end, device=device)
        ordinary = torch.ones(self.end, dtype=torch.bool, device=device)
        ordinary[list(self.landmarks)] = False
        same = block_of[None, own_begin:] == block_of[self.begin :, None]
        return same & ordinary[own_begin:] & (place <= place[self.begin - own_begin :, None])

    def _readable(self, scores: Tensor, of_query: Tensor) -> Tensor:
        """Scores of landmarks, (G, R, C, N), without those of blocks that a query may not read."""
        import torch

        block = torch.arange(scores.shape[-1], device=scores.device)
        earlier = block < of_query  # (C, N)
        if self.retrieval is None:
            return scores.masked_fill(~earlier, -torch.inf)
        old = block <= of_query - self.retrieval.window_blocks
        top = min(self.retrieval.top_blocks, len(self.landmarks))
        best = scores.masked_fill(~old, -torch.inf).topk(top, dim=-1).indices
        chosen = torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, best, True)
        return scores.masked_fill(~(earlier & (chosen | ~old)), -torch.inf)

    def _tokens_of_blocks(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Places of the ordinary tokens of each block, and which of them are there: both (N, L)."""
        import torch

        bounds = torch.tensor(blocks_of(self.landmarks), device=device)
        longest = max(end - begin for begin, end in blocks_of(self.landmarks))
        inside = bounds[:, :1] + torch.arange(longest, device=device)
        there = inside < bounds[:, 1:]
        return torch.where(there, inside, bounds[:, :1]), there
