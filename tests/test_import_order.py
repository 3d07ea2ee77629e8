"""The light packages stay light: nothing that loads a model is imported before it is needed.

The order of the packages among themselves is the contract in `pyproject.toml`; `make lint` checks it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ["torch", "transformers", "peft", "datasets", "accelerate", "numpy", "pandas", "pyarrow"]


@pytest.mark.parametrize(
    "module",
    [
        "axolotl",
        "axolotl.attention",
        "axolotl.cli.main",
        "axolotl.config",
        "axolotl.core.console",
        "axolotl.formats",
        "axolotl.resolve",
        "axolotl.schedules",
    ],
)
def test_a_light_module_imports_nothing_heavy(module: str) -> None:
    assert _loaded(f"import {module}") == ""


@pytest.mark.parametrize("package", ["formats", "schedules", "attention"])
def test_every_plug_in_is_light_as_well(package: str) -> None:
    look_up = (
        f"from axolotl.registry import available, load; names = available('axolotl.{package}')"
    )
    assert _loaded(f"{look_up}; assert names; [load('axolotl.{package}', n) for n in names]") == ""


def test_checking_an_example_imports_nothing_heavy() -> None:
    check = "from axolotl.config import load_config; from axolotl.resolve import resolve"
    assert _loaded(f"{check}; resolve(load_config('examples/quickstart/lora.yml'))") == ""


def _loaded(statement: str) -> str:
    """Names of the heavy packages that a fresh Python has loaded after `statement`."""
    report = f"import sys; {statement}; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
