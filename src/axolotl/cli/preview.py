"""Show what is trained and what is masked, row by row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from axolotl.cli._run import config_command

if TYPE_CHECKING:
    from axolotl.resolve import Resolved


@config_command("preview")
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How many rows of each file.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(resolved: Resolved, rows: int, as_json: bool) -> None:
    """Show what is trained and what is masked, row by row.

    Trained text stands in ⟦ ⟧. Only the tokenizer is loaded, and nothing is written.
    """
    from rich.console import Console

    from axolotl.data.encoder import Encoder
    from axolotl.data.entries import open_parts
    from axolotl.data.tokenize import Limits
    from axolotl.models.tokenizer import load_tokenizer
    from axolotl.reports.preview import as_document, preview_rows, render, summary_line

    tokenizer = load_tokenizer(resolved.model)
    encoder = Encoder(tokenizer)
    shown = preview_rows(
        open_parts(resolved, encoder),
        encoder,
        Limits.of(resolved),
        first_rows=rows,
    )
    if as_json:
        click.echo(json.dumps(as_document(shown)))
        return
    screen = Console(highlight=False)
    for row in shown:
        screen.print(render(row, tokenizer, encoder), soft_wrap=True)
        screen.rule(style="dim")
    screen.print(summary_line(shown), highlight=False)


if __name__ == "__main__":
    main()
