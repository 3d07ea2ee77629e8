"""A model saved again in files of another size: the same tensors, bit for bit.

They go from file to file one at a time, under the names and in the dtypes that they are stored in;
the model itself is never built. All are then read back and compared.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from axolotl.artifacts.format_record import SHARD_FILE, trained_format
from axolotl.artifacts.merge_target import check_target, room_for, sign_result
from axolotl.artifacts.run_folder import MOVING_FILE, RUN_FILE, versions
from axolotl.artifacts.shards import DEFAULT_SHARD, Entry, ShardFiles, shard_bytes
from axolotl.artifacts.trained import MERGE_FILE, MERGED, find_full, find_trained, has_begun
from axolotl.core.atomic import atomic_folder, usual_permissions
from axolotl.core.console import note
from axolotl.errors import ModelError
from axolotl.models.sources import base_folder
from axolotl.training.relora.files import WeightFiles

if TYPE_CHECKING:
    from axolotl.resolve import Resolved

SHARDED = "sharded"
_WEIGHTS = (
    ".safetensors",
    ".bin",
    ".pt",
    ".pth",
    ".gguf",
    ".h5",
    ".msgpack",
    ".onnx",
    ".index.json",
)
_OF_A_RUN = (RUN_FILE, MOVING_FILE, MERGE_FILE, SHARD_FILE, "metrics.jsonl")
_MODEL = "config.json"
_LET_GO_BYTES = 256 << 20
"""After so much has been read, files are opened anew: what was read of them leaves the memory."""


@dataclass(frozen=True)
class ShardReport:
    """What came of it.

    Args:
        source: The folder that was read.
        folder: The folder that was written.
        files: Files of weights in it.
        tensors: How many tensors they hold.
        size_bytes: What those take.
        max_shard_bytes: The size asked for.
        seconds: How long it took.
        format: The format that the model was trained in; None for a base model.
    """

    source: Path
    folder: Path
    files: int
    tensors: int
    size_bytes: int
    max_shard_bytes: int
    seconds: float
    format: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; there is a report only if all tensors are equal."""
        named = {"source": str(self.source), "folder": str(self.folder)}
        return {**asdict(self), **named, "equal": True, "versions": versions()}


def shard_run(
    resolved: Resolved, *, max_shard_size: str | None = None, out: Path | None = None
) -> ShardReport:
    """Save again what a configuration trained, or its base model while no run has begun.

    Args:
        resolved: The configuration.
        max_shard_size: Size of a file of weights at most, such as `2GB`; default `DEFAULT_SHARD`.
        out: Target folder; default `output_dir` while that is empty, else its folder `sharded`.

    Raises:
        ConfigError: no such size, or the target is not to be written to.
        ModelError: no weights there, damaged ones, an adapter that is not merged, or a run that has
            no result.
        EnvironmentFault: no room on the disk.
    """
    size = shard_bytes(max_shard_size or DEFAULT_SHARD)
    output = Path(resolved.saving.output_dir)
    return shard(_source(resolved, output), out or _target(output), max_shard_bytes=size)


def shard(source: Path, out: Path, *, max_shard_bytes: int) -> ShardReport:
    """Write the weights in `source` again, and copy what else belongs to the model.

    Args:
        source: Folder of a model.
        out: Target folder.
        max_shard_bytes: Size of a file at most, unless one tensor alone is larger.

    Raises:
        ConfigError: the target is not to be written to.
        ModelError: no weights there, or damaged ones.
        EnvironmentFault: no room on the disk.
    """
    start = time.perf_counter()
    check_target(out, never=[source], sign=SHARD_FILE)
    weights = WeightFiles(source)
    entries = [Entry(name, weights.shapes[name], weights.dtype(name)) for name in weights.shapes]
    total = sum(entry.size_bytes for entry in entries)
    room_for(total, out)
    note(f"writing the {len(entries)} tensors in {source} again")
    with atomic_folder(out) as work:
        files = ShardFiles(work, entries, max_bytes=max_shard_bytes)
        try:
            _copy(weights, files)
            files.finish()
        finally:
            files.close()
        _compare(weights, WeightFiles(work))
        _copy_the_rest(source, work)
        report = ShardReport(
            source=source,
            folder=out,
            files=len(files.names),
            tensors=len(entries),
            size_bytes=total,
            max_shard_bytes=max_shard_bytes,
            seconds=time.perf_counter() - start,
            format=trained_format(source),
        )
        usual_permissions(work)
        sign_result(work, report.as_dict(), sign=SHARD_FILE)
    return report


def _source(resolved: Resolved, output: Path) -> Path:
    """The merged model, or the one that was trained in full, or the base model while no run has begun.

    Raises:
        ModelError: an adapter that is not merged, or a run that has no result.
    """
    model, adapter = resolved.model, resolved.adapter
    merged = output / MERGED
    is_adapted = (adapter.adapter or adapter.lora_model_dir) and not (output / _MODEL).is_file()
    if is_adapted and (merged / _MODEL).is_file():
        return Path(find_full(model, merged).model.base_model)
    if adapter.lora_model_dir is None and _is_blank(output):
        note(f"no run has begun in '{output}': it is the base model that is saved again")
        return base_folder(model)
    if adapter.lora_model_dir is None and _is_own(output):
        raise ModelError(
            f"'{output}' holds the base model that was saved again, and a run without a result",
            hint="train with --auto_resume_from_checkpoints",
        )
    found = find_trained(model, adapter, output_dir=output)
    if found.adapter is not None:
        raise ModelError(
            f"the adapter in '{found.adapter}' is not merged yet",
            hint="merge it first: axolotl merge-lora with the file that trained it; the base model is "
            "saved with an empty --output_dir",
        )
    return Path(found.model.base_model)


def _is_own(output: Path) -> bool:
    """Whether the model in a folder is what an earlier call has saved again."""
    return (output / SHARD_FILE).is_file() and not (output / RUN_FILE).is_file()


def _is_blank(output: Path) -> bool:
    """Whether neither a run nor another program has left a model in a folder."""
    model = (output / _MODEL).is_file() and not _is_own(output)
    return not (model or has_begun(output) or (output / "adapter_config.json").is_file())


def _target(output: Path) -> Path:
    empty = not output.is_dir() or not any(output.iterdir())
    return output if empty or _is_own(output) else output / SHARDED


def _copy(weights: WeightFiles, files: ShardFiles) -> None:
    read = 0
    for name in weights.shapes:
        tensor = weights.read(name)
        files.put(name, tensor)
        read += tensor.nbytes
        if read > _LET_GO_BYTES:
            del tensor
            weights.close()
            read = 0


def _compare(one: WeightFiles, other: WeightFiles) -> None:
    """See that all tensors are the same bits, numbers that are none included.

    Raises:
        ModelError: the disk gave back something else.
    """
    read = 0
    for name in one.shapes:
        want, got = _bits(one.read(name)), _bits(other.read(name))
        if not torch.equal(want, got):
            raise ModelError(
                f"'{name}' came back from the disk as something else; nothing was written",
                hint="the disk or the memory of this machine is faulty",
            )
        read += want.nbytes
        if read > _LET_GO_BYTES:
            del want, got
            one.close()
            other.close()
            read = 0
    one.close()
    other.close()


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _copy_the_rest(source: Path, target: Path) -> None:
    """Configuration, tokenizer, chat template, code of the model: all but weights and records."""
    for file in sorted(source.iterdir()):
        name = file.name
        left_out = name.startswith(".") or name in _OF_A_RUN or name.endswith(_WEIGHTS)
        if file.is_file() and not left_out:
            shutil.copyfile(file, target / name)
