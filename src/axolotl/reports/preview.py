"""Row by row: what is trained, what is masked, and where the special tokens stand.

Nothing is read from a store: the rows go through the same format and tokenizing code as in a
preparation, so what is shown is what would be trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from axolotl.core.console import console
from axolotl.data.batches import Batch, Part, batches
from axolotl.data.encoder import Encoder
from axolotl.data.store import TokenStore
from axolotl.data.tokenize import Limits, fit
from axolotl.records import IGNORE_INDEX, Segment

if TYPE_CHECKING:
    from rich.text import Text

TRAINED, MASKED, SPECIAL = "green", "dim", "reverse"
_VISIBLE = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
_VISIBLE |= {code: f"<U+{code:04X}>" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One row as it would be trained.

    Args:
        dataset: Name of the file.
        source_row: Row in that file, from 1.
        segments: What the format made of it; empty for pretokenized rows, and for all but the
            first row that a long one is cut into.
        input_ids: Token ids.
        labels: Labels; `IGNORE_INDEX` where nothing is trained.
        dropped: Why the row would not be in the data; None when it would.
    """

    dataset: str
    source_row: int
    segments: tuple[Segment, ...]
    input_ids: list[int]
    labels: list[int]
    dropped: str | None = None

    @property
    def trained_tokens(self) -> int:
        """Tokens that carry a label."""
        return sum(label != IGNORE_INDEX for label in self.labels)


def preview_rows(
    parts: Sequence[Part], encoder: Encoder, limits: Limits, *, first_rows: int
) -> list[PreviewRow]:
    """The first rows of every file.

    Args:
        parts: Files and their formats.
        encoder: The tokenizer.
        limits: How long rows may be.
        first_rows: How many source rows of each file.

    Raises:
        DataError: a row cannot be used; names it.
    """
    shown: list[PreviewRow] = []
    for part in parts:
        for batch in batches(part, encoder, first_rows=first_rows):
            shown += _rows_of(part, batch, limits)
    return shown


def summarise(rows: Sequence[PreviewRow]) -> dict[str, Any]:
    """Counts over the rows shown."""
    kept = [row for row in rows if row.dropped is None]
    tokens = sum(len(row.input_ids) for row in kept)
    trained = sum(row.trained_tokens for row in kept)
    dropped: dict[str, int] = {}
    for row in rows:
        if row.dropped is not None:
            dropped[row.dropped] = dropped.get(row.dropped, 0) + 1
    return {
        "rows": len(rows),
        "tokens": tokens,
        "trained_tokens": trained,
        "trained_share": round(trained / tokens, 4) if tokens else 0.0,
        "longest_tokens": max((len(row.input_ids) for row in kept), default=0),
        "dropped": dropped,
    }


def summary_line(rows: Sequence[PreviewRow]) -> str:
    """The counts in one line."""
    found = summarise(rows)
    gone = "".join(f", {count} dropped ({reason})" for reason, count in found["dropped"].items())
    return (
        f"{found['rows']} rows, {found['tokens']:,} tokens, "
        f"{found['trained_share']:.0%} of them trained{gone}"
    )


def as_document(rows: Sequence[PreviewRow]) -> dict[str, Any]:
    """`{rows: [{dataset, source_row, segments, input_ids, labels, dropped}], summary}`."""
    return {"rows": [asdict(row) for row in rows], "summary": summarise(rows)}


def render(row: PreviewRow, tokenizer: Any, encoder: Encoder) -> Text:
    """A row as text: trained tokens green in ⟦ ⟧, masked ones dim, special ones reversed.

    Args:
        row: The row.
        tokenizer: Decodes the ids.
        encoder: Knows the special tokens.
    """
    from rich.text import Text

    text = Text()
    masked = len(row.input_ids) - row.trained_tokens
    text.append(f"{row.dataset} row {row.source_row}", style="bold")
    text.append(f"  {len(row.input_ids)} tokens: {masked} masked, {row.trained_tokens} trained\n")
    if row.dropped:
        text.append(f"dropped: {row.dropped}\n", style="bold red")
    inside = False
    for trained, special, ids in _runs(row, encoder.control_tokens):
        if trained != inside:
            text.append("⟦" if trained else "⟧", style="bold")
            inside = trained
        style = f"{TRAINED if trained else MASKED}{' ' + SPECIAL if special else ''}"
        text.append(_decode(tokenizer, ids).translate(_VISIBLE), style=style)
    return text.append("⟧" if inside else "", style="bold")


def render_tokens(
    input_ids: Sequence[int], labels: Sequence[int], tokenizer: Any, *, text_only: bool = False
) -> Text:
    """Every token on its own, red when masked and green when trained, with `(label, id)` behind it.

    Args:
        input_ids: Token ids.
        labels: Their labels.
        tokenizer: Decodes the ids.
        text_only: Leave out `(label, id)`.
    """
    from rich.text import Text

    text = Text()
    for token, label in zip(input_ids, labels, strict=True):
        style = "red" if label == IGNORE_INDEX else "green"
        text.append(_decode(tokenizer, [int(token)]).translate(_VISIBLE), style=style)
        if not text_only:
            text.append(f"({label}, {token}) ", style="dim")
    return text


def print_samples(
    store: TokenStore, tokenizer: Any, *, seed: int, count: int = 5, text_only: bool = False
) -> None:
    """Print some prepared rows on standard error, token by token.

    Args:
        store: The rows.
        tokenizer: Decodes the ids.
        seed: Seed of the choice.
        count: How many, chosen at random; one may come twice.
        text_only: Leave out `(label, id)`.
    """
    for index in np.random.default_rng(seed).choice(len(store), count):
        row = store[int(index)]
        text = render_tokens(
            row.input_ids.tolist(), row.labels.tolist(), tokenizer, text_only=text_only
        )
        console().print(text, soft_wrap=True)
        console().rule(style="dim")


def _rows_of(part: Part, batch: Batch, limits: Limits) -> Iterator[PreviewRow]:
    tokens = batch.tokens
    long_rows = part.bound.long_rows if part.bound else "drop"
    fitted = fit(tokens, limits, long_rows=long_rows)
    kept = fitted.rows
    reasons = {int(i): reason for reason, which in fitted.dropped.items() for i in which}
    for i, (row, number) in enumerate(zip(batch.rows, batch.numbers, strict=True)):
        typed = part.bound is not None and not batch.pretokenized
        segments = tuple(part.bound.segments(row)) if typed and part.bound else ()
        source = (tokens, [i]) if i in reasons else (kept, np.flatnonzero(kept.origin == i))
        for at in source[1]:
            span = slice(source[0].offsets[at], source[0].offsets[at + 1])
            yield PreviewRow(
                part.source.label,
                int(number),
                segments,
                source[0].input_ids[span].tolist(),
                source[0].labels[span].tolist(),
                reasons.get(i),
            )
            segments = ()


def _runs(row: PreviewRow, control: Mapping[int, str]) -> Iterator[tuple[bool, bool, list[int]]]:
    """Neighbours that look alike, decoded together: a character may span several tokens."""
    pairs = zip(row.input_ids, row.labels, strict=True)
    for (trained, special), run in groupby(
        pairs, key=lambda pair: (pair[1] != IGNORE_INDEX, pair[0] in control)
    ):
        yield trained, special, [token for token, _ in run]


def _decode(tokenizer: Any, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
