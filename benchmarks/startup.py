"""How long the light commands take, beside Python itself: nothing heavy may be imported for them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = str(Path(sys.executable).with_name("axolotl"))
REPEATS = 9


def seconds(*command: str) -> float:
    """Shortest of several runs, after one that fills the caches."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def main() -> None:
    """Measure, and print one line each."""
    print(f"bare Python: {seconds(sys.executable, '-c', 'pass'):.3f} s")
    print(f"axolotl --help, seconds: {seconds(PROGRAM, '--help'):.3f} (<= 0.2)")
    check = seconds(PROGRAM, "check", "examples/quickstart/lora.yml")
    print(f"axolotl check, seconds: {check:.3f} (<= 0.2)")


if __name__ == "__main__":
    main()
