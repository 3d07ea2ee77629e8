"""What can be read of a file that has mistakes, by leaving out what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from axolotl.config import Config, options
from axolotl.config.edit_tree import copy_branch, node_at
from axolotl.config.find import Source
from axolotl.config.inherit import Written, read_files
from axolotl.config.load import load_written
from axolotl.config.tree import Branch, Leaf, Node, Row
from axolotl.errors import ConfigError, ConfigErrors
from axolotl.records import Finding

UNKNOWN = "unknown-key"
_MOST_TIMES = 10
"""How often the file is read; each time tells of what was hidden by the mistakes before."""


@dataclass(frozen=True, slots=True)
class Partial:
    """What could be read.

    Args:
        config: What is right in the file; None where too much is wrong.
        refused: What is wrong.
        doubtful: Options whose values are not known for that; what a rule says of them may be false.
    """

    config: Config | None
    refused: Sequence[Finding]
    doubtful: frozenset[str]


def read_partly(text: str, source: Source) -> Partial:
    """Read a file, without the keys that are wrong.

    A key whose name is misspelt is read as the one that was probably meant: otherwise rules would
    judge the file as if that were not there.

    Args:
        text: What the file says.
        source: The file.

    Raises:
        ConfigError: it is no YAML, or the file it is based on cannot be read.
    """
    aside, written = _Aside(), read_files(source, text)
    for _ in range(_MOST_TIMES):
        tree = copy_branch(written.tree)
        aside.leave_out(tree)
        problems = [] if aside.refused else list(written.problems)
        try:
            config = load_written(Written(written.name, tree, problems), allow_unknown=True)
        except ConfigErrors as error:
            if not aside.add(error.problems):
                break
            continue
        unknown = [note for note in config.notes if note.rule == UNKNOWN]
        if aside.guess(unknown):
            continue
        refused = [*aside.refused, *(_refused(f.key, f.where, f.message, f.hint) for f in unknown)]
        return Partial(config, refused, frozenset(aside.doubtful))
    return Partial(None, aside.refused, frozenset(aside.doubtful))


@dataclass
class _Aside:
    """What is left out, and what is put in its place."""

    refused: list[Finding] = field(default_factory=list[Finding])
    doubtful: set[str] = field(default_factory=set[str])
    problems: list[ConfigError] = field(default_factory=list[ConfigError])
    meant: dict[str, str] = field(default_factory=dict[str, str])

    def leave_out(self, tree: Branch) -> None:
        for key, option in self.meant.items():
            if key in tree.items:
                tree.items[option] = tree.items.pop(key)
        for problem in self.problems:
            _leave_out(tree, problem)

    def add(self, problems: Iterable[ConfigError]) -> bool:
        """Take note of what is wrong; tells whether any of it is new."""
        seen = {(problem.key, problem.what) for problem in self.problems}
        new = [problem for problem in problems if (problem.key, problem.what) not in seen]
        for problem in new:
            option = problem.key.partition(".")[0]
            # a consequence of what was left out, or of a guess, is no mistake of the user
            if not (_is_missing(problem) and option in self.doubtful) and (
                option not in self.meant.values()
            ):
                where = problem.where or ""
                self.refused.append(_refused(problem.key, where, problem.what, problem.hint or ""))
            self.doubtful.add(option)
        self.problems += new
        return bool(new)

    def guess(self, unknown: Sequence[Finding]) -> bool:
        """Take note of what was probably meant; tells whether there is anything new."""
        new: dict[str, str] = {}
        for note in unknown:
            found = re.match(r"did you mean '(\w+)'\?", note.hint)
            if found and found[1] in options() and "." not in note.key:
                new[note.key] = found[1]
                self.refused.append(_refused(note.key, note.where, note.message, note.hint))
        self.meant |= new
        return bool(new)


def _refused(key: str, where: str, what: str, hint: str) -> Finding:
    return Finding("error", "options", key, where, what, hint)


def _is_missing(problem: ConfigError) -> bool:
    return f"{problem.key} is missing" in problem.what


def _leave_out(tree: Branch, problem: ConfigError) -> None:
    if _is_missing(problem):
        *path, name = problem.key.split(".")
        holder = node_at(tree, ".".join(path)) if path else tree
        if isinstance(holder, Branch):
            holder.items[name] = _stand_in(name)
        return
    parts = problem.key.split(".")
    if node_at(tree, problem.key) is None:  # it was read from something with another name
        found = next((k for k, v in tree.items.items() if _has_place(v, problem.where)), None)
        if found is None:
            return
        parts = [found]
    depth = next((i for i, part in enumerate(parts) if part.isdecimal()), len(parts))
    if len(parts) <= depth + 1:  # an item of a list: the others would change their numbers
        parts = parts[:depth]
    holder = node_at(tree, ".".join(parts[:-1])) if parts[:-1] else tree
    if isinstance(holder, Branch):
        holder.items.pop(parts[-1], None)


def _stand_in(name: str) -> Node:
    """A value for an option that must have one."""
    leaf = Leaf("none", "default")
    return Row("default", [Branch("default", {"path": leaf})]) if name == "datasets" else leaf


def _has_place(node: Node, where: str | None) -> bool:
    if node.where == where:
        return True
    if isinstance(node, Branch):
        return any(_has_place(item, where) for item in node.items.values())
    return isinstance(node, Row) and any(_has_place(item, where) for item in node.items)
