"""Say all there is to say of an option: what it takes, changes and needs, and where its value comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from axolotl.cli._exit import exit_codes
from axolotl.cli._run import arguments_command
from axolotl.cli._say import paint, say_findings
from axolotl.errors import ConfigError

if TYPE_CHECKING:
    from axolotl.config.paths import Key
    from axolotl.resolve import Resolved
    from axolotl.resolve.explain import Explanation


@arguments_command("explain", metavar="[CONFIG] KEY [--KEY VALUE]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(arguments: tuple[str, ...], as_json: bool) -> None:
    """Say all there is to say of an option: what it takes, changes and needs, and where its value comes from.

    KEY may be a dotted path, such as `datasets.0.path`, or a pattern, such as `lora_*`. With CONFIG,
    its value there is shown too.
    """
    with exit_codes("explain"):
        from axolotl.config.paths import general, paths
        from axolotl.resolve.explain import explain

        key, rest = _split(arguments)
        if "*" in key:
            _list(key, as_json=as_json)
            return
        if general(key) not in paths():
            raise _unknown(key)
        resolved = _resolved(rest) if rest else None
        found = explain(paths()[general(key)], key, resolved)
        if as_json:
            click.echo(json.dumps(_document(found), ensure_ascii=False))
            return
        click.echo("\n".join(_page(found)))
        say_findings(found.findings)


def _split(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The key that is asked for, and the arguments that name a configuration."""
    from axolotl.config import options
    from axolotl.config.overrides import split_arguments

    names, _ = split_arguments(arguments, options())
    if len(names) not in (1, 2):
        raise ConfigError(
            "", "name one option", hint="write `axolotl explain [CONFIG] KEY`, such as `lora_r`"
        )
    key, rest = names[-1], list(arguments)
    rest.remove(key)
    if len(names) == 1 and rest:
        raise ConfigError("", "overrides need a CONFIG", hint="write `axolotl explain CONFIG KEY`")
    return key.replace("-", "_"), rest


def _resolved(arguments: Sequence[str]) -> Resolved:
    from axolotl.config.load import load_arguments
    from axolotl.resolve import examine

    return examine(load_arguments(arguments))


def _unknown(key: str) -> ConfigError:
    from axolotl.config import options
    from axolotl.config.later_names import LATER
    from axolotl.config.legacy import old_names
    from axolotl.config.unknown import unknown_hint

    if key in old_names():
        return ConfigError(key, f"'{key}' is no option: {old_names()[key]}")
    if key in LATER:
        return ConfigError(key, f"'{key}' is known since a later release, but not supported yet")
    return ConfigError(key, f"no option '{key}'", hint=unknown_hint(key, list(options())))


def _list(pattern: str, *, as_json: bool) -> None:
    from fnmatch import fnmatch

    from axolotl.config.paths import paths

    found: list[Key] = [key for path, key in paths().items() if fnmatch(path, pattern)]
    if not found:
        raise ConfigError("", f"no option is like '{pattern}'")
    if as_json:
        document = [{"key": k.path, "description": k.info.description} for k in found]
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    width = max(len(key.path) for key in found)
    for key in found:
        text = (key.info.description or "").split("; ")[0]
        click.echo(f"{paint(f'{key.path:<{width}}', bold=True)}  {text}")


def _document(found: Explanation) -> dict[str, Any]:
    from dataclasses import asdict

    document = asdict(found)
    for finding in document["findings"]:
        del finding["fix"]
    return document


def _page(found: Explanation) -> Iterator[str]:
    yield f"{paint(found.key, bold=True)}  {paint(found.section, dim=True)}"
    yield f"  {found.description}"
    rows = [("takes", found.takes), ("default", found.default)]
    if found.origin:
        value = "—" if found.value is None else json.dumps(found.value, ensure_ascii=False)
        rows += [("here", f"{value}  ({found.origin})")]
    if found.needs:
        rows.append(("needs", found.needs.replace("`", "")))
    for label, text in rows:
        yield f"  {paint(f'{label:<8}', fg='cyan')} {text}"
    if found.rules:
        width = max(map(len, found.rules))
        yield f"  {paint('rules', fg='cyan')}"
        for rule, about in found.rules.items():
            yield f"    {rule:<{width}}  {paint(about, dim=True)}"


if __name__ == "__main__":
    main()
