"""Show where two configurations differ, and what each difference does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from axolotl.cli._exit import exit_codes
from axolotl.cli._say import paint, say_findings

if TYPE_CHECKING:
    from axolotl.resolve import Resolved
    from axolotl.resolve.compare import Difference


@click.command("diff", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("one", metavar="A.yml")
@click.argument("other", metavar="B.yml")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(one: str, other: str, as_json: bool) -> None:
    """Show where two configurations differ, and what each difference does.

    What they come to is compared, not how they are written: defaults are filled in first.
    """
    with exit_codes("diff"):
        from axolotl.resolve.compare import differences, only_here

        a, b = _resolved(one), _resolved(other)
        found = differences(a, b)
        remarks = only_here(a, b), only_here(b, a)
        if as_json:
            click.echo(json.dumps(_document(found, remarks), ensure_ascii=False))
            return
        click.echo("\n".join(_page(found, (one, other))))
        for name, findings in zip((one, other), remarks, strict=True):
            if findings:
                click.echo(f"\nonly of {name}:", err=True)
                say_findings(findings)


def _resolved(name: str) -> Resolved:
    from axolotl.config import load_config
    from axolotl.resolve import examine

    return examine(load_config(name))


def _document(found: Sequence[Difference], remarks: Sequence[Sequence[Any]]) -> dict[str, Any]:
    shown = ("level", "rule", "key", "where", "message", "hint")
    return {
        "equal": not found,
        "differences": [
            {"key": d.key, "a": d.values[0], "b": d.values[1], "origins": d.origins, "does": d.does}
            for d in found
        ],
        "findings": [[{n: getattr(f, n) for n in shown} for f in side] for side in remarks],
    }


def _page(found: Sequence[Difference], names: tuple[str, str]) -> Iterator[str]:
    if not found:
        yield f"{names[0]} and {names[1]} come to the same"
        return
    width = max(len(_short(d.values[0])) for d in found)
    for d in found:
        yield f"{paint(d.key, bold=True)}  {paint(d.does, dim=True)}"
        for value, origin, colour in zip(d.values, d.origins, ("red", "green"), strict=True):
            yield f"  {paint(f'{_short(value):<{width}}', fg=colour)}  {paint(origin, dim=True)}"
    yield f"{len(found)} option{'s differ' if len(found) > 1 else ' differs'}"


def _short(value: Any) -> str:
    if value in (None, [], {}):
        return "—"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
