"""Train a model as the file says."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from axolotl.cli._exit import DONE, TERMINATED
from axolotl.cli._run import config_command
from axolotl.cli.launch.options import launch_options

if TYPE_CHECKING:
    from axolotl.resolve import Resolved


@config_command(
    "train", purpose=lambda options: "prepare" if options["prepare_ds_only"] else "train"
)
@click.option("--prepare_ds_only", is_flag=True, help="Only fill the token store.")
@launch_options
def main(resolved: Resolved, prepare_ds_only: bool, **launch: Any) -> None:
    """Train a model as the file says.

    Prepares the data, trains, and saves into output_dir. Ctrl-C saves a checkpoint and ends; SIGTERM does
    the same, with exit code 143.

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
    from axolotl.cli._trained import say_trained
    from axolotl.core.last_word import leave_code
    from axolotl.core.rank_log import keep_output

    keep_output(Path(resolved.saving.output_dir))
    result = api.train(resolved)
    terminated = result.stopped_by is signal.SIGTERM
    leave_code(TERMINATED if terminated else DONE)
    if terminated:
        # A launcher ends all others when it sees the first of them end with a code that is not 0.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say_trained(result, typed, adapter=resolved.adapter.adapter is not None)
    if terminated:
        raise SystemExit(TERMINATED)


if __name__ == "__main__":
    main()
