"""What every command that takes a configuration has in common.

@config_command("evaluate")
@click.option("--json", "as_json", is_flag=True, help="…")
def main(resolved: Resolved, as_json: bool) -> None: ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from axolotl.cli._exit import exit_codes
from axolotl.cli._say import say_findings

if TYPE_CHECKING:
    from axolotl.resolve import Purpose, Resolved

SETTINGS = {
    "ignore_unknown_options": True,
    "allow_interspersed_args": True,
    "help_option_names": ["-h", "--help"],
}
_OVERRIDES = (
    "CONFIG is a YAML file, a folder with some, an http(s) address, or `-` for standard input; "
    "without it, the folder `examples`. `--KEY VALUE` overrides any option of it, also a nested "
    "one: `--datasets.0.path other.jsonl`; `--KEY` and `--no-KEY` turn a switch on and off. "
    "`--allow_unknown` makes warnings of keys that are no options."
)

Body = Callable[..., None]


def config_command(
    name: str, *, purpose: Purpose | Callable[[Mapping[str, Any]], Purpose] = "answer"
) -> Callable[[Body], click.Command]:
    """Make a command of a function that takes a resolved configuration.

    The command reads `CONFIG` and overrides, resolves them, prints the findings, and calls the
    function with `resolved` and the values of the options declared on it. Its docstring is the help.

    Args:
        name: The command's name.
        purpose: What the command uses the configuration for, or a function that tells it from the
            command's options.
    """

    def decorate(body: Body) -> click.Command:
        @functools.wraps(body)
        def run(arguments: tuple[str, ...], **options: Any) -> None:
            with exit_codes(name):
                from axolotl.config.load import load_arguments
                from axolotl.errors import AxolotlError
                from axolotl.resolve import all_told, resolve

                aim = purpose(options) if callable(purpose) else purpose
                with all_told(purpose=aim):
                    config = load_arguments(arguments)
                resolved = resolve(config, purpose=aim)
                say_findings(resolved.findings)
                try:
                    body(resolved, **options)
                except AxolotlError as error:
                    error.where = _in_file(resolved, error.where)
                    raise

        return arguments_command(name)(run)

    return decorate


def _in_file(resolved: Resolved, where: str | None) -> str | None:
    """A place that is an option, such as `datasets.0.path`, with the line it is written in."""
    from axolotl.config import options

    if where is None or where.partition(".")[0] not in options():
        return where
    origin = resolved.origin(where)
    return where if origin in ("default", f"--{where}") else f"{origin}: {where}"


def arguments_command(
    name: str, *, metavar: str = "CONFIG [--KEY VALUE]..."
) -> Callable[[Body], click.Command]:
    """Make a command of a function that takes `arguments`: a file and overrides, unread."""

    def decorate(body: Body) -> click.Command:
        taking = click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar=metavar)
        return click.command(name, context_settings=SETTINGS, epilog=_OVERRIDES)(taking(body))

    return decorate
