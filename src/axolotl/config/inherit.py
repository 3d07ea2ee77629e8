"""`base: other.yml`: a file laid over another one, which may have a `base` itself.

Mappings are merged key by key; texts, numbers and lists are replaced as a whole. A key written
without a value takes away what lies below. Every value keeps the place in its own file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from axolotl.config.environment import expand, take_unread
from axolotl.config.find import Source, find_source, is_folder, read_source, web_source
from axolotl.config.remote import is_url
from axolotl.config.tree import Branch, Leaf, from_python, is_unset
from axolotl.config.yaml_text import read_yaml
from axolotl.errors import ConfigError, ConfigErrors

BASE = "base"
ARGUMENT = "argument"
"""The place of what comes from a Python call."""

_MOST_FILES = 20


@dataclass
class Written:
    """What was written, in one file or several that lie over one another.

    Args:
        name: The file or argument that was named.
        tree: What they come to.
        problems: What is wrong with them but did not hinder reading on.
        path: The file; None for an address, standard input or an argument.
    """

    name: str
    tree: Branch
    problems: list[ConfigError] = field(default_factory=list[ConfigError])
    path: Path | None = None


def read_files(source: Source, text: str | None = None) -> Written:
    """Read a file and those it is based on.

    Args:
        source: The file.
        text: What it says; by default what is read from it.

    Raises:
        ConfigError: one of them cannot be found or read.
        EnvironmentFault: one of them may not be read.
    """
    return _with_bases(_read(source, text), source)


def read_mapping(mapping: Mapping[str, Any]) -> Written:
    """Read options from Python, and the file that they are based on, seen from the current folder."""
    tree = from_python(mapping, ARGUMENT)
    assert isinstance(tree, Branch), "a mapping is a branch"
    return _with_bases(Written(ARGUMENT, tree), None)


def lay_over(lower: Branch, upper: Branch) -> Branch:
    """One tree over another.

    Args:
        lower: What is there.
        upper: What is said besides, or instead.
    """
    hidden = {other for key in upper.items for other in same_thing(key)}
    merged = {key: node for key, node in lower.items.items() if key not in hidden}
    return _merge(Branch(lower.where, merged), upper)


def _merge(lower: Branch, upper: Branch) -> Branch:
    items = dict(lower.items)
    for key, node in upper.items.items():
        below = items.get(key)
        if isinstance(node, Branch) and isinstance(below, Branch):
            node = _merge(below, node)
        items[key] = node
    return Branch(upper.where, items)


def same_thing(key: str) -> Sequence[str]:
    """Other keys that say the same as `key`: saying it anew under one of the names is enough."""
    return _same_things().get(key, ())


@cache
def _same_things() -> Mapping[str, tuple[str, ...]]:
    from axolotl.config.legacy_names import RENAMED

    groups: dict[str, set[str]] = {}
    pairs = [*RENAMED.items(), ("batch_size", "gradient_accumulation_steps")]
    for old, new in pairs:
        groups.setdefault(new, {new}).add(old)
    return {key: tuple(sorted(names - {key})) for names in groups.values() for key in sorted(names)}


def _read(source: Source, text: str | None = None) -> Written:
    tree, problems = read_yaml(read_source(source) if text is None else text, source.name)
    _refuse_secrets_in_base(tree, source)
    expand(tree)
    return Written(source.name, tree, problems, source.path)


def _with_bases(top: Written, source: Source | None) -> Written:
    layers, chain = [top], [source] if source else []
    problems = top.problems
    while (leaf := _take_base(layers[-1].tree, problems)) is not None:
        try:
            source = _base_source(str(leaf.value), leaf.where, source)
            _check_chain([*chain, source], leaf.where)
            chain.append(source)
            layers.append(_read(source))
        except ConfigError as error:
            if source and source.url and error.where == source.name:  # it could not be fetched
                error = _at_base(error, leaf.where)
            raise ConfigErrors([*problems, *_each(error)]) from error
        problems += layers[-1].problems
    tree = layers[-1].tree
    for layer in reversed(layers[:-1]):
        tree = lay_over(tree, layer.tree)
    return Written(top.name, tree, problems, top.path)


def _each(error: ConfigError) -> Sequence[ConfigError]:
    return error.problems if isinstance(error, ConfigErrors) else [error]


def _take_base(tree: Branch, problems: Sequence[ConfigError]) -> Leaf | None:
    """Take the name of the file below out of a tree."""
    node = tree.items.pop(BASE, None)
    if node is None or is_unset(node):
        return None
    if unread := take_unread(Branch(node.where, {BASE: node})):
        raise ConfigErrors([*problems, *unread])
    if not isinstance(node, Leaf) or not isinstance(node.value, str) or not node.value.strip():
        problem = ConfigError(
            BASE,
            "base: expected the name of one file",
            where=node.where,
            hint="write `base: other.yml`; that file may have a `base` itself",
        )
        raise ConfigErrors([*problems, problem])
    return node


def _base_source(named: str, where: str, upper: Source | None) -> Source:
    """The file that a `base:` names, seen from the file that it stands in."""
    if upper and upper.url is not None:
        url = urljoin(upper.url, named)
        if not is_url(url):
            raise ConfigError(BASE, f"base: '{named}' is no web address", where=where)
        return web_source(url)
    if is_url(named):
        return web_source(named)
    folder = upper.path.parent if upper and upper.path else Path()
    path = folder / os.path.expanduser(named)  # noqa: PTH111  Path's own fails for unknown users
    if is_folder(path):
        hint = f"name one of its files, as in `base: {Path(named) / 'other.yml'}`"
        raise ConfigError(BASE, f"base: '{named}' is a folder", where=where, hint=hint)
    try:
        return find_source(path)
    except ConfigError as error:
        raise _at_base(error, where) from error


def _at_base(error: ConfigError, where: str) -> ConfigError:
    """The error of a file that could not be had, at the line that asks for it."""
    return ConfigError(BASE, f"base: {error.what}: '{error.where}'", where=where, hint=error.hint)


def _check_chain(chain: Sequence[Source], where: str) -> None:
    *before, last = chain
    names = [source.name for source in chain]
    if any(source.identity == last.identity for source in before):
        what, hint = (
            f"base: files lie over one another in a circle: {' → '.join(names)}",
            "remove one of these `base:` lines",
        )
        raise ConfigError(BASE, what, where=where, hint=hint)
    if len(chain) > _MOST_FILES:
        what = f"base: more than {_MOST_FILES} files lie over one another"
        raise ConfigError(BASE, what, where=where, hint="put some of them into one")


def _refuse_secrets_in_base(tree: Branch, source: Source) -> None:
    """A file of others, fetched from the web, must not send our variables away in an address."""
    node = tree.items.get(BASE)
    if source.url and isinstance(node, Leaf) and "${" in str(node.value):
        what = "base: variables are not put into an address that a fetched file asks for"
        raise ConfigError(BASE, what, where=node.where, hint="save the file and name that")
