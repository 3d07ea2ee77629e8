"""Train a model as the file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from axolotl.cli._run import config_command
from axolotl.cli.launch.options import launch_options

if TYPE_CHECKING:
    from axolotl.records import RunResult
    from axolotl.resolve import Resolved


@config_command(
    "train", purpose=lambda options: "prepare" if options["prepare_ds_only"] else "train"
)
@click.option("--prepare_ds_only", is_flag=True, help="Only fill the token store.")
@launch_options
def main(resolved: Resolved, prepare_ds_only: bool, **launch: Any) -> None:
    """Train a model as the file says.

    Prepares the data, trains, and saves into output_dir. Ctrl-C saves a checkpoint and ends.

    With --nproc N it starts N processes, of which each trains a part of every batch. Their output is in
    output_dir/logs, the first one's on the screen as well.
    """
    from axolotl.cli.launch.start import start_processes

    if prepare_ds_only:
        from axolotl.cli.preprocess import SAMPLES, fill_store

        fill_store(resolved, samples=SAMPLES if resolved.general.debug else 0)
        return
    typed = click.get_current_context().params["arguments"]
    if start_processes(resolved, typed, launch):
        return
    from axolotl import api
    from axolotl.core.console import note, print_pairs
    from axolotl.core.rank_log import keep_output

    keep_output(Path(resolved.saving.output_dir))
    result = api.train(resolved)
    figures = result.metrics
    print_pairs(
        "Stopped early" if result.interrupted else "Trained",
        {
            "steps": f"{result.steps:,}",
            "loss": f"{result.train_loss:.4f} in training{_held_out(result)}",
            "speed": f"{figures['tokens_per_second']:,.0f} tokens per second",
            "time": f"{figures['seconds']:.0f} s",
            "peak memory": f"{figures['peak_memory_bytes'] / 1e9:.2f} GB",
            "result": str(result.output_dir),
            "report": str(result.output_dir / "run.json"),
        },
    )
    if result.interrupted:
        note("go on with: --resume_from_checkpoint=true")


def _held_out(result: RunResult) -> str:
    """The loss on the held-out rows, and what it was measured on where that is not the result."""
    if result.eval_loss is None:
        return ""
    of = result.metrics.get("eval_loss_of")
    return f", {result.eval_loss:.4f} on held-out rows" + (f" (of {of})" if of else "")


if __name__ == "__main__":
    main()
