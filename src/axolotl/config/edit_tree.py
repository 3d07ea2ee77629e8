"""What an edit does to a tree: what the text must be read as once the edit is made to it."""

from __future__ import annotations

from collections.abc import Sequence

from axolotl.config.tree import Branch, Leaf, Node, Row, is_unset
from axolotl.config.yaml_text import read_value
from axolotl.config.yaml_write import write_value
from axolotl.records import Edit


class Refused(Exception):
    """The edit has no place in the text."""


def change(tree: Branch, edit: Edit) -> Branch:
    """A copy of a tree with an edit made.

    Raises:
        Refused: the key is not there, or the new name is taken.
    """
    tree = copy_branch(tree)
    parts = edit.key.split(".")
    if edit.action == "set":
        node, _ = read_value(write_value(edit.value), "", edit.key)
        _put(tree, parts, node)
        return tree
    node = _take(tree, parts)
    if edit.action == "rename":
        target = str(edit.value).split(".")
        there = _at(tree, target)
        taken = (there is not None and not is_unset(there)) or isinstance(
            _at(tree, target[:-1]), Row
        )
        if taken or target[: len(parts)] == parts != target:
            raise Refused
        _put(tree, target, node)
    _tidy(tree, parts[:-1])
    if not tree.items:
        raise Refused
    return tree


def same(one: Node, other: Node) -> bool:
    """Whether two trees read the same, wherever they were written."""
    if isinstance(one, Branch):
        return (
            isinstance(other, Branch)
            and one.items.keys() == other.items.keys()
            and all(same(item, other.items[key]) for key, item in one.items.items())
        )
    if isinstance(one, Row):
        return (
            isinstance(other, Row)
            and len(one.items) == len(other.items)
            and all(map(same, one.items, other.items))
        )
    return isinstance(other, Leaf) and (one.value, one.plain) == (other.value, other.plain)


def copy_branch(branch: Branch) -> Branch:
    """A copy that may be changed."""
    return Branch(branch.where, {key: _copy(item) for key, item in branch.items.items()})


def node_at(tree: Node, key: str) -> Node | None:
    """The node at a dotted path."""
    return _at(tree, key.split("."))


def _copy(node: Node) -> Node:
    if isinstance(node, Branch):
        return copy_branch(node)
    if isinstance(node, Row):
        return Row(node.where, [_copy(item) for item in node.items])
    return Leaf(node.value, node.where, plain=node.plain)


def _at(node: Node, parts: Sequence[str]) -> Node | None:
    for part in parts:
        if isinstance(node, Branch) and part in node.items:
            node = node.items[part]
        elif isinstance(node, Row) and part.isdecimal() and int(part) < len(node.items):
            node = node.items[int(part)]
        else:
            return None
    return node


def _take(tree: Branch, parts: Sequence[str]) -> Node:
    holder = _at(tree, parts[:-1])
    if not isinstance(holder, Branch) or parts[-1] not in holder.items:
        raise Refused
    return holder.items.pop(parts[-1])


def _put(tree: Branch, parts: Sequence[str], node: Node) -> None:
    holder: Node = tree
    for depth, part in enumerate(parts[:-1]):
        found = _at(holder, [part])
        if isinstance(holder, Branch) and (found is None or is_unset(found)):
            found = holder.items[part] = Branch("")
        if found is None or isinstance(found, Leaf):
            raise Refused(parts[: depth + 1])
        holder = found
    last = parts[-1]
    if isinstance(holder, Branch):
        holder.items[last] = node
    elif _at(holder, [last]) is not None:
        holder.items[int(last)] = node
    else:
        raise Refused


def _tidy(tree: Branch, parts: Sequence[str]) -> None:
    """Remove a mapping that was left empty, with its key."""
    while parts and _at(tree, parts) == Branch(getattr(_at(tree, parts), "where", "")):
        holder = _at(tree, parts[:-1])
        if not isinstance(holder, Branch):
            return
        del holder.items[parts[-1]]
        parts = parts[:-1]
