"""What this process holds in memory."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

from axolotl.core.units import bytes_in_words

_STATUS = Path("/proc/self/statm")


def peak_bytes(device: torch.device) -> int:
    """Most bytes held at a time: on the GPU if training runs there, else in main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_figures(device: torch.device) -> dict[str, int]:
    """Bytes held now and at most, under the names that they have in `metrics.jsonl`.

    Args:
        device: Where training runs: the memory of a GPU, with what torch keeps in reserve there, or
            main memory, where only Linux tells what is held now.
    """
    found = {"peak_memory_bytes": peak_bytes(device)}
    if device.type == "cuda":
        found["memory_bytes"] = torch.cuda.memory_allocated(device)
        found["reserved_memory_bytes"] = torch.cuda.memory_reserved(device)
    elif _STATUS.is_file():
        resident = int(_STATUS.read_text().split()[1])
        found["memory_bytes"] = resident * resource.getpagesize()
    return found


def memory_words(figures: dict[str, int]) -> str:
    """The figures for people.

    >>> memory_words({"memory_bytes": 640_000_000, "peak_memory_bytes": 4_000_000_000})
    '640 MB in use, at most 4.00 GB'
    """
    names = {
        "memory_bytes": "{} in use",
        "peak_memory_bytes": "at most {}",
        "reserved_memory_bytes": "{} kept in reserve",
    }
    said = [
        words.format(bytes_in_words(figures[key])) for key, words in names.items() if key in figures
    ]
    return ", ".join(said)
