"""A checkpoint made by hand, with all files that a real one has."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file


def write_checkpoint(folder: Path, *, step: int | None = None) -> Path:
    """Write one; its step is by default the number in its name."""
    folder.mkdir(parents=True)
    number = int(folder.name.rpartition("-")[2]) if step is None else step
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": number}))
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"a": torch.zeros(3)}, folder / name)
    save_file({"weight": torch.ones(4)}, folder / "model.safetensors")
    return folder
