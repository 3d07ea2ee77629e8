"""AdamW of torchao, with states in few bits."""

from __future__ import annotations

import importlib
import os
import shutil
import warnings
from typing import Any

import torch

from axolotl.core.console import note_once
from axolotl.core.optional import need
from axolotl.errors import EnvironmentFault
from axolotl.training.optimizers import Groups, Order

_COMPILERS = [os.environ.get("CXX", "g++"), "g++", "clang++", "c++"]


def build(groups: Groups, order: Order) -> torch.optim.Optimizer:
    """The optimizer."""
    torchao: Any = need("torchao.optim", extra="optimizers", why=f"optimizer: {order.name}")
    if not order.on_gpu and not any(map(shutil.which, _COMPILERS)):
        raise EnvironmentFault(
            f"optimizer: {order.name} compiles its step, and there is no C++ compiler here",
            hint="install g++, or write `optimizer: adamw_bnb_8bit`",
        )
    note_once(f"{order.name}: its step is compiled first, which takes up to a minute")
    _import_compiler()
    kind = torchao.AdamW4bit if order.name.endswith("4bit") else torchao.AdamW8bit
    options = {k: v for k, v in order.options.model_dump().items() if v is not None}
    return kind(groups, **order.adam, **options)


def _import_compiler() -> None:
    """What the compiled step loads when it is first made, and what torch itself calls old in it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.jit\.script_method", DeprecationWarning)
        importlib.import_module("torch.utils.mkldnn")
