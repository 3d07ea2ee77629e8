"""Walk the whole road with a tiny random model, on this machine, in about a minute."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from axolotl.cli._exit import exit_codes
from axolotl.cli._run import arguments_command

if TYPE_CHECKING:
    from axolotl.verify.rehearse import Rehearsal, Stage

_MARKS = {"proven": ("✓", "green"), "failed": ("✗", "red"), "not shown": ("-", "yellow")}


@arguments_command("rehearse")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option("--keep", is_flag=True, help="Leave the scratch folder with all that was written.")
@click.option(
    "--architecture",
    metavar="MODEL_TYPE",
    help="What the base model is, such as `llama`, where neither its files nor its name tell.",
)
def main(arguments: tuple[str, ...], as_json: bool, keep: bool, architecture: str | None) -> None:
    """Walk the whole road with a tiny random model, on this machine, in about a minute.

    Prepares the data, packs, trains three steps, evaluates, saves, is killed and resumed, merges and
    answers, in a scratch folder. The base model is replaced by a random one of the same
    architecture, the data by its first rows, and what only a GPU has by what a CPU has for it; each
    replacement is said. Ends with what was proven, and what could not be.

    Ends with 0 if nothing failed, with 2 if you can mend what did, else with 1.
    """
    with exit_codes("rehearse"):
        from axolotl import api
        from axolotl.config.load import load_arguments
        from axolotl.core.console import note
        from axolotl.resolve import all_told
        from axolotl.verify.rehearse import Commands, rehearse

        with all_told(purpose="train"):
            config = load_arguments(arguments)
        found = rehearse(
            config,
            Commands(api.train, api.evaluate, api.merge, api.generate),
            keep=keep,
            architecture=architecture,
            on_stage=lambda stage: note(_line(stage)),
        )
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        _tell(found)
    if found.exit_code:
        raise SystemExit(found.exit_code)


def _line(stage: Stage) -> str:
    mark, _ = _MARKS[stage.state]
    return f"{mark} {stage.name} ({stage.seconds:.1f} s)"


def _tell(found: Rehearsal) -> None:
    """What was replaced, what was proven, and what could not be."""
    from rich.table import Table
    from rich.text import Text

    from axolotl.core.console import console, note, print_block

    table = Table(box=None, padding=(0, 2, 0, 0), title="In the place of", title_justify="left")
    for name in ("option", "of the file", "in the rehearsal"):
        table.add_column(name, overflow="fold")
    for one in found.replacements:
        table.add_row(Text(one.key), Text(one.was), Text(one.now or "left out"))
    print_block(table, console())
    note("")
    table = Table(box=None, padding=(0, 2, 0, 0), title="What was shown", title_justify="left")
    table.add_column("stage", no_wrap=True)
    table.add_column("claim", overflow="fold", ratio=2)
    table.add_column("seen", overflow="fold", ratio=3)
    for stage in found.stages:
        mark, colour = _MARKS[stage.state]
        seen = stage.seen + (f"\nhint: {stage.hint}" if stage.hint else "")
        table.add_row(Text(f"{mark} {stage.name}", style=colour), Text(stage.claim), Text(seen))
    print_block(table, console())
    note("")
    if found.unproven:
        note("Not shown by any rehearsal, or not by this one:")
        for line in found.unproven:
            note(f"  - {line}")
    note(_verdict(found))
    if found.folder:
        note(f"all that was written is in {found.folder}")


def _verdict(found: Rehearsal) -> str:
    counts = {state: sum(s.state == state for s in found.stages) for state in _MARKS}
    words = [f"{count} {state}" for state, count in counts.items() if count]
    how = "passed" if not found.failed else "FAILED"
    return f"{how}: {', '.join(words)}, in {found.seconds:.0f} s"


if __name__ == "__main__":
    main()
