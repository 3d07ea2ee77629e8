"""The command `axolotl`: finds its commands in this folder and loads the one that is asked for."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

import click

import axolotl
from axolotl import registry
from axolotl.cli._exit import exit_codes

PACKAGE = "axolotl.cli"
_NO_COMMANDS = ("main", "launch")


def command_names() -> list[str]:
    """Names of the commands: the files of this folder, with hyphens for underscores."""
    return [_typed(name) for name in registry.available(PACKAGE) if name not in _NO_COMMANDS]


def _typed(name: str) -> str:
    return name.replace("_", "-")


def _summary(name: str) -> str:
    """First line of the command's module docstring, read without running the module."""
    file = Path(__file__).with_name(f"{name.replace('-', '_')}.py")
    text = ast.get_docstring(ast.parse(file.read_bytes())) or ""
    return text.partition("\n")[0]


class CommandFolder(click.Group):
    """A group whose commands are files; a command's module is imported only when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Names of all commands."""
        return command_names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; underscores may stand for hyphens."""
        if _typed(cmd_name) not in command_names():
            return None
        module = importlib.import_module(f"{PACKAGE}.{cmd_name.replace('-', '_')}")
        return module.main

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command that is named; name the nearest one where there is none."""
        typed = args[0]
        if _typed(typed) in command_names() or typed.startswith("-"):
            return super().resolve_command(ctx, args)
        guess = registry.nearest(_typed(typed), command_names())
        if guess:
            way_out = f"Did you mean '{guess}'?"
        elif Path(typed).is_file():
            way_out = f"Did you mean 'axolotl train {typed}'?"
        else:
            way_out = f"There are: {', '.join(command_names())}."
        raise click.UsageError(f"no command '{typed}'. {way_out}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """One line for each command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in command_names()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error while it is imported ends like one while it runs."""
        with exit_codes("axolotl"):
            return super().invoke(ctx)


@click.group(
    cls=CommandFolder,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`axolotl COMMAND --help` says more about a command.",
)
@click.version_option(axolotl.__version__, prog_name="axolotl")
def main() -> None:
    """One YAML file in, a fine-tuned language model out."""


if __name__ == "__main__":
    main()
