"""Values of a report in words, and tables of them as HTML in which no data becomes markup."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from axolotl.core.units import bytes_in_words

NOTHING = "—"
MOST_CHARACTERS = 2000
"""Characters of a text from the data that are shown."""


def text(value: Any) -> str:
    """A value of an option, or of a row, as HTML."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    lost = len(said) - MOST_CHARACTERS
    return escape(said if lost <= 0 else f"{said[:MOST_CHARACTERS]} … and {lost:,} characters more")


def count(value: Any) -> str:
    """A whole number, or a dash."""
    return f"{int(value):,}" if isinstance(value, int | float) else NOTHING


def loss(value: Any) -> str:
    """A loss, or a dash where there is none or it is not finite."""
    return f"{value:.4f}" if isinstance(value, int | float) else NOTHING


def size(value: Any) -> str:
    """Bytes in words, or a dash.

    >>> size(2_530_000_000), size(None)
    ('2.53 GB', '—')
    """
    return bytes_in_words(value) if isinstance(value, int | float) else NOTHING


def duration(seconds: Any) -> str:
    """Seconds in words.

    >>> duration(42), duration(3725), duration(200_000)
    ('42 s', '1 h 2 min', '2 d 7 h')
    """
    if not isinstance(seconds, int | float):
        return NOTHING
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, hours, days = whole // 60 % 60, whole // 3600 % 24, whole // 86400
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """A list of names and values; the values are HTML already."""
    inner = "".join(f"<div><dt>{escape(k)}</dt><dd>{v}</dd></div>" for k, v in rows)
    return f"<dl>{inner}</dl>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "") -> str:
    """A table; the cells are HTML already.

    Args:
        header: Names of the columns.
        rows: Its rows.
        kind: A class for the style sheet.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-of="{escape(name)}">{cell}</td>'
            for name, cell in zip(header, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
