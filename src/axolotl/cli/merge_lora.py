"""Merge the trained adapter into its base model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from axolotl.cli._run import config_command

if TYPE_CHECKING:
    from axolotl.resolve import Resolved


@config_command("merge-lora", purpose="merge")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="dtype of the merged weights; default: that of the base weights in training.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the merged model; default: `merged` in output_dir.",
)
@click.option(
    "--max_shard_size",
    "--max-shard-size",
    metavar="SIZE",
    help="Size of a file of weights at most, such as 2GB or 500MB; default: 5GB.",
)
def main(
    resolved: Resolved, dtype: str | None, out: Path | None, max_shard_size: str | None
) -> None:
    """Merge the trained adapter into its base model.

    Writes a model that needs neither adapter nor peft, loads it again, and measures how far its
    logits are from those of base and adapter. Without lora_model_dir, the adapter in output_dir is
    taken. Bases in 8 or 4 bits are loaded whole.
    """
    from axolotl import api
    from axolotl.core.console import print_pairs
    from axolotl.core.units import bytes_in_words

    report = api.merge(resolved, dtype=dtype, out=out, max_shard_size=max_shard_size)
    apart = report.difference
    print_pairs(
        "Merged",
        {
            "base": report.base,
            "adapter": report.adapter,
            "result": report.folder,
            "dtype": report.dtype,
            "size": bytes_in_words(report.size_bytes),
            "largest difference": f"{apart.largest:.1e} in a logit, {apart.relative:.1e} of the "
            f"largest one, on {report.rows}",
            "same next token": f"{apart.agreeing:,} of {apart.positions:,} positions",
            "time": f"{report.seconds:.1f} s",
        },
    )


if __name__ == "__main__":
    main()
