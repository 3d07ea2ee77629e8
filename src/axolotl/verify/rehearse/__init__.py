"""A rehearsal: the whole road of a configuration with a tiny random model, on a CPU, in about a minute.

What would only show after hours, or on another machine, is tried here: whether rows become labels,
samples of a row stay apart, a kill leaves something to go on from, a merge gives the same model. The
files of the user, their output folder and their caches are only read.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from axolotl.config import Config
from axolotl.core.console import note
from axolotl.resolve import resolve
from axolotl.resolve.case import Case
from axolotl.resolve.machine import Machine, this_machine
from axolotl.verify.rehearse.claims import Commands as Commands
from axolotl.verify.rehearse.process import Workers
from axolotl.verify.rehearse.records import Rehearsal as Rehearsal
from axolotl.verify.rehearse.records import Replacement as Replacement
from axolotl.verify.rehearse.records import Stage as Stage
from axolotl.verify.rehearse.road import Road
from axolotl.verify.rehearse.rows import ROWS
from axolotl.verify.rehearse.stages import Stages

_NEEDED_HERE = (
    "flash_attn",
    "flash_attn_3",
    "xformers",
    "deepspeed",
    "liger_kernel",
    "cut_cross_entropy",
    "mlflow",
    "wandb",
)
"""Packages of options that a rehearsal leaves out: it does not matter whether they are here."""


def machine_for_it() -> Machine:
    """The machine that a file is judged for: one with a GPU, and the packages that are here."""
    here = this_machine()
    missing = frozenset(name for name in here.missing if name not in _NEEDED_HERE)
    return replace(here, gpu=True, bf16=True, missing=missing)


def rehearse(
    config: Config,
    commands: Commands,
    *,
    keep: bool = False,
    architecture: str | None = None,
    on_stage: Callable[[Stage], object] = lambda _: None,
) -> Rehearsal:
    """Walk the whole road of a configuration in small.

    Args:
        config: The configuration.
        commands: What the stages run.
        keep: Leave the scratch folder where it is.
        architecture: The `model_type` of the base model, where its name does not tell.
        on_stage: Called with each stage as it ends.

    Raises:
        ConfigErrors: the configuration is one that a training would refuse.
        KeyboardInterrupt: it was interrupted; nothing is left of it.
    """
    began = time.perf_counter()
    machine = machine_for_it()
    resolve(config, purpose="train", machine=machine)
    packs = Case(config, machine, "train").packs
    scratch = Path(tempfile.mkdtemp(prefix="axolotl-rehearsal-"))
    kept = False
    workers = None
    try:
        with _ended_by_sigterm():
            workers = Workers(scratch / "logs", _environment(scratch))
            stages = Stages(
                config,
                scratch=scratch,
                workers=workers,
                commands=commands,
                packs=packs,
                architecture=architecture,
            )
            road = Road(stages, on_stage=on_stage)
            road.walk()
        kept = keep
    finally:
        if workers is not None:
            workers.end()
        if not kept:
            _clear_away(scratch)
    return Rehearsal(
        file=config.file_name,
        replacements=road.said,
        stages=road.stages,
        unproven=list(_unproven(road.said)),
        seconds=time.perf_counter() - began,
        folder=scratch if kept else None,
    )


def _clear_away(folder: Path) -> None:
    """Remove a folder, also one into which a process that was just killed has still written."""
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)
    note(f"'{folder}' could not be removed; nothing in it is needed")


def _environment(scratch: Path) -> dict[str, str]:
    """What keeps the stages offline, and away from the user's caches."""
    hub = scratch / "cache" / "huggingface"
    return {
        "XDG_CACHE_HOME": str(scratch / "cache"),
        "HF_HOME": str(hub),  # these are named, too: a user who sets them means them for other work
        "HF_HUB_CACHE": str(hub / "hub"),
        "HF_DATASETS_CACHE": str(hub / "datasets"),
        "HF_MODULES_CACHE": str(hub / "modules"),
        "HF_HUB_OFFLINE": "1",
        "TMPDIR": str(scratch),
        "WANDB_MODE": "disabled",
        "CUDA_VISIBLE_DEVICES": "",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
    }


def _unproven(said: Sequence[Replacement]) -> Iterator[str]:
    """What stays open, each once."""
    found = {one.unproven: None for one in said if one.unproven}
    yield from found
    if any(one.key.endswith(".path") and "first rows" in one.now for one in said):
        yield f"the rows behind the first {ROWS} of each data set"
    if any(one.key.endswith(".path") and "made-up" in one.now for one in said):
        yield "that the rows of the data sets that are not here are of their type"


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """While the body runs, SIGTERM ends it as Ctrl-C does, so that its files are cleared away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
