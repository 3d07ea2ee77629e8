"""Run every benchmark in a process of its own and print one table: `make bench`.

A benchmark is any other `.py` file here (names that begin with `_` are helpers). It prints one line
for each thing that it measured, `name: value (bound)`, where value is a ratio to the plain way and
bound what it should reach, as in `attention forward + backward: 2.91 (>= 1.5)`. Other lines are
passed through. Names given on the command line choose among the files: `run.py attention packing`.
"""

from __future__ import annotations

import operator
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULT = re.compile(
    r"(?P<name>.+?): (?P<value>-?[\d.]+)x? \((?P<sign><=|>=|<|>) (?P<bound>-?[\d.]+)x?\)"
)
COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


def judge(line: str) -> tuple[str, str, str, bool] | None:
    """Name, value, bound and whether it is kept; None for a line that is no result.

    >>> judge("packing: 1.92 (>= 1.5)")
    ('packing', '1.92', '>= 1.5', True)
    """
    found = RESULT.fullmatch(line.strip())
    if not found:
        return None
    kept = COMPARE[found["sign"]](float(found["value"]), float(found["bound"]))
    return found["name"], found["value"], f"{found['sign']} {found['bound']}", kept


def run(script: Path) -> list[tuple[str, str, str, bool]]:
    """The results of one benchmark; one that fails, or says nothing, is a result not kept."""
    print(f"== {script.stem}", flush=True)
    results: list[tuple[str, str, str, bool]] = []
    with subprocess.Popen(
        [sys.executable, script], cwd=HERE.parent, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            print(f"   {line}", end="", flush=True)
            if result := judge(line):
                results.append(result)
    if process.returncode:
        results.append((f"{script.stem} itself", f"exit code {process.returncode}", "0", False))
    return results or [(script.stem, "no result", "", False)]


def main() -> int:
    """Run the chosen benchmarks; 1 when a bound was missed, 2 when a name is not known."""
    scripts = {
        path.stem: path
        for path in sorted(HERE.glob("*.py"))
        if path.stem != "run" and path.stem[0] != "_"
    }
    unknown = set(sys.argv[1:]) - set(scripts)
    if unknown:
        print(f"no benchmark named {', '.join(sorted(unknown))}; there are: {', '.join(scripts)}")
        return 2
    results = [row for name in sys.argv[1:] or scripts for row in run(scripts[name])]
    width = max((len(name) for name, *_ in results), default=0)
    print()
    for name, value, bound, kept in results:
        print(f"{name:{width}}  {value:>12}  {bound:>10}  {'' if kept else 'MISSED'}")
    missed = sum(not kept for *_, kept in results)
    print(f"{len(results) - missed} kept, {missed} missed")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
