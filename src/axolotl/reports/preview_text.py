"""Rows as coloured text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from axolotl.core.console import console
from axolotl.data.encoder import Encoder
from axolotl.records import IGNORE_INDEX
from axolotl.reports.preview import PreviewRow

if TYPE_CHECKING:
    from rich.text import Text

    from axolotl.packing.loader import SampleStore

TRAINED, MASKED, SPECIAL, BEYOND = "green", "dim", "reverse", "dim strike"
VISIBLE = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
VISIBLE |= {code: f"<U+{code:04X}>" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""Characters that would steer the terminal, as something to be seen."""


def render(row: PreviewRow, tokenizer: Any, encoder: Encoder) -> Text:
    """A row as text: trained tokens green in ⟦ ⟧, masked ones dim, special ones reversed.

    Where the row is cut stands ✂; what is lost behind it is struck through.

    Args:
        row: The row.
        tokenizer: Decodes the ids.
        encoder: Knows the special tokens.
    """
    from rich.text import Text

    text = Text()
    place = f"{row.dataset} row {row.source_row}" if row.source_row else row.dataset
    text.append(place, style="bold")
    if row.evaluated:
        text.append("  to evaluate on", style="bold cyan")
    if row.bad:
        text.append(f"\nbad row: {row.bad.what}", style="bold red")
        return text.append(f"\n  hint: {row.bad.hint}" if row.bad.hint else "", style="dim")
    masked = len(row.input_ids) - row.trained_tokens
    text.append(f"  {len(row.input_ids)} tokens: {masked} masked, {row.trained_tokens} trained\n")
    if said := fate_words(row):
        text.append(f"{said}\n", style="bold red" if row.dropped else "bold yellow")
    for remark in row.remarks:
        text.append(f"{remark}\n", style="yellow")
    inside = False
    for at, trained, special, ids in _runs(row, encoder.control_tokens):
        if trained != inside:
            text.append("⟦" if trained else "⟧", style="bold")
            inside = trained
        if at in _cuts(row):
            text.append("✂", style="bold red")
        style = f"{TRAINED if trained else MASKED}{' ' + SPECIAL if special else ''}"
        if row.pieces and at >= row.pieces[-1].end:
            style = BEYOND
        text.append(decode(tokenizer, ids).translate(VISIBLE), style=style)
    return text.append("⟧" if inside else "", style="bold")


def fate_words(row: PreviewRow) -> str:
    """What becomes of a row that is not kept whole, such as `split into 3 rows`; else nothing."""
    if row.dropped:
        return f"dropped: {row.dropped}"
    if row.fate == "split":
        return f"split into {len(row.pieces)} rows"
    lost = len(row.input_ids) - row.kept_tokens
    return f"truncated: {lost:,} tokens are lost" if row.fate == "truncated" else ""


def render_tokens(
    input_ids: Sequence[int], labels: Sequence[int], tokenizer: Any, *, text_only: bool = False
) -> Text:
    """Every token on its own, with `(label, id)` behind it.

    Red is masked, yellow has the label 0, green is trained otherwise.

    Args:
        input_ids: Token ids.
        labels: Their labels.
        tokenizer: Decodes the ids.
        text_only: Leave out `(label, id)`.
    """
    from rich.text import Text

    colours = {IGNORE_INDEX: "red", 0: "yellow"}
    text = Text()
    for token, label in zip(input_ids, labels, strict=True):
        style = colours.get(int(label), "green")
        text.append(decode(tokenizer, [int(token)]).translate(VISIBLE), style=style)
        if not text_only:
            text.append(f"({label}, {token}) ", style="dim")
    return text


def print_samples(
    samples: SampleStore, tokenizer: Any, *, seed: int, count: int = 5, text_only: bool = False
) -> None:
    """Print some prepared rows on standard error, token by token.

    Args:
        samples: The rows.
        tokenizer: Decodes the ids.
        seed: Seed of the choice.
        count: How many, chosen at random; one may come twice.
        text_only: Leave out `(label, id)`.
    """
    for index in np.random.default_rng(seed).choice(len(samples), count):
        row = samples[int(index)]
        text = render_tokens(
            row.input_ids.tolist(), row.labels.tolist(), tokenizer, text_only=text_only
        )
        console().print(text, soft_wrap=True)
        console().rule(style="dim")


def _cuts(row: PreviewRow) -> set[int]:
    return {piece.end for piece in row.pieces}


def _runs(
    row: PreviewRow, control: Mapping[int, str]
) -> Iterator[tuple[int, bool, bool, list[int]]]:
    """Neighbours that look alike, decoded together: a character may span several tokens."""
    cuts, piece = _cuts(row), 0
    keys: list[tuple[int, bool, bool]] = []
    for at, (token, label) in enumerate(zip(row.input_ids, row.labels, strict=True)):
        piece += at in cuts
        keys.append((piece, label != IGNORE_INDEX, token in control))
    for (_, trained, special), run in groupby(range(len(keys)), key=keys.__getitem__):
        places = list(run)
        yield places[0], trained, special, [row.input_ids[at] for at in places]


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of some ids, special tokens included."""
    return tokenizer.decode(
        list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
