"""How blocks are found and compared, and what is looked up of commands that are not run."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import blocks as finding
from tests.docs import looked_up, pip_words
from tests.docs.blocks import blocks, dialogue, prints
from tests.docs.place import ROOT

PAGE = """\
# A page

```yaml title="a.yml"
base_model: x
```

<!-- not run: needs a GPU -->
```bash
axolotl train a.yml
```

<!-- ends with 2 -->

```console
$ axolotl check a.yml
a.yml:1: …
```

   ```python
   x = 1
   ```
```
a picture
```
"""


def test_blocks_are_found_with_what_is_said_of_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    found = list(blocks(page))
    assert [b.language for b in found] == ["yaml", "bash", "console", "python", ""]
    assert [b.line for b in found] == [3, 8, 14, 19, 22]
    assert [b.title for b in found] == ["a.yml", None, None, None, None]
    assert [b.why_not for b in found] == [None, "needs a GPU", None, None, None]
    assert [b.exit_code for b in found] == [0, 0, 2, 0, 0]
    assert found[3].text == "x = 1\n"


def test_a_remark_holds_for_the_block_below_it_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: so -->\nA line.\n```bash\ntrue\n```\n")
    assert [b.why_not for b in blocks(page)] == [None]


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a", "a\n", True),
        ("a", "b\n", False),
        ("a", "a\nb\n", False),
        ("a\n…", "a\nb\nc\n", True),
        ("…\nc", "a\nb\nc\n", True),
        ("a … d", "a b c d\n", True),
        ("a … d", "a b\nc d\n", False),
        ("(a.b)", "(axb)\n", False),
    ],
)
def test_what_is_printed_is_compared(expected: str, printed: str, same: bool) -> None:
    assert prints(expected.splitlines(), printed) is same


def test_a_console_block_begins_with_a_command() -> None:
    with pytest.raises(ValueError, match="begins with a command"):
        dialogue("1\n$ a\n")


@pytest.mark.parametrize("module", [finding, looked_up], ids=lambda module: module.__name__)
def test_the_examples_in_the_code(module: object) -> None:
    result = doctest.testmod(module)  # pyright: ignore[reportArgumentType]
    assert result.attempted > 1
    assert result.failed == 0


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("-c constraints.txt .[gguf,bnb]", []),
        ("axolotl[wandb] torch==2.13.0 --index-url https://x.org/cpu", []),
        ("axolotl[nothing]", ["no extra nothing"]),
        ("-c none.txt axolotl", ["no file none.txt"]),
        ("axolotol", ["no package axolotol"]),
    ],
)
def test_what_is_to_be_installed_is_looked_up(words: str, wrong: list[str]) -> None:
    assert pip_words.problems(ROOT / "pyproject.toml", words.split()) == wrong


def test_the_stand_in_of_pip_ends_with_what_it_found() -> None:
    program = [sys.executable, str(Path(pip_words.__file__)), str(ROOT / "pyproject.toml")]
    good = subprocess.run([*program, "install", "axolotl[gguf]"], check=False)
    bad = subprocess.run([*program, "install", "axolotl[x]"], capture_output=True, check=False)
    assert (good.returncode, bad.returncode) == (0, 1)
    assert b"no extra x" in bad.stderr
