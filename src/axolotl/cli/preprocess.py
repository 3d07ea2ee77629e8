"""Fill the token store and say what became of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from axolotl.cli._run import config_command

if TYPE_CHECKING:
    from axolotl.resolve import Resolved


@config_command("preprocess", purpose="prepare")
@click.option("--debug", is_flag=True, help="Print some rows, token by token.")
@click.option(
    "--debug_num_examples",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How many rows --debug prints, chosen at random.",
)
@click.option("--debug_text_only", is_flag=True, help="Leave (label, id) out of --debug.")
def main(resolved: Resolved, debug: bool, debug_num_examples: int, debug_text_only: bool) -> None:
    """Fill the token store and say what became of the rows.

    A second run with the same data, tokenizer and options finds the tokens there.
    """
    from axolotl import api
    from axolotl.core.console import console, print_pairs

    prepared = api.prepare(resolved)
    print_pairs("Prepared", prepared.summary.lines())
    if not debug:
        return

    import numpy as np

    from axolotl.reports.preview import render_tokens

    tokenizer = api.load_tokenizer(resolved)
    chance = np.random.default_rng(resolved.training.seed)
    for index in chance.choice(len(prepared.train), debug_num_examples):
        row = prepared.train[int(index)]
        ids, labels = row.input_ids.tolist(), row.labels.tolist()
        text = render_tokens(ids, labels, tokenizer, text_only=debug_text_only)
        console().print(text, soft_wrap=True)
        console().rule(style="dim")


if __name__ == "__main__":
    main()
