"""Bring an old configuration into today's form, and say what became of each of its keys."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from axolotl.cli._exit import MENDABLE, exit_codes
from axolotl.cli._say import COLOURS, paint, problems_of
from axolotl.errors import AxolotlError, ConfigError

if TYPE_CHECKING:
    from axolotl.config.find import Source
    from axolotl.records import Finding
    from axolotl.resolve.fates import Fate
    from axolotl.resolve.migrate import Migration

_SHOWN = ("level", "rule", "key", "where", "message", "hint")
"""What the document tells of a finding."""
_STATUS_COLOURS = {
    "kept": None,
    "renamed": "green",
    "changed": "green",
    "without effect": "yellow",
    "not yet": "cyan",
    "refused": "red",
}
_BOM = b"\xef\xbb\xbf"


@click.command("migrate", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("old", metavar="OLD.yml")
@click.option("-o", "--output", metavar="NEW.yml", help="Write the new file here; may be OLD.yml.")
@click.option("--force", is_flag=True, help="Overwrite NEW.yml where it is another file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option("-v", "--verbose", is_flag=True, help="List the keys that are kept as well.")
def main(old: str, output: str | None, force: bool, as_json: bool, verbose: bool) -> None:
    """Bring an old configuration into today's form, and say what became of each of its keys.

    Old names are replaced, keys without effect are removed; comments, order and everything else
    stay as they are. Without -o the new text goes to standard output and the report to standard
    error. OLD.yml may be `-` for standard input. Ends with 2 where a key is refused, which only you
    can mend.
    """
    with exit_codes("migrate"):
        from axolotl.config.find import find_source
        from axolotl.resolve.migrate import migrate

        try:
            source = find_source(old)
            target = _target(output, source, force=force) if output else None
            migration = migrate(_text(source), source)
        except AxolotlError as error:
            if not as_json:
                raise
            click.echo(json.dumps(_failed(error), ensure_ascii=False))
            raise SystemExit(MENDABLE) from error
        if target:
            from axolotl.core.atomic import write_atomic

            write_atomic(target, migration.text)
        if as_json:
            click.echo(json.dumps(_document(migration), ensure_ascii=False))
        else:
            if not target:
                stream = sys.stdout.buffer
                stream.write(migration.text.encode())
                stream.flush()
                if not migration.text.endswith("\n"):
                    click.echo(err=True)
            report = "\n".join(_report(migration, source.name, output, verbose=verbose))
            click.echo(report, err=not target)
        if not migration.ok:
            raise SystemExit(MENDABLE)


def _target(output: str, source: Source, *, force: bool) -> Path:
    target = Path(output).expanduser().resolve()
    if target.is_dir():
        raise ConfigError("", "this is a folder", where=output, hint="name the file in it")
    if target.exists() and not force and (source.path is None or not target.samefile(source.path)):
        hint = "choose another name, or add --force to overwrite it"
        raise ConfigError("", "there is a file of this name", where=output, hint=hint)
    return target


def _text(source: Source) -> str:
    """What the file says, with the mark that some editors put at its beginning."""
    from axolotl.config.find import read_source

    text = read_source(source)
    if source.path is None:
        return text
    with source.path.open("rb") as stream:
        return _BOM.decode() + text if stream.read(len(_BOM)) == _BOM else text


def _document(migration: Migration) -> dict[str, object]:
    return {
        "ok": migration.ok,
        "text": migration.text,
        "changed": migration.changed,
        "keys": [asdict(fate) for fate in migration.keys],
        "findings": [{name: getattr(f, name) for name in _SHOWN} for f in migration.findings],
    }


def _failed(error: AxolotlError) -> dict[str, object]:
    findings = [
        {
            "level": "error",
            "rule": "options",
            "key": problem.key if isinstance(problem, ConfigError) else "",
            "where": problem.where or "",
            "message": problem.what,
            "hint": problem.hint or "",
        }
        for problem in problems_of(error)
    ]
    return {"ok": False, "text": None, "changed": False, "keys": [], "findings": findings}


def _report(migration: Migration, name: str, output: str | None, *, verbose: bool) -> Iterator[str]:
    """A table of the keys, what remains to be looked at, and counts."""
    shown = [fate for fate in migration.keys if verbose or fate.status != "kept"]
    if shown:
        yield paint(f"{name} → {output}" if output else name, bold=True)
        yield from _table(shown)
    told = {(fate.why, fate.hint) for fate in shown}
    rest = [f for f in migration.findings if (f.message, f.hint) not in told]
    if rest:
        yield paint("to be looked at", bold=True)
        yield from map(_line, rest)
    yield _counts(migration)


def _table(fates: Sequence[Fate]) -> Iterator[str]:
    lines = max(len(str(fate.line or "")) for fate in fates)
    keys = max(len(fate.key) for fate in fates)
    statuses = max(len(fate.status) for fate in fates)
    before = ""
    for fate in fates:
        status = paint(f"{fate.status:<{statuses}}", fg=_STATUS_COLOURS[fate.status])
        place = paint(f"{fate.line or '':>{lines}}", dim=True)
        words = [f"→ {fate.new}"] if fate.new else []
        why = "as above" if fate.why == before else fate.why
        before = fate.why
        words += [paint(why, dim=True)] if why else []
        yield f"  {place}  {fate.key:<{keys}}  {status}  {'  '.join(words)}".rstrip()
        if fate.hint:
            yield " " * (lines + keys + statuses + 8) + paint(f"hint: {fate.hint}", dim=True)


def _line(finding: Finding) -> str:
    colour = COLOURS[finding.level]
    place = paint(f"{finding.where}: ", fg=colour, bold=True) if finding.where else ""
    hint = paint(f"\n    hint: {finding.hint}", dim=True) if finding.hint else ""
    return f"  {place}{paint(finding.level, fg=colour)}: {finding.message}{hint}"


def _counts(migration: Migration) -> str:
    counts = [
        paint(f"{count} {status}", fg=colour)
        for status, colour in _STATUS_COLOURS.items()
        if (count := sum(fate.status == status for fate in migration.keys)) or status == "kept"
    ]
    nothing = "" if migration.changed else "nothing to change: "
    return f"{nothing}{', '.join(counts)}"


if __name__ == "__main__":
    main()
