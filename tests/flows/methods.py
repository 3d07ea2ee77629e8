"""The table of trainings: every method, every optimizer, every schedule, on one tiny model.

A cell is one of each. All of them crossed would be thousands of trainings, so each method meets each
optimizer, by one schedule after the other: over all cells, each method meets each schedule too.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import cache
from typing import Any

from axolotl import api
from axolotl.config import load_config
from axolotl.optimizers import available as optimizers
from axolotl.registry import available
from axolotl.resolve import examine
from axolotl.resolve.machine import Machine

STEPS = 6
KILLED_IN = 5
"""The step in which a training is killed; its last checkpoint is that of step 4."""
_LORA: dict[str, Any] = {
    "adapter": "lora",
    "lora_r": 4,
    "lora_target_linear": True,
    "lora_dropout": 0.05,
}
_QLORA = {**_LORA, "adapter": "qlora", "load_in_4bit": True}
_RESTARTS = {"relora_steps": 3, "relora_warmup_steps": 1}
METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": _LORA,
    "qlora": _QLORA,
    "8bit": {**_LORA, "load_in_8bit": True},
    "gptq": {**_LORA, "gptq": True},
    "relora": {**_LORA, **_RESTARTS},
    "relora-4bit": {**_QLORA, **_RESTARTS},
}
OPTIMIZERS = [name for name, why_not in optimizers().items() if why_not is None]
SCHEDULES = available("axolotl.schedules")
_RATES = {"sgd": 0.5, "adagrad": 5e-3, "schedule_free_sgd": 0.5, "rmsprop": 1e-4} | {
    name: 5e-4 for name in OPTIMIZERS if "ademamix" in name
}
_OF_OPTIMIZER: dict[str, dict[str, Any]] = {
    name: {"optim_target_modules": "all_linear"}
    for name in OPTIMIZERS
    if name.startswith(("galore", "apollo"))
}
_OF_SCHEDULE: dict[str, dict[str, Any]] = {
    "log_sweep": {"log_sweep_min_lr": 1e-4, "log_sweep_max_lr": 5e-3},
    "cosine_with_min_lr": {"lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
    "cosine_warmup_with_min_lr": {"lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
    "warmup_stable_decay": {"lr_scheduler_kwargs": {"num_decay_steps": 2}},
}
Cell = tuple[str, str, str]
"""Method, optimizer, schedule."""


def cell_options(method: str, optimizer: str, schedule: str) -> dict[str, Any]:
    """What the file of a cell says besides model, data and folder."""
    rate = _RATES.get(optimizer, 2e-3)
    return {
        "learning_rate": rate if method == "full" else 5 * rate,
        "optimizer": optimizer,
        "lr_scheduler": schedule,
        **METHODS[method],
        **_OF_OPTIMIZER.get(optimizer, {}),
        **_OF_SCHEDULE.get(schedule, {}),
    }


@cache
def refused(method: str, optimizer: str, schedule: str) -> tuple[str, ...]:
    """The rules that forbid a cell."""
    file = {
        "base_model": "m",
        "datasets": [{"path": "d.jsonl", "type": "alpaca"}],
        "val_set_size": 4,
        "eval_steps": 2,
        **cell_options(method, optimizer, schedule),
    }
    found = examine(load_config(file), machine=Machine(gpu=False, bf16=False))
    return tuple(finding.rule for finding in found.errors)


def cells() -> Iterator[Cell]:
    """Each method with each optimizer, by one schedule after the other; what is refused is left out."""
    for number, method in enumerate(METHODS):
        left = [*SCHEDULES[2 * number :], *SCHEDULES[: 2 * number]]
        for optimizer in OPTIMIZERS:
            schedule = next((s for s in left if not refused(method, optimizer, s)), None)
            if schedule is not None:
                left.remove(schedule)
                left.append(schedule)
                yield method, optimizer, schedule


def killed(options: dict[str, Any], *, in_step: int = KILLED_IN) -> None:
    """Train in a process of its own, and kill it as soon as it computes the given step.

    A fork instead of a new program: the libraries are loaded already, so it takes no longer than a
    training in this process, and it dies of a real SIGKILL.
    """
    child = os.fork()
    if child == 0:
        _train_until(options, in_step)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"it ended before step {in_step}"
    assert os.WTERMSIG(status) == signal.SIGKILL


def _train_until(options: dict[str, Any], in_step: int) -> None:
    """Train, and kill this process at its first row of the step; it never returns."""
    from axolotl.training.trainer import PackedTrainer

    plain = PackedTrainer.training_step

    def step(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == in_step - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, *args, **kwargs)

    PackedTrainer.training_step = step
    try:
        api.train(options)
    finally:
        os._exit(0)
