"""Proofs on your own model and data, each with its numbers."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import click

from axolotl.cli._run import config_command

if TYPE_CHECKING:
    from axolotl.resolve import Resolved
    from axolotl.verify import Proof


@click.group("verify", context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Prove on your own model and data what a training relies on.

    Ends with 0 if the proof holds, with 1 if it does not, and with 2 if it cannot be tried.
    """


_count = partial(click.option, type=click.IntRange(min=1), metavar="N")
_as_json = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output."
)


@config_command("packing")
@_count("--rows", help="Rows to compare; by default 2, or one where that takes a minute.")
@_as_json
def packing(resolved: Resolved, rows: int | None, as_json: bool) -> None:
    """Show that samples that share a row do not see each other.

    Packed rows of the data are compared with their samples alone, with the model as training opens
    it: logits, loss, and the gradient of the trained weights.
    """
    from axolotl.verify.packing import prove

    _tell(prove(resolved, rows=rows), as_json=as_json)


@config_command("accumulation")
@_count("--ranks", help="Processes to deal the batch out to; 2 by default, and 1 leaves that out.")
@_as_json
def accumulation(resolved: Resolved, ranks: int | None, as_json: bool) -> None:
    """Show that a batch trains the same however it is cut up.

    The first batch of the data goes through the training loop in several micro-batches,
    accumulated rows and processes; the loss and the gradient of the trained weights are compared.
    """
    from axolotl.verify.accumulation import prove

    _tell(prove(resolved, ranks=ranks), as_json=as_json, title="One batch, cut up in several ways")


main.add_command(packing)
main.add_command(accumulation)


def _tell(proof: Proof, *, as_json: bool, title: str = "Packed against alone") -> None:
    """Print a proof, and end with 1 if it does not hold."""
    from axolotl.core.console import note, print_pairs

    if as_json:
        found = {"claim": proof.claim, "holds": proof.holds, "numbers": dict(proof.numbers)}
        click.echo(json.dumps(found | {"lines": list(proof.lines)}))
    else:
        pairs = (line.partition(": ") for line in proof.lines)
        print_pairs(title, [(name, text) for name, _, text in pairs])
        note(f"{'holds' if proof.holds else 'DOES NOT HOLD'}: {proof.claim}")
    if not proof.holds:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
