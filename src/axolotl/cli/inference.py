"""Ask the trained model: a prompt from a pipe, a chat in the terminal, a file of prompts, a web page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from axolotl.cli._answering import (
    KEY_VARIABLE,
    how_to_answer,
    key_of_environment,
    refuse_open_door,
    which_model,
)
from axolotl.cli._run import config_command

if TYPE_CHECKING:
    from axolotl.inference.generate import Generator
    from axolotl.resolve import Resolved

_HERE = "127.0.0.1"
_DIGITS = 16
_FILE = click.Path(path_type=Path, dir_okay=False)


@config_command("inference")
@which_model
@how_to_answer
@click.option("--stop", multiple=True, metavar="TEXT", help="Ends an answer; may be given again.")
@click.option(
    "--prompts", type=_FILE, help="Answer every row of this file, one JSON object a line."
)
@click.option("--out", type=_FILE, help="Where the answers to --prompts go; kept and gone on with.")
@click.option("--batch_prompts", type=click.IntRange(1), help="Prompts at a time; default 8.")
@click.option("--web", is_flag=True, help="A page to ask in, with the base model's answers beside.")
@click.option("--host", help="Address that --web listens on; default 127.0.0.1, this machine only.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Its port; default: free, from 7860 on."
)
@click.option("--without_key", is_flag=True, help="Let --web listen for others without a password.")
def main(
    resolved: Resolved,
    base: bool,
    merged: bool,
    web: bool,
    host: str | None,
    port: int | None,
    without_key: bool,
    stop: tuple[str, ...],
    prompts: Path | None,
    out: Path | None,
    batch_prompts: int | None,
    **options: Any,
) -> None:
    """Ask the trained model: a prompt from a pipe, a chat, a file of prompts, a web page.

    `echo "A question" | axolotl inference CONFIG` puts one answer on standard output. Without a pipe
    it is a chat; `--prompts rows.jsonl --out answers.jsonl` answers a file. Questions are asked in
    the format of the training data. `--seed` chooses another answer. `--web` serves a page.
    """
    if base and merged:
        raise click.UsageError("--base and --merged exclude each other")
    if (prompts is None) != (out is None):
        raise click.UsageError("--prompts and --out go together")
    if batch_prompts and prompts is None:
        raise click.UsageError("--batch_prompts goes with --prompts")
    if web and prompts is not None:
        raise click.UsageError("--web and --prompts exclude each other")
    if not web and (host or port or without_key):
        raise click.UsageError("--host, --port and --without_key go with --web")
    if web:
        refuse_open_door(host or _HERE, key=key_of_environment(), without_key=without_key)
    from axolotl.inference.options import GenerationOptions

    options["stop"] = stop or None
    GenerationOptions.of(**{k: v for k, v in options.items() if k != "prompter"})
    if web:
        _page(resolved, base=base, merged=merged, host=host, port=port, **options)
        return
    text = _piped() if prompts is None and not _is_terminal() else None
    if prompts is not None:
        _check_file(prompts)
    from axolotl.inference.opening import open_generator

    generator = open_generator(resolved, base=base, merged=merged, **options)
    if prompts is not None and out is not None:
        _answer_file(generator, prompts, out, batch_prompts)
    elif text is None:
        _chat(generator)
    else:
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


def _check_file(prompts: Path) -> None:
    from axolotl.errors import DataError

    if not prompts.is_file():
        raise DataError(
            f"no file '{prompts}'",
            where="--prompts",
            hint="name a file with one JSON object a line",
        )


def _answer_file(generator: Generator, prompts: Path, out: Path, batch_prompts: int | None) -> None:
    from axolotl.core.console import note
    from axolotl.core.hashing import hash_values
    from axolotl.errors import DataError
    from axolotl.inference.many import BATCH_PROMPTS, answer_file

    bound = generator.bound
    made_by = {"model": generator.name, "weights": generator.weights, "format": "none"}
    if bound:  # many formats go by one name: mappings, and all chat templates
        made_by |= {"format": bound.type, "wording": hash_values(bound.identity())[:_DIGITS]}
    told = answer_file(
        generator,
        prompts,
        out,
        batch_prompts=batch_prompts or BATCH_PROMPTS,
        made_by=made_by,
    )
    note(f"{told.rows - told.before - told.failed:,} answers written to {out}")
    if longer := told.cut - told.full:
        most = generator.options.max_new_tokens
        note(f"({longer:,} cut after {most} tokens; --max_new_tokens allows more)")
    if told.full:
        filled = f"prompt and answer fill the model's {generator.positions} positions"
        note(f"({told.full:,} cut where {filled})")
    if told.unanswered:
        raise DataError(
            f"{told.unanswered:,} of {told.rows:,} rows could not be answered ({told.which})",
            where=str(prompts),
            hint=f"'{out}' has an `error` in their place; mend them in a file of their own",
        )


def _page(
    resolved: Resolved,
    *,
    base: bool,
    merged: bool,
    host: str | None,
    port: int | None,
    **options: Any,
) -> None:
    from axolotl.core.console import note
    from axolotl.inference.web import USER, build_page, load_gradio, serve_page

    load_gradio()  # before the model is loaded
    from axolotl.inference.opening import open_generator
    from axolotl.inference.page import Answerer
    from axolotl.inference.which import names_whole

    trained = open_generator(resolved, base=base, merged=merged, **options)
    alone = base or (not merged and names_whole(resolved))  # then base_model is what answers
    open_base = None if alone else lambda: open_generator(resolved, base=True, **options)
    page = build_page(Answerer(trained, open_base), title=trained.name)
    password = key_of_environment()
    address = serve_page(page, host=host or _HERE, port=port, password=password)
    note(f"The page is at {address} (Ctrl-C ends it)")
    if password:
        note(f"It asks for a name and a password: {USER}, and what {KEY_VARIABLE} holds")
    page.block_thread()


def _chat(generator: Generator) -> None:
    from dataclasses import asdict
    from functools import partial

    from axolotl.core.console import note
    from axolotl.inference.chat import Conversation, changed, chat, terminal_line

    bound = generator.bound
    follows = bound is not None and bound.talks
    asked = f"in the format {bound.type}" if bound else "as plain text"
    each = "" if follows else ", each by itself"
    note(f"Questions are asked {asked}{each}. Ctrl-C stops an answer, /help lists commands.")

    def change(name: str, value: str) -> str:
        if name:
            generator.options = changed(generator.options, name, value)
        return ", ".join(f"{key} {said}" for key, said in asdict(generator.options).items())

    chat(
        Conversation(generator.stream, follows=follows),
        ask=terminal_line,
        more=partial(terminal_line, "… "),
        write=_write,
        after=lambda: _say_if_cut(generator),
        change=change,
    )


def _write(piece: str) -> None:
    click.echo(piece, nl=False)


def _say_if_cut(generator: Generator) -> None:
    from axolotl.core.console import note

    if generator.cut:
        more = "" if generator.full else "; --max_new_tokens allows more"
        note(f"({generator.why_cut}{more})")


if __name__ == "__main__":
    main()
