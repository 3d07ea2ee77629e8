"""From a file, or a mapping, and overrides to a `Config`, with every mistake told at once."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast, get_origin

from axolotl.config.characters import printable, refuse_characters
from axolotl.config.config import SECTIONS, Config, options
from axolotl.config.environment import expand, take_unread
from axolotl.config.find import default_source, find_source
from axolotl.config.inherit import ARGUMENT, BASE, Written, read_files, read_mapping, same_thing
from axolotl.config.legacy import modernise
from axolotl.config.overrides import (
    ALLOW_UNKNOWN,
    Override,
    apply_overrides,
    split_arguments,
    take_allow_unknown,
)
from axolotl.config.section import Section
from axolotl.config.tree import TOO_DEEP, Branch, Leaf, from_python
from axolotl.config.typed import Reader, alternatives
from axolotl.errors import ConfigError, ConfigErrors
from axolotl.records import Finding

_MISPLACED = {
    BASE: "it belongs into a file: `base: other.yml`",
    ALLOW_UNKNOWN: f"write `--{ALLOW_UNKNOWN}` on the command line",
}


def load_config(
    source: str | Path | Mapping[str, Any],
    overrides: Sequence[str] | Sequence[Override] | Mapping[str, Any] = (),
    *,
    allow_unknown: bool = False,
) -> Config:
    """Read a configuration.

    A file may be laid over another one, which its key `base` names, and `${NAME}` in its values is
    a variable of the environment; see `axolotl.config.inherit` and `axolotl.config.environment`.

    Args:
        source: A YAML file, a folder with exactly one, an http(s) address, `-` for standard input,
            or the options as a mapping.
        overrides: What replaces options of it: arguments as on the command line
            (`["--lora_r", "16", "--no-sample_packing"]`), or a mapping by dotted path; also
            `Override`s.
        allow_unknown: Whether keys that are no options, or not yet, are only noted.

    Raises:
        ConfigErrors: everything that is wrong with it, in the order of its lines.
        EnvironmentFault: the file may not be read.

    >>> config = load_config({"base_model": "m", "datasets": [{"path": "d.jsonl"}]}, ["--lora_r=4"])
    >>> config.adapter.lora_r, config.origin("lora_r"), config.origin("seed")
    (4, '--lora_r', 'default')
    """
    with _all_told(ARGUMENT if isinstance(source, Mapping) else str(source)):
        changes = _read_overrides(overrides)
        if isinstance(source, Mapping):
            written = read_mapping(source)
        else:
            written = read_files(find_source(source))
        return _load(written, changes, allow_unknown=allow_unknown)


def load_written(written: Written, *, allow_unknown: bool = False) -> Config:
    """The configuration that a tree says, which is changed on the way.

    Args:
        written: What was written.
        allow_unknown: Whether keys that are no options, or not yet, are only noted.

    Raises:
        ConfigErrors: everything that is wrong with it.
    """
    with _all_told(written.name):
        return _load(written, [], allow_unknown=allow_unknown)


def load_arguments(arguments: Sequence[str]) -> Config:
    """Read the configuration that a command line asks for: what it names first, and overrides.

    Where that is a folder with several files, or nothing and there is a folder `examples`, and
    somebody sits at the terminal, they are asked.

    Args:
        arguments: What was typed, without options of the command's own.

    Raises:
        ConfigErrors: everything that is wrong with it.
        EnvironmentFault: the file may not be read.
    """
    with _all_told("command line"):
        files, changes = split_arguments(arguments, options())
        if len(files) > 1:
            hint = f"name one; if '{files[-1]}' is a value, write `--key={files[-1]}`"
            if any(_takes_list(change.path) for change in changes):
                hint += ", and a list as one argument: `--key '[a, b]'`"
            raise ConfigError("", f"several files: {', '.join(files)}", hint=hint)
        source = find_source(files[0], ask=True) if files else default_source(ask=True)
        return _load(read_files(source), changes)


def _takes_list(key: str) -> bool:
    return key in options() and any(
        get_origin(kind) is list for kind in alternatives(options()[key].annotation)
    )


@contextmanager
def _all_told(name: str) -> Generator[None]:
    """Raise whatever is wrong as `ConfigErrors`, fit to be printed."""
    try:
        yield
    except (ConfigError, RecursionError) as error:
        if isinstance(error, RecursionError):
            error = ConfigError("", TOO_DEEP, where=name)
        problems = error.problems if isinstance(error, ConfigErrors) else [error]
        for problem in problems:
            problem.what = printable(problem.what)
            problem.hint = printable(problem.hint) if problem.hint else None
        readable = error.readable if isinstance(error, ConfigErrors) else None
        problems = sorted(problems, key=lambda p: place_order(p.where))
        raise ConfigErrors(problems, readable) from error


def _load(written: Written, changes: list[Override], *, allow_unknown: bool = False) -> Config:
    tree = written.tree
    asked, changes = take_allow_unknown(changes)
    notes = list[Finding]()
    if _is_strict(tree):
        changes, refused = _only_written(tree, changes)
        notes += refused
    for change in changes:
        if isinstance(change.node, Leaf) and change.node.plain:  # typed, and not from Python
            expand(change.node)
    problems = [*written.problems, *apply_overrides(tree, changes, options())]
    problems += _take_misplaced(tree)
    lost = [*take_unread(tree), *refuse_characters(tree)]
    notes += modernise(tree)
    reader = Reader(written.name, problems, allow_unknown=allow_unknown or asked)
    values, failed = reader.fields(tree, options())
    sections = _deal(reader, values, failed)
    # A value that could not be read is not missing besides.
    keys = {problem.key for problem in lost}
    found = [*lost, *(problem for problem in reader.problems if problem.key not in keys)]
    notes += reader.notes
    if found:
        wrong = {problem.key.partition(".")[0] for problem in found}
        values = {key: value for key, value in values.items() if key not in wrong}
        sections |= {name: _section(section, values) for name, section in SECTIONS.items()}
    given = {k: _plain(v) for k, v in values.items()}
    config = Config(
        **sections,
        written=given,
        places=reader.places,
        notes=tuple(notes),
        file=written.path,
    )
    if found:
        raise ConfigErrors(found, readable=config)
    return config


def _section(section: type[Section], values: Mapping[str, Any]) -> Section:
    """A section of values that were found right, even where a required one is not among them."""
    own = {key: value for key, value in values.items() if key in section.model_fields}
    required = {k: "" for k, info in section.model_fields.items() if info.is_required()}
    return cast(Any, section).model_construct(**required | own)


def place_order(where: str | None) -> tuple[int, str, int]:
    """A key that sorts places: lines, file by file, then overrides, then what has no line.

    >>> sorted(["--lora_r", "a.yml:12", "a.yml", "a.yml:3"], key=place_order)
    ['a.yml:3', 'a.yml:12', '--lora_r', 'a.yml']
    """
    if match := re.fullmatch(r"(.*):(\d{1,15})", where or "", re.DOTALL):
        return 0, match[1], int(match[2])
    return (1, "", 0) if (where or "").startswith("--") else (2, where or "", 0)


def _read_overrides(
    overrides: Sequence[str] | Sequence[Override] | Mapping[str, Any],
) -> list[Override]:
    if isinstance(overrides, Mapping):
        return [Override(key, from_python(v, ARGUMENT, path=key)) for key, v in overrides.items()]
    if isinstance(overrides, str):
        raise TypeError("overrides are a sequence of arguments or a mapping, not one text")
    ready = [item for item in overrides if isinstance(item, Override)]
    typed = [item for item in overrides if isinstance(item, str)]
    others, changes = split_arguments(typed, options())
    if others:
        raise ConfigError(
            "",
            f"'{others[0]}' is no override",
            where=others[0],
            hint="write `--key value`, and a value with spaces in quotes",
        )
    return [*ready, *changes]


def _deal(reader: Reader, values: Mapping[str, Any], failed: set[str]) -> dict[str, Any]:
    """Deal the flat values out to the sections."""
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        own = {key: value for key, value in values.items() if key in section.model_fields}
        sections[name] = reader.build(section, own, failed & section.model_fields.keys())
    return sections


def _take_misplaced(tree: Branch) -> list[ConfigError]:
    """What is about reading files, and stands where it cannot be meant."""
    return [
        ConfigError(key, f"{key} has no place here", where=node.where, hint=hint)
        for key, hint in _MISPLACED.items()
        if (node := tree.items.pop(key, None))
    ]


def _is_strict(tree: Branch) -> bool:
    node = tree.items.get("strict")
    return isinstance(node, Leaf) and str(node.value).lower() in ("true", "yes", "on")


def _only_written(
    tree: Branch, changes: Sequence[Override]
) -> tuple[list[Override], list[Finding]]:
    """Under `strict`, keep the overrides whose keys the file has; the rest have no effect."""
    kept, refused = list[Override](), list[Finding]()
    for change in changes:
        key = change.path.partition(".")[0]
        if any(k in tree.items for k in (key, *same_thing(key))) or key not in options():
            kept.append(change)
            continue
        refused.append(
            Finding(
                level="warning",
                rule="strict",
                key=change.path,
                where=change.node.where,
                message=f"no effect: the file is strict and does not have '{key}'",
                hint=f"add `{key}:` to the file, or remove `strict: true`",
            )
        )
    return kept, refused


def _plain(value: Any) -> Any:
    """A value without the classes of its entries; what was not written is left out."""
    if isinstance(value, Section):
        return value.model_dump(exclude_unset=True)
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value
