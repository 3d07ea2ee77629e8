"""Loss and perplexity on the held-out rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from axolotl.cli._run import config_command

if TYPE_CHECKING:
    from axolotl.resolve import Resolved


@config_command("evaluate")
@click.option("--base", is_flag=True, help="The base model, without what was trained.")
@click.option(
    "--checkpoint",
    metavar="FOLDER",
    help="A checkpoint of the run, such as checkpoint-100, in place of its result.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(resolved: Resolved, base: bool, checkpoint: str | None, as_json: bool) -> None:
    """Loss and perplexity on the held-out rows.

    The loss is the mean over trained tokens, in nats; with several sets, of each set too. With
    `do_bench_eval`, the questions of `bench_dataset` are answered as well.
    """
    from axolotl import api
    from axolotl.core.console import print_pairs

    if base and checkpoint:
        raise click.UsageError("--base and --checkpoint are two different models")
    result = api.evaluate(resolved, base=base, checkpoint=checkpoint)
    if as_json:
        click.echo(json.dumps(result.record()))
        return
    lines = [
        ("loss", f"{result.loss:.4f}"),
        ("perplexity", f"{result.perplexity:.2f}"),
        ("trained tokens", f"{result.trained_tokens:,}"),
    ]
    lines += [
        (
            f"set {name}",
            f"loss {part.loss:.4f}, perplexity {part.perplexity:.2f}, {part.trained_tokens:,} tokens",
        )
        for name, part in result.sets.items()
    ]
    print_pairs("Held-out rows", lines)
    if result.bench:
        print_pairs("Questions", _questions(result.bench))


def _questions(figures: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Lines of a table."""
    from axolotl.training.bench.figures import bench_record

    found = bench_record(figures)
    yield "right", f"{found['accuracy']:.1%}"
    yield "loss of the right letter", f"{found['loss']:.4f}"
    yield from ((name, f"{share:.1%} right") for name, share in found["subjects"].items())
    if len(found["subjects"]) > 1:
        yield "average of the subjects", f"{found['average_accuracy']:.1%} right"


if __name__ == "__main__":
    main()
