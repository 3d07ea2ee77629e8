"""The folder of a run: model or adapter, tokenizer, and `run.json`, which says what happened.

`run.json` is written last, so a folder that has one is whole. It also keeps the format of the
training data, so that a model is asked in the very words that it was trained on.
"""

from __future__ import annotations

import json
import math
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from axolotl.core.alone import alone
from axolotl.core.atomic import disk_faults, ensure_folder, usual_permissions, write_json
from axolotl.errors import EnvironmentFault, ModelError

RUN_FILE = "run.json"
RUN_VERSION = 1
START_FILE = ".started.json"
"""What is known of a run at its start; taken away once `run.json` says the same and more."""
MOVING_FILE = ".incomplete"
"""Stands in the folder while a result is moved into place: without `run.json`, two are mixed."""
_PACKAGES = ("axolotl", "torch", "transformers", "peft", "tokenizers", "accelerate")
_LOCK_FILE = ".lock"
_LEFTOVERS = (".final.*", ".saving", ".relora", ".checkpoint-*.removed", f".{RUN_FILE}.*")
_OF_A_RESULT = (
    *(
        "config.json",
        "generation_config.json",
        "model*.safetensors",
        "model.safetensors.index.json",
    ),
    *("adapter_config.json", "adapter_model*.safetensors", "chat_template.jinja", "README.md"),
    "base_config.json",
    *("tokenizer*.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt"),
)
"""What an earlier run may have left in the place of a new result."""


def begin_run(output_dir: Path) -> Path:
    """Make the folder ready for a run: writable, and without signs of completeness.

    A model that an earlier run left there stays until the new one takes its place.

    Raises:
        EnvironmentFault: the folder cannot be made or written to.
    """
    ensure_folder(output_dir)
    with disk_faults(output_dir):
        if (output_dir / RUN_FILE).exists():  # all was moved; only the sign of it was left
            (output_dir / MOVING_FILE).unlink(missing_ok=True)
        (output_dir / RUN_FILE).unlink(missing_ok=True)
        (output_dir / START_FILE).unlink(missing_ok=True)
        for pattern in _LEFTOVERS:
            for left in output_dir.glob(pattern):
                _remove(left)
    return output_dir


def write_start(output_dir: Path, record: Mapping[str, Any]) -> None:
    """Write what is known of a run at its start, for a report of one that does not come to its end.

    Args:
        output_dir: The run's folder.
        record: The parts of `run.json` that are known by then.

    Raises:
        EnvironmentFault: disk full or not writable.
    """
    content = {
        "run_version": RUN_VERSION,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **record,
        "versions": versions(record),
        "platform": machine(),
    }
    with disk_faults(output_dir):
        write_json(output_dir / START_FILE, _finite(content))


@contextmanager
def only_run(output_dir: Path) -> Iterator[None]:
    """Keep other runs out of the folder while the body runs; a killed run keeps nobody out.

    Raises:
        EnvironmentFault: another run writes to it.
    """
    taken = EnvironmentFault(
        f"another run writes to '{output_dir}'",
        where="output_dir",
        hint="wait for its end, or choose another output_dir",
    )
    with alone(output_dir / _LOCK_FILE, taken):
        yield


def write_run(
    output_dir: Path, *, save: Callable[[Path], None], record: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the result of a run, and last of all its `run.json`.

    Everything is written into a hidden folder first and moved into place file by file. What an
    earlier run left there under the names of a result is removed, so that no adapter lies beside a
    full model. A kill in between leaves a sign that `read_run` refuses.

    Args:
        output_dir: The run's folder.
        save: Writes model or adapter and the tokenizer into the folder it is given.
        record: What `run.json` is to say besides versions, machine, time and files.

    Returns:
        The content of `run.json`.

    Raises:
        EnvironmentFault: disk full or not writable.
    """
    ensure_folder(output_dir)
    with disk_faults(output_dir):
        work = Path(tempfile.mkdtemp(prefix=".final.", dir=output_dir))
        try:
            save(work)
            usual_permissions(work)
            files = sorted(path.name for path in work.iterdir())
            (output_dir / MOVING_FILE).touch()
            (output_dir / RUN_FILE).unlink(missing_ok=True)
            _remove_old_result(output_dir, keep=set(files))
            for name in files:
                _move(work / name, output_dir / name)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    content = {
        "run_version": RUN_VERSION,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **record,
        "versions": versions(record),
        "platform": machine(),
        "files": files,
    }
    content = _finite(content)
    write_json(output_dir / RUN_FILE, content)
    (output_dir / MOVING_FILE).unlink(missing_ok=True)
    (output_dir / START_FILE).unlink(missing_ok=True)
    return content


def read_run(folder: Path) -> dict[str, Any] | None:
    """What `run.json` of a folder says; None when there is none.

    Raises:
        ModelError: it cannot be read, or files of two runs are mixed in the folder.
    """
    content = read_record(folder / RUN_FILE)
    if content is None and (folder / MOVING_FILE).exists():
        raise ModelError(
            f"'{folder}' holds a result of which only some files arrived: the run was ended "
            "while it wrote them",
            hint="train with --auto_resume_from_checkpoints: it goes on from the newest "
            "checkpoint and writes the result again",
        )
    return content


def read_record(file: Path) -> dict[str, Any] | None:
    """What a file such as `run.json` or `merge.json` says; None when there is none.

    Raises:
        ModelError: it cannot be read.
    """
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        content = error
    if not isinstance(content, dict):
        raise ModelError(
            f"'{file}' cannot be read: {content if isinstance(content, ValueError) else 'no object'}",
            hint="move it away; the model itself can be used without it",
        )
    return content


def versions(record: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers.

    Args:
        record: What `run.json` says of a run of this process: engines that it used are named too. That
            they have been imported says nothing, for other libraries do that.
    """
    ray: Any = sys.modules.get("ray")
    engines = {
        "deepspeed": "DeepSpeed" in str((record or {}).get("processes")),
        "ray": ray is not None and ray.is_initialized(),
    }
    used = [*_PACKAGES, *(name for name, is_used in engines.items() if is_used)]
    return {"python": platform.python_version()} | {name: version(name) for name in used}


def machine() -> dict[str, Any]:
    """The machine that this process runs on."""
    import torch

    return {
        "system": platform.platform(),
        "machine": platform.machine(),
        "byte_order": sys.byteorder,
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _remove_old_result(folder: Path, *, keep: set[str]) -> None:
    for pattern in _OF_A_RESULT:
        for old in folder.glob(pattern):
            if old.name not in keep:
                _remove(old)


def _move(source: Path, target: Path) -> None:
    if target.is_dir() or (source.is_dir() and target.exists()):
        _remove(target)
    source.replace(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _finite(value: Any) -> Any:
    """The same with null for what JSON has no number for, such as an infinite perplexity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
