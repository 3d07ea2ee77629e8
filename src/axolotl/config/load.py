"""From a file, or a mapping, and overrides to a `Config`, with every mistake told at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from axolotl.config.config import SECTIONS, Config, options
from axolotl.config.find import find_config, nearby_files, read_text
from axolotl.config.legacy import modernise
from axolotl.config.overrides import Override, apply_overrides, split_arguments
from axolotl.config.section import Section
from axolotl.config.tree import Branch, Leaf, from_python
from axolotl.config.typed import Reader
from axolotl.config.yaml_text import read_yaml
from axolotl.errors import ConfigError, ConfigErrors
from axolotl.records import Finding

ARGUMENT = "argument"
"""The place of what comes from a Python call."""


def load_config(
    source: str | Path | Mapping[str, Any],
    overrides: Sequence[str] | Sequence[Override] | Mapping[str, Any] = (),
) -> Config:
    """Read a configuration.

    Args:
        source: A YAML file, a folder with exactly one, or the options as a mapping.
        overrides: What replaces options of it: arguments as on the command line
            (`["--lora_r", "16", "--no-sample_packing"]`), or a mapping by dotted path; also
            `Override`s.

    Raises:
        ConfigErrors: everything that is wrong with it, in the order of its lines.
        EnvironmentFault: the file may not be read.

    >>> config = load_config({"base_model": "m", "datasets": [{"path": "d.jsonl"}]}, ["--lora_r=4"])
    >>> config.adapter.lora_r, config.origin("lora_r"), config.origin("seed")
    (4, '--lora_r', 'default')
    """
    try:
        return _load(source, _read_overrides(overrides))
    except ConfigErrors:
        raise
    except ConfigError as error:
        raise ConfigErrors([error]) from error
    except RecursionError as error:
        what = "lists and mappings are nested too deeply to be read"
        where = ARGUMENT if isinstance(source, Mapping) else str(source)
        raise ConfigErrors([ConfigError("", what, where=where)]) from error


def load_arguments(arguments: Sequence[str]) -> Config:
    """Read the configuration that a command line asks for: one file or folder, and overrides.

    Args:
        arguments: What was typed, without options of the command's own.

    Raises:
        ConfigErrors: everything that is wrong with it.
        EnvironmentFault: the file may not be read.
    """
    try:
        files, changes = split_arguments(arguments, options())
    except ConfigError as error:
        raise ConfigErrors([error]) from error
    if len(files) == 1:
        return load_config(files[0], changes)
    if files:
        hint = f"name one; if '{files[-1]}' is a value, write it as `--key={files[-1]}`"
        problem = ConfigError("", f"several files: {', '.join(files)}", hint=hint)
    else:
        problem = ConfigError("", "no configuration file is named", hint=nearby_files())
    raise ConfigErrors([problem])


def _load(source: str | Path | Mapping[str, Any], changes: list[Override]) -> Config:
    name, tree, problems = _read_source(source)
    notes = modernise(tree)
    if _is_strict(tree):
        changes, refused = _only_written(tree, changes)
        notes += refused
    problems += apply_overrides(tree, changes)
    reader = Reader(name, problems)
    values, failed = reader.fields(tree, options())
    sections = _deal(reader, values, failed)
    if reader.problems:
        raise ConfigErrors(sorted(reader.problems, key=lambda problem: place_order(problem.where)))
    written = {k: _plain(v) for k, v in values.items()}
    return Config(**sections, written=written, places=reader.places, notes=tuple(notes))


def place_order(where: str | None) -> tuple[int, int, str]:
    """A key that sorts places: lines of the file, then overrides, then what has no line.

    >>> sorted(["--lora_r", "a.yml:12", "a.yml", "a.yml:3"], key=place_order)
    ['a.yml:3', 'a.yml:12', '--lora_r', 'a.yml']
    """
    if match := re.fullmatch(r".*:(\d+)", where or "", re.DOTALL):
        return 0, int(match[1]), ""
    return (1, 0, "") if (where or "").startswith("--") else (2, 0, where or "")


def _read_source(
    source: str | Path | Mapping[str, Any],
) -> tuple[str, Branch, list[ConfigError]]:
    if isinstance(source, Mapping):
        tree = from_python(source, ARGUMENT)
        assert isinstance(tree, Branch), "a mapping is a branch"
        return ARGUMENT, tree, []
    path = find_config(Path(source).expanduser())
    tree, problems = read_yaml(read_text(path), str(path))
    return str(path), tree, problems


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
        if key in tree.items or key not in options():
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
