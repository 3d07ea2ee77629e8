"""What this machine can compute with, found out without importing torch."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

from axolotl.attention import KERNEL_PACKAGES

_BF16_FROM = (8, 0)
"""Compute capability of the first GPUs with bfloat16 (Ampere)."""

OPTIONAL_PACKAGES: Sequence[str] = (
    "bitsandbytes",
    *("apollo_torch", "galore_torch", "grokadamw", "optimi", "schedulefree", "torchao"),
    *("mlflow", "tensorboard", "wandb"),
    *("cut_cross_entropy", "liger_kernel", "deepspeed"),
)
"""What only some options need, by the names to import; rules refuse such an option without it, or say what takes its place."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts that some options depend on.

    Args:
        gpu: Whether torch will find a GPU.
        bf16: Whether every GPU computes in bfloat16; False without one.
        missing: Those of `OPTIONAL_PACKAGES` that are not installed.
        compiler: Whether there is a C++ compiler.
        kernels: Those of `axolotl.attention.KERNEL_PACKAGES` that are installed.
        capability: The lowest compute capability of the NVIDIA GPUs; None without one.
    """

    gpu: bool
    bf16: bool
    missing: frozenset[str] = frozenset()
    compiler: bool = True
    kernels: frozenset[str] = frozenset()
    capability: tuple[int, int] | None = None


@cache
def this_machine() -> Machine:
    """The machine that this process runs on."""
    missing = frozenset(name for name in OPTIONAL_PACKAGES if not _is_there(name))
    kernels = frozenset(name for name in KERNEL_PACKAGES if find_spec(name) is not None)
    machine = partial(Machine, missing=missing, compiler=_finds_compiler(), kernels=kernels)
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1", "NoDevFiles"):
        return machine(gpu=False, bf16=False)
    built_for = torch_build()
    if built_for == "hip":
        there = Path("/dev/kfd").exists()
        return machine(gpu=there, bf16=there)
    found = cuda_capabilities() if built_for == "cuda" else []
    lowest = min(found, default=None)
    bf16 = lowest is not None and lowest >= _BF16_FROM
    return machine(gpu=lowest is not None, bf16=bf16, capability=lowest)


def _is_there(name: str) -> bool:
    """Whether a package is installed; a folder of its name in the working folder is none."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


def _finds_compiler() -> bool:
    """Whether there is one where torch looks for it."""
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++", "cl"]
    return any(shutil.which(name) for name in names if name)


def torch_build() -> str:
    """`cuda`, `hip` or `cpu`: what the installed torch was built for, read from its version file."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return "cpu"
    file = Path(spec.origin).with_name("version.py")
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    for name in ("cuda", "hip"):
        if re.search(rf"^{name}\b[^=\n]*=\s*['\"]", text, re.MULTILINE):
            return name
    return "cpu"


def cuda_capabilities() -> list[tuple[int, int]]:
    """Compute capability of each NVIDIA GPU, asked of the driver; empty without one."""
    library = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
    try:
        nvml = ctypes.CDLL(library)
    except OSError:
        return []  # no driver
    if nvml.nvmlInit_v2() != 0:
        return []
    try:
        count = ctypes.c_uint()
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        return [found for n in range(count.value) if (found := _capability(nvml, n)) is not None]
    finally:
        nvml.nvmlShutdown()


def _capability(nvml: ctypes.CDLL, number: int) -> tuple[int, int] | None:
    device, major, minor = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
    if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(device)) != 0:
        return None
    pair = ctypes.byref(major), ctypes.byref(minor)
    if nvml.nvmlDeviceGetCudaComputeCapability(device, *pair) != 0:
        return None
    return major.value, minor.value
