"""Fill the token store and say what became of the rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from axolotl.cli._run import config_command

if TYPE_CHECKING:
    from axolotl.data.summary import PrepareSummary
    from axolotl.resolve import Resolved

SAMPLES = 5
"""How many rows are printed with `debug: true`."""


@config_command("preprocess", purpose="prepare")
@click.option("--debug", is_flag=True, help="Print some rows, token by token; as `debug: true`.")
@click.option(
    "--debug_num_examples",
    type=click.IntRange(min=1),
    default=SAMPLES,
    show_default=True,
    help="How many rows --debug prints, chosen at random.",
)
@click.option("--debug_text_only", is_flag=True, help="Leave (label, id) out of --debug.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(
    resolved: Resolved,
    debug: bool,
    debug_num_examples: int,
    debug_text_only: bool,
    as_json: bool,
) -> None:
    """Fill the token store and say what became of the rows.

    A second run with the same data, tokenizer and options finds the tokens there; one that was
    interrupted goes on where it was.
    """
    debug = debug or resolved.general.debug
    summary = fill_store(
        resolved, samples=debug_num_examples if debug else 0, text_only=debug_text_only
    )
    if as_json:
        click.echo(json.dumps(summary.as_dict(), default=str))


def fill_store(resolved: Resolved, *, samples: int, text_only: bool = False) -> PrepareSummary:
    """Prepare the data, say what became of the rows, and print some of them token by token.

    Args:
        resolved: The configuration.
        samples: How many rows are printed.
        text_only: Leave out `(label, id)`.
    """
    from axolotl import api
    from axolotl.core.console import console, print_pairs
    from axolotl.reports.prepared import print_sources

    prepared = api.prepare(resolved)
    summary = prepared.summary
    print_sources(summary.by_source, console())
    print_pairs("Prepared", summary.lines(reasons=False))
    if not samples:
        return summary

    from axolotl.reports.preview_text import print_samples

    seed, tokenizer = resolved.training.seed, api.load_tokenizer(resolved)
    print_samples(prepared.train, tokenizer, count=samples, seed=seed, text_only=text_only)
    return summary


if __name__ == "__main__":
    main()
