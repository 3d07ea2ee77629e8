"""Flags of the commands that ask a model: which one, and how it is to answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

KEY_VARIABLE = "AXOLOTL_API_KEY"

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


def key_of_environment() -> str | None:
    """What those who ask must know, as the environment says it."""
    return os.environ.get(KEY_VARIABLE) or None


def refuse_open_door(host: str, *, key: str | None, without_key: bool) -> None:
    """Let a model listen for other machines only where they need a key, or the user wants none.

    Args:
        host: Address to listen on.
        key: What those who ask must know; None for nothing.
        without_key: Whether everybody may ask.

    Raises:
        click.UsageError: everybody could ask, and nobody said so.
        EnvironmentFault: there is no such address.
    """
    from axolotl.inference.hosts import is_loopback

    if not (key or without_key or is_loopback(host)):
        raise click.UsageError(
            f"--host {host} lets others than this machine in, and there is no key. Set "
            f"{KEY_VARIABLE}, or say --without_key if everybody who reaches it may ask"
        )


def _with(command: Command, flags: Sequence[Callable[[Command], Command]]) -> Command:
    for flag in reversed(flags):  # as decorators: the last one is applied first
        command = flag(command)
    return command
