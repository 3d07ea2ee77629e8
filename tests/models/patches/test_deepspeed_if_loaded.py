"""A training does not load DeepSpeed to find out that its model is none of DeepSpeed's."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

import accelerate.utils.other as other
import pytest
import torch

from axolotl.models.patches.deepspeed_if_loaded import deepspeed_if_loaded

LOOK = """
import sys, contextlib
from accelerate.utils import extract_model_from_parallel
from axolotl.models.patches.deepspeed_if_loaded import deepspeed_if_loaded
from torch.nn import Linear
with {around}:
    extract_model_from_parallel(Linear(1, 1))
print("deepspeed" in sys.modules)
"""


@pytest.mark.parametrize(
    ("around", "loaded"), [("contextlib.nullcontext()", "True"), ("deepspeed_if_loaded()", "False")]
)
def test_accelerate_loads_it_unless_it_is_patched(around: str, loaded: str) -> None:
    """Where the first case fails, the library has mended it, and the patch can go."""
    pytest.importorskip("deepspeed")
    script = LOOK.format(around=around)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == loaded


def test_an_engine_is_still_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine(torch.nn.Module):
        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module = module

    library: Any = ModuleType("deepspeed")
    library.DeepSpeedEngine = Engine
    monkeypatch.setitem(sys.modules, "deepspeed", library)
    model = torch.nn.Linear(1, 1)
    with deepspeed_if_loaded():
        assert other.extract_model_from_parallel(Engine(model)) is model


def test_undone_accelerate_is_as_before() -> None:
    before = other.is_deepspeed_available
    with deepspeed_if_loaded(), deepspeed_if_loaded():
        assert other.is_deepspeed_available is not before
    assert other.is_deepspeed_available is before
