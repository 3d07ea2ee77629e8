"""Stands in for `pip install`: looks up whether what it is asked for is a package, extra or file.

python pip_words.py PYPROJECT install ARGUMENTS…
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WITH_VALUE = ("-c", "-r", "--index-url", "--extra-index-url", "--upgrade-strategy")
OTHERS = {"pip", "torch", "uv", "huggingface_hub", "openai", "skypilot", "flash-attn"}
"""Packages that pages may name besides this one and what is in constraints.txt."""


def problems(project: Path, arguments: list[str]) -> list[str]:
    """What is wrong with the arguments of `pip install`."""
    known = tomllib.loads(project.read_text("utf-8"))["project"]["optional-dependencies"]
    pins = (project.parent / "constraints.txt").read_text("utf-8")
    packages = OTHERS | set(re.findall(r"^([\w.-]+)==", pins, re.MULTILINE))
    found: list[str] = []
    previous = ""
    for argument in arguments:
        name = argument.partition("=")[0] if "==" in argument else argument
        ours = re.fullmatch(r"(?:axolotl|\.)\[([\w,-]+)\](?:==.*)?", argument)
        if previous in ("-c", "-r"):
            found += [] if (project.parent / argument).is_file() else [f"no file {argument}"]
        elif ours:
            found += [f"no extra {extra}" for extra in ours[1].split(",") if extra not in known]
        elif not argument.startswith("-") and previous not in WITH_VALUE:
            bare = re.split(r"[\[<>=~!]", name)[0]
            found += [] if bare in packages | {"axolotl", "."} else [f"no package {bare}"]
        previous = argument
    return found


if __name__ == "__main__":
    assert sys.argv[2] == "install", f"pip {sys.argv[2]} is not looked up"
    if wrong := problems(Path(sys.argv[1]), sys.argv[3:]):
        sys.exit("pip: " + "; ".join(wrong))
