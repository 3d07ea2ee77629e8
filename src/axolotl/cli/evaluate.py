"""Loss and perplexity on the held-out rows."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import click

from axolotl.cli._run import config_command

if TYPE_CHECKING:
    from axolotl.resolve import Resolved


@config_command("evaluate")
@click.option("--base", is_flag=True, help="The base model, without what was trained.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(resolved: Resolved, base: bool, as_json: bool) -> None:
    """Loss and perplexity on the held-out rows.

    The loss is the mean over trained tokens, in nats.
    """
    from axolotl import api
    from axolotl.core.console import print_pairs

    result = api.evaluate(resolved, base=base)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "eval_loss": _number(result.loss),
                    "perplexity": _number(result.perplexity),
                    "trained_tokens": result.trained_tokens,
                }
            )
        )
        return
    print_pairs(
        "Held-out rows",
        {
            "loss": f"{result.loss:.4f}",
            "perplexity": f"{result.perplexity:.2f}",
            "trained tokens": f"{result.trained_tokens:,}",
        },
    )


def _number(value: float) -> float | None:
    """JSON has no number for infinity."""
    return value if math.isfinite(value) else None


if __name__ == "__main__":
    main()
