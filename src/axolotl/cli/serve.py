"""Serve the trained model to clients of OpenAI's HTTP interface."""

from __future__ import annotations

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


@config_command("serve")
@which_model
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0: any that is free.",
)
@click.option(
    "--api_key",
    metavar="KEY",
    help=f"What clients must know. Better in the variable {KEY_VARIABLE}: others on this machine "
    "can read command lines.",
)
@click.option("--without_key", is_flag=True, help="Listen on a public address without a key.")
@click.option("--name", help="What clients call the model; default: the name of output_dir.")
@click.option(
    "--max_waiting",
    type=click.IntRange(min=0),
    default=64,
    show_default=True,
    help="Requests that may wait while others are answered; more are turned away.",
)
@click.option(
    "--max_batch",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Prompts that are answered together, each as alone; the bound of the memory for them.",
)
@how_to_answer
def main(
    resolved: Resolved,
    host: str,
    port: int,
    api_key: str | None,
    without_key: bool,
    name: str | None,
    max_waiting: int,
    max_batch: int,
    **options: Any,
) -> None:
    """Serve the trained model to clients of OpenAI's HTTP interface.

    /v1/chat/completions, /v1/completions and /v1/models, streaming and not. A chat is asked in the
    format of the training. What a request leaves out is as said here. Requests are answered
    together: one that comes joins those that are being answered. Ctrl-C ends the server.
    """
    if options["base"] and options["merged"]:
        raise click.UsageError("--base and --merged exclude each other")
    from axolotl.core.console import note
    from axolotl.core.optional import need

    for package in ("starlette", "uvicorn"):
        need(package, extra="serve", why="axolotl serve")
    key = api_key or key_of_environment()
    refuse_open_door(host, key=key, without_key=without_key)
    from axolotl.inference.hosts import is_loopback, names_of
    from axolotl.inference.server.run import listen, serve, url_of

    with listen(host, port) as listening:
        from axolotl.inference.opening import open_generator
        from axolotl.inference.server.app import Service
        from axolotl.inference.server.worker import Worker

        generator = open_generator(resolved, **options)
        worker = Worker(generator, most_waiting=max_waiting, max_batch=max_batch)
        service = Service(
            worker,
            name=name or _name(resolved, base=options["base"]),
            bound=generator.bound,
            usual=generator.options,
            key=key,
            hosts=names_of(host) if key is None and is_loopback(host) else None,
        )
        asked = f"in the format {generator.bound.type}" if generator.bound else "as plain text"
        note(f"'{service.name}' answers at {url_of(listening)}, asked {asked}. Ctrl-C ends it.")
        note(_how_many(generator, max_batch))
        serve(service.app(), worker, listening)


def _how_many(generator: Generator, max_batch: int) -> str:
    if generator.apart:
        return f"Requests are answered one after another, because of this model: {generator.apart}."
    if max_batch == 1:
        return "Requests are answered one after another (--max_batch 1)."
    return f"Up to {max_batch} prompts are answered together."


def _name(resolved: Resolved, *, base: bool) -> str:
    if base:
        return str(resolved.model.base_model)
    return Path(resolved.saving.output_dir).resolve().name


if __name__ == "__main__":
    main()
