"""Flags of the commands that ask a model: which one, and how it is to answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_WHICH = (
    click.option("--base", is_flag=True, help="The base model, without what was trained."),
    click.option("--merged", is_flag=True, help="The merged model in output_dir/merged."),
    click.option(
        "--prompter",
        metavar="TYPE",
        help="Dataset type to ask in, such as alpaca:chat; `none`: plain text. Default: as in training.",
    ),
)
_HOW = (
    click.option("--max_new_tokens", type=int, help="Longest answer, in tokens; default 1024."),
    click.option(
        "--temperature", type=float, help="0: always the most probable token; default 0.9."
    ),
    click.option(
        "--top_p", type=float, help="Sample from this share of probability; default 0.95."
    ),
    click.option("--top_k", type=int, help="Sample from so many tokens at most; default 40."),
    click.option(
        "--min_p", type=float, help="Leave out what is less probable than this share of the best."
    ),
    click.option(
        "--repetition_penalty",
        type=float,
        help="Above 1: repeat less; default 1.1, and 1 at temperature 0.",
    ),
)


def which_model(command: Command) -> Command:
    """Give a command `--base`, `--merged` and `--prompter`."""
    return _with(command, _WHICH)


def how_to_answer(command: Command) -> Command:
    """Give a command the flags of sampling; their defaults are those of `GenerationOptions`."""
    return _with(command, _HOW)


def _with(command: Command, flags: Sequence[Callable[[Command], Command]]) -> Command:
    for flag in reversed(flags):  # as decorators: the last one is applied first
        command = flag(command)
    return command
