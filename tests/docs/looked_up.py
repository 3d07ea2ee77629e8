"""Commands that cannot be run here are looked up: is there such a command, are there such options?"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

from axolotl.cli.main import CommandFolder, command_names, main
from axolotl.config import options

_STARTS = re.compile(r"(?:^|[\s/])axolotl$|^axolotl$")


def unknown_words(script: str) -> list[str]:
    """Commands of axolotl in a script that do not exist, and options of them that do not.

    >>> unknown_words("CUDA_VISIBLE_DEVICES=0 axolotl train a.yml --lora_r 4; axolotl fly --high")
    ['axolotl fly']
    >>> unknown_words("torchrun --nproc_per_node 2 -m axolotl.cli.train a.yml --highest 3")
    ['axolotl train --highest']
    """
    return [problem for command in _commands(script) for problem in _unknown(command)]


def _commands(script: str) -> Iterator[list[str]]:
    """The words of each command of axolotl, beginning with its name."""
    text = re.sub(r"\\\n", " ", script)
    for line in text.splitlines():
        line = line.removeprefix("$ ")
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&()")
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError:
            continue  # a quotation over several lines, such as a here-document's
        for index, word in enumerate(words):
            module = re.fullmatch(r"axolotl\.cli\.(\w+)", word)
            if module and words[index - 1] == "-m":
                yield [module[1].replace("_", "-"), *_until_next(words[index + 1 :])]
            elif word == "axolotl" and (index == 0 or _begins_command(words[:index])):
                yield list(_until_next(words[index + 1 :]))


def _begins_command(before: list[str]) -> bool:
    return before[-1] in (";", "|", "&&", "||", "&", "then", "do", "--", "srun", "run") or all(
        "=" in word for word in before
    )


def _until_next(words: list[str]) -> Iterator[str]:
    for word in words:
        if word in (";", "|", "&&", "||", "&", ">", "2>", "<", ")"):
            return
        yield word


def _unknown(words: list[str]) -> Iterator[str]:
    if not words or words[0].startswith("-"):
        return
    name = words[0].replace("_", "-")
    if name not in command_names():
        yield f"axolotl {words[0]}"
        return
    assert isinstance(main, CommandFolder)
    command: click.Command | None = main.get_command(click.Context(main), name)
    if isinstance(command, click.Group) and len(words) > 1:
        command = command.get_command(click.Context(command), words[1])
    assert command is not None, words
    own = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
    if "--allow_unknown" in words:
        return
    for word in words[1:]:
        flag = word.partition("=")[0]
        key = flag.removeprefix("--").removeprefix("no-").partition(".")[0]
        known = flag in own or key in options() or key == "strict"
        if flag.startswith("--") and flag != "--" and not known:
            yield f"axolotl {name} {flag}"
