"""YAML text to a tree that remembers lines.

The text is composed, not constructed: no tag is ever carried out, and a value stays the text that
was written until its option says what type it has (`type: no` is the word "no").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import yaml
from yaml.nodes import MappingNode, ScalarNode, SequenceNode
from yaml.nodes import Node as YamlNode

from axolotl.config.broken_yaml import explain
from axolotl.config.tree import MAX_DEPTH, MAX_NODES, TOO_DEEP, Branch, Leaf, Node, Row, join
from axolotl.errors import ConfigError

_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq")}


def read_yaml(text: str, name: str) -> tuple[Branch, list[ConfigError]]:
    """Read one YAML document.

    Args:
        text: The document.
        name: Name of the file, for messages.

    Returns:
        Its tree, and what is wrong with it but does not hinder reading on, such as double keys.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        root = _compose(text, name)
        if root is None or (isinstance(root, ScalarNode) and not root.value.strip()):
            raise ConfigError(
                "", "the file is empty", where=name, hint="begin with a line `base_model: …`"
            )
        reader = _Reader(name)
        if not isinstance(root, MappingNode):
            raise _no_mapping(root, reader.place(root))
        return reader.branch(root, reader.place(root), ""), reader.problems
    except yaml.YAMLError as error:
        raise explain(error, text, name) from error
    except RecursionError as error:
        raise ConfigError("", TOO_DEEP, where=name) from error


def read_value(text: str, where: str, key: str) -> tuple[Node, list[ConfigError]]:
    """Read the list or mapping that an override gives, such as `[q_proj, v_proj]`.

    Returns:
        Its tree, and what is wrong with it but does not hinder reading on.

    Raises:
        ConfigError: it is no YAML.
    """
    try:
        root = _compose(text, where)
        if root is None:
            return Leaf("", where, plain=True), []
        reader = _Reader(where, numbered=False)
        return reader.node(root, where, key), reader.problems
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            key,
            f"{key}: '{text}' cannot be read as a list or mapping",
            where=where,
            hint="write for example '[a, b]' or '{key: value}', in quotes for the shell",
        ) from error


def _compose(text: str, name: str) -> YamlNode | None:
    """The nodes of the only document of a text."""

    class Loader(yaml.BaseLoader):
        # BaseLoader leaves every scalar the text it was: types come from the options.
        left = 2 * MAX_NODES  # keys are nodes as well

        def compose_node(self, parent: YamlNode | None, index: object) -> YamlNode | None:
            # Composing is slow: a file that is far too long must not be read to its end.
            self.left -= 1
            if self.left < 0:
                raise _too_many(name)
            return compose(self, parent, index)

    compose = cast("Callable[..., YamlNode | None]", yaml.BaseLoader.compose_node)
    read = cast("Callable[..., YamlNode | None]", yaml.compose)  # pyright: ignore[reportUnknownMemberType]
    return read(text, Loader=Loader)


def _too_many(where: str) -> ConfigError:
    return ConfigError("", f"more than {MAX_NODES:,} values in one file", where=where)


def _no_mapping(root: YamlNode, where: str) -> ConfigError:
    if isinstance(root, ScalarNode):
        hint = f"begin with a line `base_model: …`; this is no key with a value: {_short(root)!r}"
    else:
        hint = "the file as a whole is a list; begin with a line `base_model: …`"
    return ConfigError("", "expected lines of the form `key: value`", where=where, hint=hint)


def _typed_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!", 1)


def _short(node: ScalarNode) -> str:
    words = " ".join(str(node.value).split())
    return words if len(words) <= 40 else f"{words[:40]}…"


@dataclass
class _Reader:
    """Turns composed nodes into a tree."""

    name: str
    numbered: bool = True
    problems: list[ConfigError] = field(default_factory=list[ConfigError])
    count: int = 0
    open: set[int] = field(default_factory=set[int])

    def place(self, node: YamlNode) -> str:
        return f"{self.name}:{node.start_mark.line + 1}" if self.numbered else self.name

    def node(self, node: YamlNode, where: str, path: str) -> Node:
        self.count += 1
        if self.count > MAX_NODES:
            raise _too_many(where)
        if len(self.open) > MAX_DEPTH:
            raise ConfigError(path.partition(".")[0], TOO_DEEP, where=where)
        if id(node) in self.open:
            raise ConfigError(
                path, f"{path} contains itself", where=where, hint="write it out, without the alias"
            )
        if node.tag not in _PLAIN_TAGS:
            self.problems.append(
                ConfigError(
                    path,
                    f"{path}: tags such as '{_typed_tag(node.tag)}' have no meaning here",
                    where=where,
                    hint="write the value itself; a text that begins with ! goes in quotes",
                )
            )
        if isinstance(node, ScalarNode):
            return Leaf(node.value, where, plain=node.style is None)
        self.open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self.branch(node, where, path)
            assert isinstance(node, SequenceNode), f"composed a {type(node).__name__}"
            items = [
                self.node(item, self.place(item), join(path, i))
                for i, item in enumerate(node.value)
            ]
            return Row(where, items)
        finally:
            self.open.discard(id(node))

    def branch(self, node: MappingNode, where: str, path: str) -> Branch:
        branch, merged = Branch(where), list[tuple[YamlNode, str]]()
        for key, value in node.value:
            place = self.place(key)
            if not isinstance(key, ScalarNode):
                self.problems.append(_no_key(path, place))
                continue
            name = str(key.value)
            if name == "<<" and key.style is None:
                merged.append((value, place))
                continue
            if name in branch.items:
                self._report_double(join(path, name), branch.items[name].where, place)
                continue
            branch.items[name] = self.node(value, place, join(path, name))
        for value, place in merged:
            self._merge(branch, value, place, path)
        return branch

    def _merge(self, branch: Branch, node: YamlNode, where: str, path: str) -> None:
        """Take over what `<<: *name` refers to; keys written out win, then earlier ones."""
        source = self.node(node, where, join(path, "<<"))
        for part in source.items if isinstance(source, Row) else [source]:
            if isinstance(part, Branch):
                branch.items = {**part.items, **branch.items}
            else:
                self.problems.append(
                    ConfigError(
                        path,
                        "`<<` takes over the keys of a mapping, and this is none",
                        where=where,
                        hint="refer to a mapping, as in `<<: *name`",
                    )
                )

    def _report_double(self, path: str, first: str, second: str) -> None:
        earlier = f"on line {first.rpartition(':')[2]}" if self.numbered else "before"
        self.problems.append(
            ConfigError(
                path,
                f"key '{path}' is written twice: here and {earlier}",
                where=second,
                hint="remove one of the two",
            )
        )


def _no_key(path: str, where: str) -> ConfigError:
    return ConfigError(
        path,
        f"{f'{path}: ' if path else ''}a list or mapping cannot be a key",
        where=where,
        hint="text with braces goes in quotes, as in '{name}'",
    )
