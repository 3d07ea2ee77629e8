"""The preview as one page that needs no network: rows, packs, plots, search and filters.

Everything that comes from data stands in one JSON block in which no `<` is left, and the page's
security policy lets its own script and style sheet run alone, by their hash. So nothing in a row
can become markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from itertools import groupby
from typing import Any

from axolotl.data.encoder import Encoder
from axolotl.packing.plan import plan_packed, plan_sequential
from axolotl.records import IGNORE_INDEX
from axolotl.reports.histogram import histogram
from axolotl.reports.page_parts import whole_page
from axolotl.reports.preview import PreviewRow, summarise
from axolotl.reports.preview_text import fate_words
from axolotl.reports.token_text import TokenTexts

MOST_TOKENS = 20_000
"""Tokens of one row that are on the page; a whole book makes a page that no browser opens."""
MOST_CHARACTERS = 50_000
"""Characters of one source row that are on the page."""


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What the page says of the run that it belongs to.

    Args:
        config: Name of the configuration.
        model: The base model.
        tokenizer: What the tokenizer is.
        made: When the page was made.
        version: Version of this tool.
        sequence_len: Longest row in tokens.
        capacity_tokens: Tokens of a packed row; None where no rows are packed beforehand.
        seed: Seed of the packing.
        first_rows: How many rows of each file are on the page.
        sequential: Whether packed rows take one row after the other.
        shuffle: Whether those come in a random order, instead of that of the data.
        streamed: Whether rows are read, and packed, while the training goes on.
    """

    config: str
    model: str
    tokenizer: str
    made: str
    version: str
    sequence_len: int
    capacity_tokens: int | None
    seed: int
    first_rows: int
    sequential: bool = False
    shuffle: bool = True
    streamed: bool = False


def page(rows: Sequence[PreviewRow], facts: PageFacts, *, tokenizer: Any, encoder: Encoder) -> str:
    """The HTML text.

    Args:
        rows: The rows.
        facts: What the page says of the run.
        tokenizer: Decodes the ids.
        encoder: Knows the special tokens.
    """
    sources = _sources(rows)
    data = _data(rows, sources, facts, TokenTexts(tokenizer), encoder)
    data |= {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id}
    return whole_page(
        "preview",
        title=f"Preview of {facts.config}",
        scripts=["preview_tokens.js", "preview.js"],
        data=data,
        parts={"facts": _facts(facts, rows), "table": _table(rows, sources, facts)},
    )


def packs(rows: Sequence[PreviewRow], facts: PageFacts) -> list[list[tuple[int, int]]]:
    """How the rows shown would share packed rows: for each, the row and the piece of it.

    Those of `test_datasets` take no part.
    """
    trained = [i for i, row in enumerate(rows) if not row.evaluated]
    pieces = [(i, k) for i in trained for k in range(len(rows[i].pieces))]
    if facts.capacity_tokens is None or not pieces:
        return []
    lengths = [rows[i].pieces[k].end - rows[i].pieces[k].begin for i, k in pieces]
    fill = partial(plan_sequential, shuffle=facts.shuffle) if facts.sequential else plan_packed
    plan = fill(lengths, capacity_tokens=facts.capacity_tokens, seed=facts.seed, epoch=0)
    return [[pieces[at] for at in plan.bin(0, step)] for step in range(plan.steps)]


_Source = tuple[str, str, str | None]


def _source(row: PreviewRow) -> _Source:
    return row.entry, row.dataset, row.type


def _sources(rows: Sequence[PreviewRow]) -> list[_Source]:
    return list(dict.fromkeys(map(_source, rows)))


def _short(sources: Sequence[_Source]) -> list[str]:
    """Names of the files, without their folders where that leaves them apart."""
    labels = {label for _, label, _ in sources}
    short = {label: label.rpartition("/")[2] or label for label in labels}
    apart = len(set(short.values())) == len(labels)
    return [short[label] if apart else label for _, label, _ in sources]


def _data(
    rows: Sequence[PreviewRow],
    sources: Sequence[_Source],
    facts: PageFacts,
    texts: TokenTexts,
    encoder: Encoder,
) -> dict[str, Any]:
    content = [_row(row, sources.index(_source(row)), texts) for row in rows]
    evaluated = {row.entry for row in rows if row.evaluated}
    used = {token for row in content for token in row["ids"]}
    return {
        "rows": content,
        "sources": [
            {
                "name": short,
                "type": (kind or "tokens") + (", to evaluate on" if entry in evaluated else ""),
            }
            for short, (entry, _, kind) in zip(_short(sources), sources, strict=True)
        ],
        "texts": {token: texts.of(token) for token in used},
        "special": {t: text for t, text in encoder.control_tokens.items() if t in used},
        "packs": packs(rows, facts),
        "capacity": facts.capacity_tokens,
        "limit": facts.sequence_len,
    }


def _row(row: PreviewRow, source: int, texts: TokenTexts) -> dict[str, Any]:
    """A row as the script reads it; lists of runs keep it short."""
    ids, labels = list(row.input_ids[:MOST_TOKENS]), row.labels[:MOST_TOKENS]
    trained = [label != IGNORE_INDEX for label in labels]
    others = {
        at: label
        for at, (token, label) in enumerate(zip(ids, labels, strict=True))
        if label not in (token, IGNORE_INDEX)
    }
    return {
        "source": source,
        "number": row.source_row,
        "row": _source_text(row.row),
        "ids": ids,
        "tokens": len(row.input_ids),
        "trained": row.trained_tokens,
        "runs": _runs(trained),
        "others": others,
        "segments": _runs(row.segment_of[:MOST_TOKENS]),
        "trains": [int(segment.train) for segment in row.segments],
        "groups": texts.groups(ids),
        "pieces": [[piece.begin, piece.end] for piece in row.pieces],
        "fate": row.fate,
        "words": row.bad.what if row.bad else fate_words(row),
        "hint": row.bad.hint if row.bad else None,
        "remarks": list(row.remarks),
    }


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    """Equal neighbours as (value, how many).

    >>> _runs([0, 0, 1])
    [(0, 2), (1, 1)]
    """
    return [(int(value), len(list(run))) for value, run in groupby(values)]


def _source_text(row: Mapping[str, Any] | None) -> str | None:
    if row is None:
        return None
    text = json.dumps(row, ensure_ascii=False, indent=2, default=str)
    lost = len(text) - MOST_CHARACTERS
    return text if lost <= 0 else f"{text[:MOST_CHARACTERS]}\n… and {lost:,} characters more"


def _facts(facts: PageFacts, rows: Sequence[PreviewRow]) -> str:
    packed = "while they are read" if facts.streamed else "no"
    if facts.capacity_tokens is not None:
        packed = f"yes, up to {facts.capacity_tokens:,} tokens in a row"
    pairs = {
        "configuration": facts.config,
        "base model": facts.model,
        "tokenizer": facts.tokenizer,
        "sequence_len": f"{facts.sequence_len:,}",
        "packed": packed,
        "rows": f"{len(rows):,}, at most {facts.first_rows:,} of each file",
        "made": f"{facts.made} by axolotl {facts.version}",
    }
    return "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in pairs.items())


def _table(rows: Sequence[PreviewRow], sources: Sequence[_Source], facts: PageFacts) -> str:
    """A line for each source: counts and two plots."""
    return "".join(
        _line(source, short, [row for row in rows if _source(row) == source], facts)
        for source, short in zip(sources, _short(sources), strict=True)
    )


def _line(source: _Source, short: str, rows: Sequence[PreviewRow], facts: PageFacts) -> str:
    entry, label, kind = source
    found = summarise(rows)
    told = [row for row in rows if row.bad is None]
    gone = [f"{n:,} dropped: {reason}" for reason, n in found["dropped"].items()]
    gone += [f"{found[what]:,} {what}" for what in ("truncated", "split", "bad") if found[what]]
    lengths = [len(row.input_ids) for row in told]
    shares = [100 * row.trained_tokens / len(row.input_ids) for row in told if row.input_ids]
    cells = {
        "source": f"<b>{escape(short)}</b><small>{escape(label)}<br>"
        f"{escape(entry)} · {escape(kind or 'tokens')}</small>",
        "rows": f"{len(rows):,}",
        "tokens": f"{found['tokens']:,}",
        "trained": f"{found['trained_share']:.1%}",
        "left out or cut": "<br>".join(map(escape, gone)) or "none",
        "length": histogram(
            lengths,
            title="Rows by length",
            unit="tokens",
            line=facts.sequence_len,
            line_label="sequence_len",
        ),
        "trained share": histogram(
            shares, title="Rows by trained share", unit="%", most=100, bins=20
        ),
    }
    return "<tr>" + "".join(f'<td data-of="{k}">{v}</td>' for k, v in cells.items()) + "</tr>"
