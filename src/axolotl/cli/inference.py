"""Ask the trained model: one prompt from a pipe, or a chat in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from axolotl.cli._run import config_command

if TYPE_CHECKING:
    from axolotl.inference.generate import Generator
    from axolotl.resolve import Resolved


@config_command("inference")
@click.option("--base", is_flag=True, help="The base model, without what was trained.")
@click.option("--merged", is_flag=True, help="The merged model in output_dir/merged.")
@click.option(
    "--prompter",
    metavar="TYPE",
    help="Dataset type to ask in, such as alpaca:chat; `none`: plain text. Default: as in training.",
)
@click.option("--max_new_tokens", type=int, help="Longest answer, in tokens; default 1024.")
@click.option("--temperature", type=float, help="0: always the most probable token; default 0.9.")
@click.option("--top_p", type=float, help="Sample from this share of probability; default 0.95.")
@click.option("--top_k", type=int, help="Sample from so many tokens at most; default 40.")
@click.option(
    "--repetition_penalty",
    type=float,
    help="Above 1: repeat less; default 1.1, and 1 at temperature 0.",
)
def main(resolved: Resolved, base: bool, merged: bool, **options: Any) -> None:
    """Ask the trained model: one prompt from a pipe, or a chat in the terminal.

    `echo "A question" | axolotl inference CONFIG` puts one answer on standard output. Questions are
    asked in the format of the training data. `--seed` chooses another answer.
    """
    if base and merged:
        raise click.UsageError("--base and --merged exclude each other")
    text = None if _is_terminal() else _piped()
    from axolotl.inference.generate import open_generator

    generator = open_generator(resolved, base=base, merged=merged, **options)
    if text is None:
        _chat(generator)
        return
    for piece in generator.stream(text):
        _write(piece)
    _write("\n")
    _say_if_cut(generator)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _piped() -> str:
    """The prompt from standard input, without the line ends around it."""
    from axolotl.errors import DataError

    try:
        text = sys.stdin.buffer.read().decode("utf-8").strip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"the prompt is not UTF-8 (byte {error.start})",
            where="standard input",
            hint="convert it, for instance with iconv",
        ) from error
    if not text.strip():
        raise DataError(
            "the prompt is empty",
            where="standard input",
            hint='echo "A question" | axolotl inference CONFIG, or start it in a terminal to chat',
        )
    return text


def _chat(generator: Generator) -> None:
    from axolotl.core.console import note
    from axolotl.inference.chat import chat, terminal_line

    asked = f"in the format {generator.bound.type}" if generator.bound else "as plain text"
    note(
        f"Questions are asked {asked}, each by itself. Ctrl-C stops an answer, /help lists commands."
    )
    chat(generator.stream, ask=terminal_line, write=_write, after=lambda: _say_if_cut(generator))


def _write(piece: str) -> None:
    click.echo(piece, nl=False)


def _say_if_cut(generator: Generator) -> None:
    from axolotl.core.console import note

    if generator.cut:
        note(f"(cut after {generator.options.max_new_tokens} tokens; --max_new_tokens allows more)")


if __name__ == "__main__":
    main()
