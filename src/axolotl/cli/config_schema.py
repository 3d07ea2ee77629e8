"""Print the JSON Schema of configuration files, for editors."""

from __future__ import annotations

import json
from pathlib import Path

import click

from axolotl.cli._exit import exit_codes


@click.command("config-schema", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File to write it to.")
def main(out: Path | None) -> None:
    """Print the JSON Schema of configuration files, for editors.

    VS Code's YAML extension completes and checks a file that begins with the line
    `# yaml-language-server: $schema=axolotl.schema.json`.
    """
    with exit_codes("config-schema"):
        from axolotl.config.json_schema import json_schema
        from axolotl.core.atomic import write_atomic

        text = json.dumps(json_schema(), indent=2, ensure_ascii=False)
        if out is None:
            click.echo(text)
            return
        write_atomic(out, f"{text}\n")
        click.echo(f"written to {out}", err=True)


if __name__ == "__main__":
    main()
