"""Write what a run did as one page: curves, data, samples, configuration, environment."""

from __future__ import annotations

from pathlib import Path

import click

from axolotl.cli._exit import exit_codes

PAGE = "report.html"


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the page is written; default: report.html in the folder of the run, or in the "
    "current one for several runs.",
)
def main(runs: tuple[Path, ...], out: Path | None) -> None:
    """Write what a run did as one page: curves, data, samples, configuration, environment.

    RUN is the output_dir of a training, or its configuration file. Several runs are shown beside each
    other. The page needs no network, and nothing is loaded but the files of the run: also while it
    goes on, and after it was killed.
    """
    with exit_codes("report"):
        from datetime import datetime

        from axolotl import __version__
        from axolotl.core.atomic import write_atomic
        from axolotl.reports.report_page import report_page, state_of
        from axolotl.reports.run_files import labels, read_run_files

        folders = [_folder(run) for run in runs]
        read = [
            read_run_files(folder, label=label)
            for folder, label in zip(folders, labels(folders), strict=True)
        ]
        target = out or (folders[0] / PAGE if len(folders) == 1 else Path(PAGE))
        now = datetime.now().astimezone()
        write_atomic(target, report_page(read, made=now, version=__version__))
        for run in read:
            click.echo(f"{run.label}: {state_of(run)}", err=True)
        click.echo(str(target))


def _folder(run: Path) -> Path:
    """The folder of a run, which a configuration names."""
    if run.is_dir() or run.suffix not in (".yml", ".yaml"):
        return run
    from axolotl.config.load import load_config

    return Path(load_config(run).saving.output_dir)


if __name__ == "__main__":
    main()
