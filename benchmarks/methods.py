"""Training methods on SmolLM2-135M: seconds a step, memory and loss of each, with several optimizers.

Every line is a training of its own process through the public entrance, on the quick start's rows,
packed 1 x 512, fp32. Seconds are those of the loop by its steps; what is held of the base model
is what the run says of itself; the peak is that of the whole process, libraries and loading included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _smol import MODEL

from axolotl.core.console import console

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "examples" / "quickstart" / "data.jsonl"
STEPS = 6
_LORA: dict[str, Any] = {"adapter": "lora", "lora_r": 8, "lora_target_linear": True}
METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": _LORA,
    "qlora": {**_LORA, "adapter": "qlora", "load_in_4bit": True},
    "8bit": {**_LORA, "load_in_8bit": True},
    "gptq": {**_LORA, "gptq": True},
    "relora": {**_LORA, "relora_steps": 3, "relora_warmup_steps": 1},
}
CHOICES = [
    ("adamw_torch", "cosine"),
    ("adamw_bnb_8bit", "one_cycle"),
    ("lion_32bit", "linear"),
]
REFUSED = {("relora", "one_cycle"): "a restart of the rate has no place in one cycle"}
RATES = {"lion_32bit": 1e-5}
"""Learning rates of those that need another one than 1e-4."""


def options(method: str, optimizer: str, schedule: str, folder: Path) -> dict[str, Any]:
    """The file of one cell."""
    from _gptq import gptq_folder

    return {
        "base_model": str(gptq_folder()) if method == "gptq" else MODEL,
        "datasets": [{"path": str(DATA), "type": "alpaca"}],
        "dataset_prepared_path": str(HERE / "out" / "methods"),
        "val_set_size": 0,
        "sequence_len": 512,
        "sample_packing": True,
        "max_steps": STEPS,
        "warmup_steps": 1,
        "learning_rate": RATES.get(optimizer, 1e-4),
        "optimizer": optimizer,
        "lr_scheduler": schedule,
        "logging_steps": 1,
        "save_strategy": "no",
        "output_dir": str(folder),
        **METHODS[method],
    }


def train_cell(method: str, optimizer: str, schedule: str) -> dict[str, Any]:
    """Train one cell in this process."""
    from axolotl import api
    from axolotl.training.callbacks.metrics import read_metrics

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = api.train(options(method, optimizer, schedule, folder))
        lines = [line for line in read_metrics(folder / "metrics.jsonl") if "loss" in line]
        plan = json.loads((folder / "run.json").read_text("utf-8"))["plan"]
    first, last = lines[0], lines[-1]
    return {
        "seconds": result.metrics["seconds"] / STEPS,
        "losses": (first["loss"], last["loss"]),
        "weights": held["bytes"] if (held := plan["quantized"]) else 4 * plan["parameters"],
        "peak": result.metrics["peak_memory_bytes"],
    }


def in_a_process(*cell: str) -> dict[str, Any]:
    """Train one cell in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--cell", *cell],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Train all cells, print their table, and how they compare with LoRA on the whole base."""
    from rich.table import Table

    cells = {
        (method, *choice): in_a_process(method, *choice)
        for choice in CHOICES
        for method in METHODS
        if (method, choice[1]) not in REFUSED
    }
    table = Table("method", "optimizer", "schedule", "s/step", "base MB", "peak GB", "loss")
    for names, cell in cells.items():
        first, last = cell["losses"]
        table.add_row(
            *names,
            f"{cell['seconds']:.2f}",
            f"{cell['weights'] / 1e6:.0f}",
            f"{cell['peak'] / 1e9:.2f}",
            f"{first:.3f} → {last:.3f}",
        )
    console().print(table)
    for names, reason in REFUSED.items():
        print(f"{' with '.join(names)} is refused: {reason}")
    plain = cells[("lora", *CHOICES[0])]
    for method, most, weights in (("qlora", 2, 0.45), ("8bit", 2, 0.55), ("gptq", 2.5, 0.45)):
        cell = cells[(method, *CHOICES[0])]
        print(
            f"{method}: seconds a step / LoRA's: {cell['seconds'] / plain['seconds']:.2f} (<= {most})"
        )
        print(
            f"{method}: base weights / fp32: {cell['weights'] / plain['weights']:.2f} (<= {weights})"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cell"]:
        print(json.dumps(train_cell(*sys.argv[2:])))
    else:
        main()
