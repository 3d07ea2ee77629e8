"""Save a model again, in files of another size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from axolotl.cli._run import config_command

if TYPE_CHECKING:
    from axolotl.resolve import Resolved


@config_command("shard", purpose="merge")
@click.option(
    "--max_shard_size",
    "--max-shard-size",
    metavar="SIZE",
    help="Size of a file of weights at most, such as 2GB or 500MB; default: 5GB.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to; default: output_dir while it is empty, else its folder `sharded`.",
)
def main(resolved: Resolved, max_shard_size: str | None, out: Path | None) -> None:
    """Save a model again, in files of another size.

    It is the merged model where an adapter was trained, else the model in output_dir, and the base
    model as long as no run has begun. Every tensor is read back and compared, bit for bit.
    """
    from axolotl import api
    from axolotl.core.console import print_pairs
    from axolotl.core.units import bytes_in_words

    report = api.shard(resolved, max_shard_size=max_shard_size, out=out)
    print_pairs(
        "Saved again",
        {
            "model": report.source,
            "result": report.folder,
            "files": f"{report.files:,} of at most {bytes_in_words(report.max_shard_bytes)}",
            "tensors": f"{report.tensors:,}, {bytes_in_words(report.size_bytes)}, all equal",
            "time": f"{report.seconds:.1f} s",
        },
    )


if __name__ == "__main__":
    main()
