"""Write a trained model as a GGUF file, for llama.cpp and what is built on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from axolotl.cli._exit import exit_codes
from axolotl.cli._run import arguments_command, config_command

if TYPE_CHECKING:
    from axolotl.artifacts.gguf.export import GgufReport
    from axolotl.resolve import Resolved

_OF_A_MODEL = ("config.json", "adapter_config.json")


@arguments_command("export-gguf")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["f32", "f16", "bf16", "q8_0"]),
    default="f16",
    show_default=True,
    help="How the numbers are stored; q8_0 takes half of f16.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file; default: in the folder of the run, such as `my-run/my-run-f16.gguf`.",
)
def main(arguments: tuple[str, ...], kind: str, out: Path | None) -> None:
    """Write a trained model as a GGUF file, for llama.cpp and what is built on it.

    CONFIG is as for other commands, or the folder of a run or of a model. An adapter has to be merged
    first. Models of the types llama, mistral, qwen2 and qwen3 can be written, with their tokenizer,
    special tokens and chat template; the file is read back and compared.
    """
    folder = Path(arguments[0]) if len(arguments) == 1 else None
    if folder is not None and any((folder / name).is_file() for name in _OF_A_MODEL):
        with exit_codes("export-gguf"):
            from axolotl.artifacts.gguf.run import export_folder

            _say(export_folder(folder, kind=kind, out=out))
        return
    _of_config.callback(arguments, kind=kind, out=out)  # pyright: ignore[reportOptionalCall]


@config_command("export-gguf", purpose="merge")
def _of_config(resolved: Resolved, kind: str, out: Path | None) -> None:
    from axolotl import api

    _say(api.export_gguf(resolved, kind=kind, out=out))


def _say(report: GgufReport) -> None:
    from axolotl.core.console import print_pairs
    from axolotl.core.units import bytes_in_words

    template = "chat template included" if report.chat_template else "no chat template"
    print_pairs(
        "Exported",
        {
            "model": report.source,
            "result": report.file,
            "type": f"{report.kind}, as a {report.arch}",
            "size": f"{bytes_in_words(report.size_bytes)}, {report.tensors:,} tensors",
            "tokenizer": template,
            "largest difference": f"{report.difference:.1e} of the largest number of its row",
            "time": f"{report.seconds:.1f} s",
        },
    )


if __name__ == "__main__":
    main()
