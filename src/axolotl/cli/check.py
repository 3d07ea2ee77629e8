"""Validate a configuration and show what each option comes to, and from where."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from axolotl.cli._exit import MENDABLE, exit_codes
from axolotl.cli._run import arguments_command
from axolotl.cli._say import paint, problems_of, say_findings
from axolotl.errors import AxolotlError, ConfigError, ConfigErrors

if TYPE_CHECKING:
    from axolotl.records import Finding
    from axolotl.resolve import Resolved

_NARROWEST, _WIDEST = 60, 120
_VALUE_COLUMN = 36

_SHOWN = ("level", "rule", "key", "where", "message", "hint")
"""What the document tells of a finding."""
_Shown = tuple[str, str, str]
"""Key, value and origin."""


@arguments_command("check")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(arguments: tuple[str, ...], as_json: bool) -> None:
    """Validate a configuration and show what each option comes to, and from where.

    Loads no model and no data. Options that are written, or follow from others, stand in lines with
    their places; those left to their defaults stand below them.
    """
    with exit_codes("check"):
        from axolotl.config.load import load_arguments
        from axolotl.resolve import all_told, examine

        try:
            with all_told():
                config = load_arguments(arguments)
            resolved = examine(config)
        except AxolotlError as error:
            if not as_json:
                raise
            click.echo(json.dumps(_refused(error), ensure_ascii=False))
            raise SystemExit(MENDABLE) from error
        if as_json:
            click.echo(json.dumps(_document(resolved), ensure_ascii=False))
        else:
            click.echo("\n".join(_table(resolved)))
            say_findings(resolved.findings)
            click.echo(_verdict(resolved), err=True)
        if resolved.errors:
            raise SystemExit(MENDABLE)


def _refused(error: AxolotlError) -> dict[str, Any]:
    findings = [
        {
            "level": "error",
            "rule": problem.rule if isinstance(problem, ConfigError) else "options",
            "key": problem.key if isinstance(problem, ConfigError) else "",
            "where": problem.where or "",
            "message": problem.what,
            "hint": problem.hint or "",
        }
        for problem in problems_of(error)
    ]
    if isinstance(error, ConfigErrors):
        findings += [_finding(remark) for remark in error.remarks]
    return {"ok": False, "config": None, "origins": None, "findings": findings}


def _finding(finding: Finding) -> dict[str, str]:
    return {name: getattr(finding, name) for name in _SHOWN}


def _document(resolved: Resolved) -> dict[str, Any]:
    config = resolved.as_dict()
    return {
        "ok": not resolved.errors,
        "config": config,
        "origins": {key: resolved.origin(key) for key in config},
        "findings": [_finding(finding) for finding in resolved.findings],
    }


def _verdict(resolved: Resolved) -> str:
    counts = [
        f"{count} {level}{'s' if count > 1 else ''}"
        for level in ("error", "warning")
        if (count := sum(finding.level == level for finding in resolved.findings))
    ]
    word = (
        paint("refused", fg="red", bold=True)
        if resolved.errors
        else paint("valid", fg="green", bold=True)
    )
    return f"{word}{': ' if counts else ''}{', '.join(counts)}"


def _table(resolved: Resolved) -> Iterator[str]:
    """The options, section by section."""
    from axolotl.config import SECTIONS

    file, _, line = resolved.origin("base_model").rpartition(":")
    in_file = f"{file}:" if line.isdigit() else None
    rows, defaults = dict[str, list[_Shown]](), dict[str, list[str]]()
    for name in SECTIONS:
        values = getattr(resolved, name).model_dump(mode="json")
        settled = {k: v for k, v in values.items() if resolved.origin(k) != "default"}
        rows[name] = [row for k, v in settled.items() for row in _rows(resolved, k, v, in_file)]
        defaults[name] = [f"{k} {_short(v)}" for k, v in values.items() if k not in settled]
    shown = [row for section in rows.values() for row in section]
    keys = max(len(key) for key, _, _ in shown)
    column = min(max(len(value) for _, value, _ in shown), _VALUE_COLUMN)
    if in_file:
        yield paint(file, bold=True)
    for name in SECTIONS:
        yield paint(name, fg="cyan", bold=True)
        for key, value, origin in rows[name]:
            yield f"  {key:<{keys}}  {value:<{column}}  {paint(origin, dim=True)}"
        if defaults[name]:
            yield paint(_paragraph(defaults[name]), dim=True)


def _rows(resolved: Resolved, key: str, value: Any, in_file: str | None) -> Iterator[_Shown]:
    """Key, value and origin; what is written of the entries of a list, one by one."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        paths = {f"{key}.{n}.{name}": part for n, v in enumerate(value) for name, part in v.items()}
        shown = {path: part for path, part in paths.items() if path in resolved.config.places}
    else:
        shown = {key: value}
    for path, part in shown.items():
        origin = resolved.origin(path)
        yield path, _short(part), origin.replace(in_file, "line ") if in_file else origin


def _paragraph(defaults: list[str]) -> str:
    """Options with their defaults, as running text that breaks only between options."""
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    filled = textwrap.fill(
        "\0· ".join(item.replace(" ", "\0") for item in defaults),
        width=width,
        initial_indent="  default: ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.replace("\0", " ")


def _short(value: Any) -> str:
    if value is None or value in ({}, []):
        return "—"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
