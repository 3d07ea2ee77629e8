"""One flattened row as attention sees it: what a model hands over, read once and without guessing.

Letters: T tokens of the row, H heads, K key-value heads, D head width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from axolotl.core.last_read import LastRead

if TYPE_CHECKING:
    import torch

_HARMLESS = frozenset(
    {"cache_position", "output_attentions", "output_hidden_states", "return_dict", "use_cache"}
)
"""Further arguments of the library that do not change what attention computes."""
_UNSAID = -1
"""Stands for a sliding window that the model says nothing of, not even that there is none."""


class NotServed(ValueError):
    """A model asks for something that this attention does not compute."""


@dataclass(eq=False)
class Borders:
    """Where the documents of a row begin and end.

    Args:
        lengths: Their lengths in tokens.
        device: Where the row lies.
        made: What was made of the lengths for a kernel; the layers of a model share it.
    """

    lengths: list[int]
    device: torch.device
    made: dict[Any, Any] = field(default_factory=dict[Any, Any])

    @property
    def longest(self) -> int:
        """Length in tokens of the longest document."""
        return max(self.lengths)

    @property
    def cumulative(self) -> torch.Tensor:
        """Where each document begins, and the end: int32, (documents + 1,)."""
        import torch

        def make() -> torch.Tensor:
            ends = [0, *itertools.accumulate(self.lengths)]
            return torch.tensor(ends, dtype=torch.int32, device=self.device)

        return self.once("cumulative", make)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` makes, made for the first layer and kept for the others."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]


@dataclass(eq=False)
class Row:
    """What is asked of attention over one row.

    Args:
        query: (1, H, T, D).
        key: (1, K, T, D).
        value: (1, K, T, width), the width mostly D.
        borders: Where its documents begin and end.
        scale: Factor on the scores.
        window: A token sees itself and this many minus one before it; None for all before it.
        softcap: Scores become `softcap · tanh(score / softcap)`; None leaves them.
        slopes: ALiBi: `slope · distance` is taken off a score (arXiv 2108.12409); (H,).
        sinks: A score for each head that takes a share of the weights and gives nothing; (H,).
        dropout: Probability of dropping a weight.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    borders: Borders
    scale: float
    window: int | None = None
    softcap: float | None = None
    slopes: torch.Tensor | None = None
    sinks: torch.Tensor | None = None
    dropout: float = 0.0

    @property
    def window_in_use(self) -> int | None:
        """The window where some document is longer than it."""
        return self.window if self.window and self.window < self.borders.longest else None


def attention_of(compute: Callable[[Row], torch.Tensor], name: str) -> Callable[..., Any]:
    """A function as transformers' `AttentionInterface` asks for it.

    Args:
        compute: Gives (1, T, H, width).
        name: Of the backend, for messages.
    """

    def attend(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        position_ids: torch.Tensor | None = None,
        sliding_window: int | None = _UNSAID,
        softcap: float | None = None,
        alibi_slopes: torch.Tensor | None = None,
        s_aux: torch.Tensor | None = None,
        **more: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attention over one flattened row.

        Args:
            module: The attention layer.
            query: (1, H, T, D).
            key: (1, K, T, D).
            value: (1, K, T, width).
            attention_mask: Must be None: borders come from the positions.
            dropout: Probability of dropping a weight.
            scaling: Factor on the scores; None for 1 / sqrt(D).
            position_ids: (1, T); a document begins at every 0.
            sliding_window: A token sees itself and this many minus one before it.
            softcap: Scores become `softcap · tanh(score / softcap)`.
            alibi_slopes: (H,); `slope · distance` is taken off a score.
            s_aux: Attention sinks, (H,).
            more: What else the model hands over; refused if it could change the result.

        Returns:
            (1, T, H, width), and None in place of the weights.

        Raises:
            NotServed: a mask, a cache, several rows, no positions, or something unknown.
        """
        _refuse_unknown(module, more)
        tokens = query.shape[2]
        if attention_mask is not None or query.shape[0] != 1 or key.shape[2] != tokens:
            raise NotServed(
                f"{name} attention takes one flattened row without mask and cache: "
                f"query {tuple(query.shape)}, key {tuple(key.shape)}, "
                f"mask {None if attention_mask is None else tuple(attention_mask.shape)}"
            )
        if position_ids is None:
            raise NotServed("the model does not tell its attention where documents begin")
        row = Row(
            query,
            key,
            value,
            borders_of(position_ids),
            scale=query.shape[-1] ** -0.5 if scaling is None else float(scaling),
            window=_window(module, sliding_window),
            softcap=softcap or None,
            slopes=alibi_slopes,
            sinks=s_aux,
            dropout=dropout,
        )
        return compute(row), None

    return attend


def _window(module: torch.nn.Module, given: int | None) -> int | None:
    """The window that was handed over; one that the model leaves to a mask would be lost."""
    if given != _UNSAID:
        return given
    config: Any = getattr(module, "config", None)
    window = getattr(config, "sliding_window", None)
    if not isinstance(window, int) or window <= 0:
        return None
    kinds, place = getattr(config, "layer_types", None), getattr(module, "layer_idx", None)
    if kinds and (place is None or kinds[place] != "sliding_attention"):
        return None
    raise NotServed(f"the model leaves its sliding window of {window} tokens to the mask")


def _refuse_unknown(module: torch.nn.Module, more: dict[str, Any]) -> None:
    """Refuse biases and whatever else may come: dropped, they change the model."""
    causal = more.get("is_causal")
    if causal is False or (causal is None and getattr(module, "is_causal", True) is False):
        raise NotServed("the model has layers that look ahead")
    for name, value in more.items():
        flag = value is None or isinstance(value, bool)
        if not flag and name not in _HARMLESS:
            raise NotServed(f"the model hands '{name}' to its attention, which it does not know")


def _read_borders(position_ids: torch.Tensor) -> Borders:
    return Borders(document_lengths(position_ids, position_ids.shape[-1]), position_ids.device)


borders_of = LastRead(_read_borders)
"""Maps positions, (1, T), to the borders of their row."""


def document_lengths(position_ids: torch.Tensor, tokens: int) -> list[int]:
    """Lengths in tokens of the documents of one row.

    >>> import torch
    >>> document_lengths(torch.tensor([[0, 1, 2, 0, 1, 0]]), 6)
    [3, 2, 1]
    """
    import torch

    starts = torch.nonzero(position_ids[0] == 0).flatten().tolist()
    if not starts or starts[0] != 0:
        starts.insert(0, 0)
    return [end - start for start, end in zip(starts, [*starts[1:], tokens], strict=True)]
