"""Show what is trained and what is masked, row by row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from axolotl.cli._run import config_command

if TYPE_CHECKING:
    from axolotl.data.encoder import Encoder
    from axolotl.reports.preview import PreviewRow
    from axolotl.resolve import Resolved

ROWS, PAGE_ROWS = 5, 50
"""Rows of each file in the terminal, and on the page."""


@config_command("preview")
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    help=f"How many rows of each file: {ROWS}, and {PAGE_ROWS} with --html.",
)
@click.option("--row", type=click.IntRange(min=1), help="This row of each file alone, from 1.")
@click.option(
    "--dataset",
    type=click.IntRange(min=0),
    help="This entry of `datasets` alone, counted from 0 as in `--datasets.0.path`.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one page to look at in a browser; it needs no network.",
)
def main(
    resolved: Resolved,
    rows: int | None,
    row: int | None,
    dataset: int | None,
    as_json: bool,
    html: Path | None,
) -> None:
    """Show what is trained and what is masked, row by row.

    Trained text stands in ⟦ ⟧; ✂ is where a row is cut. A row that cannot be used is shown with the
    reason. Only the tokenizer is loaded, and no data is prepared.
    """
    from axolotl.data.encoder import Encoder
    from axolotl.models.tokenizer import load_tokenizer
    from axolotl.reports.preview import as_document, summary_line

    tokenizer = load_tokenizer(resolved.model)
    encoder = Encoder(tokenizer)
    first_rows = 1 if row else rows or (PAGE_ROWS if html else ROWS)
    shown = _shown(resolved, encoder, first_rows=first_rows, row=row, dataset=dataset)
    if html:
        _write_page(html, shown, resolved, tokenizer, encoder, first_rows=first_rows)
        click.echo(f"{html}: {summary_line(shown)}", err=as_json)
    if as_json:
        click.echo(json.dumps(as_document(shown)))
    elif not html:
        _print(shown, tokenizer, encoder)


def _shown(
    resolved: Resolved, encoder: Encoder, *, first_rows: int, row: int | None, dataset: int | None
) -> list[PreviewRow]:
    from axolotl.data.tokenize import Limits
    from axolotl.errors import DataError
    from axolotl.reports.preview_rows import all_parts, preview_rows

    parts = all_parts(resolved, encoder)
    if dataset is not None:
        keys = sorted({part.key for part in parts})
        wanted = [f"{key}.{dataset}" for key in ("datasets", "pretraining_dataset")]
        parts = [part for part in parts if part.key in wanted]
        if not parts:
            raise click.BadParameter(f"there is no entry {dataset}; there are: {', '.join(keys)}")
    start_row = row - 1 if row else 0
    shown = preview_rows(
        parts, encoder, Limits.of(resolved, encoder), first_rows=first_rows, start_row=start_row
    )
    if not shown:
        raise DataError(f"no file has a row {row}" if row else "the files have no rows")
    return shown


def _print(shown: list[PreviewRow], tokenizer: Any, encoder: Encoder) -> None:
    from rich.console import Console

    from axolotl.reports.preview import summary_line
    from axolotl.reports.preview_text import render

    screen = Console(highlight=False)
    for row in shown:
        screen.print(render(row, tokenizer, encoder), soft_wrap=True)
        screen.rule(style="dim")
    screen.print(summary_line(shown), highlight=False)


def _write_page(
    target: Path,
    shown: list[PreviewRow],
    resolved: Resolved,
    tokenizer: Any,
    encoder: Encoder,
    *,
    first_rows: int,
) -> None:
    from datetime import datetime

    from axolotl import __version__
    from axolotl.core.atomic import write_atomic
    from axolotl.reports.preview_page import PageFacts, page

    sequence, training, order = resolved.sequence, resolved.training, resolved.rows
    streamed = resolved.streaming.asked_by is not None
    packed = sequence.sample_packing and not streamed
    facts = PageFacts(
        config=resolved.origin("base_model").rpartition(":")[0] or "the command line",
        model=str(resolved.model.base_model),
        tokenizer=f"{type(tokenizer).__name__}, {len(tokenizer):,} tokens",
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        version=__version__,
        sequence_len=sequence.sequence_len,
        capacity_tokens=training.micro_batch_size * sequence.sequence_len if packed else None,
        seed=training.seed,
        first_rows=first_rows,
        sequential=order.sample_packing_sequentially or order.curriculum_sampling,
        shuffle=not order.curriculum_sampling,
        streamed=streamed,
    )
    write_atomic(target, page(shown, facts, tokenizer=tokenizer, encoder=encoder))


if __name__ == "__main__":
    main()
