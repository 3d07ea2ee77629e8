"""Answers made together, token by token: a row joins while others are being answered, and leaves at once.

Each row has the tokens that it would have alone: its own options and draws, its own positions, and padding
that the mask hides. One pass of the model makes a token for every row, which costs little more than a
token for one. A prompt is read in a pass of its own before it joins.

B rows, T columns, V tokens of the vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import LogitsProcessorList

from axolotl.inference import columns
from axolotl.inference.by_library import padded
from axolotl.inference.making import Row
from axolotl.inference.sampling import choice

PREFILL_TOKENS = 4096
"""Tokens of prompts, padding among them, that are read in one pass; a longer prompt is read alone."""
Made = list[tuple[Row, int]]
"""Rows, each with its next token."""


class Engine(Protocol):
    """What makes the tokens of some rows.

    Attributes:
        places: How many rows it has room for.
    """

    places: int

    def join(self, rows: Sequence[Row]) -> Made:
        """Begin with rows, and give the first token of each; if that fails, the others are as they were."""
        ...

    def step(self) -> Made:
        """The next token of every row."""
        ...

    def leave(self, rows: Sequence[Row]) -> None:
        """Make no more tokens for some rows; if that fails, for none at all."""
        ...


class Together:
    """Makes tokens for several rows at a time.

    Args:
        model: A model of transformers, or one with an adapter of peft on it, of which
            `joining.why_not_join` says nothing.
        pad: Token to pad with.
        places: How many rows there may be.
        choose: What makes the token that a row takes the one with the highest score.
    """

    def __init__(
        self,
        model: Any,
        pad: int,
        *,
        places: int,
        choose: Callable[[Row], LogitsProcessorList] | None = None,
    ) -> None:
        self.places = places
        self._choose = choose or (lambda row: choice(row.options, [row.options.seed]))
        self._model = model
        self._pad = pad
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._takes = frozenset(inspect.signature(base.forward).parameters)
        self._device = next(model.parameters()).device
        self._clear()

    def _clear(self) -> None:
        self._rows: list[Row] = []
        self._choosing: list[LogitsProcessorList] = []
        self._ids: list[list[int]] = []
        self._cache: Any = None
        self._mask = torch.zeros((0, 0), dtype=torch.long, device=self._device)

    @torch.no_grad()
    def join(self, rows: Sequence[Row]) -> Made:
        """Read the prompts of rows in one pass, put them beside the others, and give their first tokens."""
        ids, mask = padded([row.ids for row in rows], self._pad, self._device)
        cache, scores = self._forward(ids, mask, (mask.cumsum(1) - 1).clamp(min=0), None)
        choosing = [self._choose(row) for row in rows]
        histories = [list(row.ids) for row in rows]
        tokens = _chosen(scores, choosing, histories)
        if self._rows:
            width, others = self._mask.shape[1], mask.shape[1]
            whole = max(width, others)
            mask = torch.cat([_wide(self._mask, whole), _wide(mask, whole)])
            columns.join(self._cache, width, cache, others)
        else:
            self._cache = cache
        self._mask = mask
        self._rows += rows
        self._choosing += choosing
        self._ids += histories
        return list(zip(rows, tokens, strict=True))

    @torch.no_grad()
    def step(self) -> Made:
        """The next token of every row."""
        last = torch.tensor([[ids[-1]] for ids in self._ids], device=self._device)
        places = self._mask.sum(1, keepdim=True)
        self._mask = torch.cat([self._mask, torch.ones_like(last)], dim=1)
        self._cache, scores = self._forward(last, self._mask, places, self._cache)
        tokens = _chosen(scores, self._choosing, self._ids)
        return list(zip(self._rows, tokens, strict=True))

    def leave(self, rows: Sequence[Row]) -> None:
        """Take rows away, and the columns that none of the others needs; all rows, if that fails."""
        gone = set(rows)
        kept = [number for number, row in enumerate(self._rows) if row not in gone]
        if len(kept) == len(self._rows):
            return
        if not kept:
            self._clear()
            return
        try:
            mask = self._mask[kept]
            width = int(mask.sum(1).max())
            columns.keep(self._cache, kept, width)
        except Exception:  # some layers may have fewer rows by now, some as many as before
            self._clear()
            raise
        self._mask = mask[:, mask.shape[1] - width :]
        self._rows = [self._rows[number] for number in kept]
        self._choosing = [self._choosing[number] for number in kept]
        self._ids = [self._ids[number] for number in kept]

    def _forward(self, ids: Tensor, mask: Tensor, places: Tensor, cache: Any) -> tuple[Any, Tensor]:
        """Cache, and scores (B, V) of the token behind the last of ids (B, T)."""
        can = {"position_ids": places, "logits_to_keep": 1}
        more = {name: value for name, value in can.items() if name in self._takes}
        output = self._model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **more
        )
        return output.past_key_values, output.logits[:, -1].float()


def prefill_groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows whose prompts are read in one pass each, the short ones first."""
    group: list[Row] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if group and (len(group) + 1) * len(row.ids) > PREFILL_TOKENS:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def answer_all(engine: Engine, rows: Sequence[Row]) -> None:
    """Make the answers of some rows whole, as many at a time as there is room for."""
    waiting, running = list(rows), list[Row]()
    while waiting or running:
        new, waiting = (
            waiting[: engine.places - len(running)],
            waiting[engine.places - len(running) :],
        )
        made = engine.step() if running else []
        for group in prefill_groups(new):
            made += engine.join(group)
        for row, token in made:
            row.add(token)
        running = [row for row in [*running, *new] if not row.making.ended]
        engine.leave([row for row, _ in made if row.making.ended])


def _chosen(
    scores: Tensor, choosing: Sequence[LogitsProcessorList], ids: Sequence[list[int]]
) -> list[int]:
    """The next token of each row, which is added to its ids."""
    best = []
    for own, choose, known in zip(scores.split(1), choosing, ids, strict=True):
        seen: Any = torch.tensor([known], device=scores.device) if choose else None
        best.append((choose(seen, own) if choose else own).argmax(-1))
    tokens: list[int] = torch.cat(best).tolist()
    for known, token in zip(ids, tokens, strict=True):
        known.append(token)
    return tokens


def _wide(mask: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(mask, (width - mask.shape[1], 0))
