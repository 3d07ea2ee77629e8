"""The blocks of code in a page, and what is said of them.

    ```yaml title="first.yml"     a file, written before what comes after it is run
    ```bash                       a script; every command in it has to succeed
    ```console                    commands behind `$ `, each with what it prints; `…` stands for anything
    ```python                     a script
    ```json title="rows.jsonl"    a file, or JSON that has to be readable
    ```diff                       a change of the repository, in a page that is run in a copy of it

A comment right above a block says what is particular about it:

    <!-- not run: needs a GPU -->     it cannot be run here; its commands and options are looked up
    <!-- until Ctrl-C -->             it serves something: it is started, what follows is run beside it, and a
                                      Ctrl-C ends it before the next such block or at the end of the page;
                                      a test has it listen to this machine alone, at a port that is free
    <!-- ends with 2 -->              the exit code of the commands in it
    <!-- wrong on purpose -->         a configuration that is refused
    <!-- stands for NAME.yml -->      a file, as `title`, in a block that shall not show its name
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)(?P<marks>```+)(?P<language>[\w-]*)(?P<info>.*)$")
_COMMENT = re.compile(r"^\s*<!-- *(.+?) *-->\s*$")
_TITLE = re.compile(r'title="([^"]+)"')

RUN = frozenset({"bash", "console", "diff", "python", "yaml", "json", "jsonl"})
"""Languages of blocks that are run or read; others are text."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block.

    Args:
        page: The page's file.
        line: Line of its first mark, from 1.
        language: What stands behind its first mark.
        text: What is in it, with a line end at its end.
        title: Name of the file that it is, if it is one.
        remarks: What the comments above it say, as `name` → the rest behind a colon.
    """

    page: Path
    line: int
    language: str
    text: str
    title: str | None
    remarks: tuple[str, ...]

    @property
    def where(self) -> str:
        """The place, as editors make a link of."""
        return f"{self.page.name}:{self.line}"

    @property
    def why_not(self) -> str | None:
        """Why it is not run; None if it is."""
        said = (r.partition(":") for r in self.remarks)
        return next((why.strip() for name, _, why in said if name == "not run"), None)

    @property
    def exit_code(self) -> int:
        """What its commands end with."""
        found = (re.fullmatch(r"ends with (\d+)", remark) for remark in self.remarks)
        return next((int(match[1]) for match in found if match), 0)

    @property
    def lasts(self) -> bool:
        """Whether its last command goes on until Ctrl-C."""
        return "until Ctrl-C" in self.remarks

    @property
    def wrong(self) -> bool:
        """Whether it is a configuration with a mistake in it."""
        return "wrong on purpose" in self.remarks


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, from top to bottom."""
    remarks: list[str] = []
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        if comment := _COMMENT.match(line):
            remarks.append(comment[1])
        elif opened := _FENCE.match(line):
            inside: list[str] = []
            for _, inner in lines:
                if inner.strip() == opened["marks"]:
                    break
                inside.append(inner.removeprefix(opened["indent"]))
            text = "".join(f"{one}\n" for one in inside)
            title = _TITLE.search(opened["info"])
            said = (r.removeprefix("stands for ") for r in remarks if r.startswith("stands for "))
            name = title[1] if title else next(said, None)
            yield Block(page, number, opened["language"], text, name, tuple(remarks))
            remarks = []
        elif line.strip():
            remarks = []


def dialogue(text: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines that it prints.

    >>> dialogue("$ a\\n1\\n$ b \\\\\\n  c\\n")
    [('a', ['1']), ('b \\\\\\n  c', [])]
    """
    found: list[tuple[str, list[str]]] = []
    going_on = False
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif going_on:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        elif found:
            found[-1][1].append(line)
        else:
            raise ValueError(f"a console block begins with a command: {line!r}")
        going_on = line.endswith("\\") and not found[-1][1]
    return found


def prints(expected: list[str], printed: str) -> bool:
    """Whether what was printed is what a page says: `…` stands for any text, alone for any lines.

    >>> prints(["a … c", "…", "z"], "a b c\\n1\\n2\\nz\\n"), prints(["a"], "a\\nb")
    (True, False)
    """
    lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
    wanted = [line.rstrip() for line in "\n".join(expected).strip("\n").splitlines()]
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line).replace("…", ".*?") + r"\n"
        for line in wanted
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None
