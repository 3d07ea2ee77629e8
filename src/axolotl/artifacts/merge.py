"""Adapter + base model → one model, with the measured difference between the two.

The merge is computed in fp32 whatever the target dtype: in half precision W + BA would lose most of
BA to rounding. It is checked three times. Before anything is written, the model with the adapter added
into its weights must give the logits of base + adapter up to fp32 rounding; that proves the merge. Then
every weight is read back and compared with that; that proves the files. At last the written folder is
loaded again as any other program would, and compared in its own dtype; that proves that it can be
used, and says what the dtype costs. Memory: the base as it is stored, or the merged model, whichever
is larger, and a block of layers in fp32; never two models at a time.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedTokenizerBase

from axolotl.artifacts.computing import computing_in_fp32
from axolotl.artifacts.fold import check_kind
from axolotl.artifacts.logits import (
    Difference,
    KeptLogits,
    compare,
    logits_of,
    positions_at_a_time,
)
from axolotl.artifacts.merge_check import (
    Probe,
    data_probe,
    dtype_name,
    refuse_difference,
    reloaded_logits,
    routes_tokens,
)
from axolotl.artifacts.merge_target import check_target, room_for, sign_result
from axolotl.artifacts.merged_weights import MergedWeights
from axolotl.artifacts.model_card import write_merged_card
from axolotl.artifacts.run_folder import versions
from axolotl.artifacts.shards import DEFAULT_SHARD, ShardFiles, shard_bytes
from axolotl.artifacts.trained import ADAPTER_WEIGHTS, MERGE_FILE, MERGED, Trained, find_trained
from axolotl.artifacts.written_weights import refuse_other_weights
from axolotl.core.atomic import atomic_folder, usual_permissions
from axolotl.core.console import note
from axolotl.core.hashing import hash_file
from axolotl.errors import ConfigError, ModelError
from axolotl.models.load import base_dtype, model_config
from axolotl.models.quantized import Quantized, gptq_base
from axolotl.models.quiet import no_library_bars

if TYPE_CHECKING:
    from axolotl.config.attention import RopeScaling
    from axolotl.config.model import ModelSection
    from axolotl.resolve import Resolved

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class MergeReport:
    """What a merge came to.

    Args:
        folder: The merged model.
        base: The base model.
        adapter: Folder of the adapter.
        dtype: dtype of the merged weights, such as `float32`.
        size_bytes: Size of the folder.
        difference: Merged folder, loaded again, against base + adapter.
        merge_difference: The same before writing, in fp32: of the merge alone.
        adapter_hash: SHA-256 of the adapter's weights.
        rows: What was compared: rows of the data, or fixed token ids.
        seconds: How long it took.
        format: The format that the adapter was trained in; None where that is not known.
    """

    folder: Path
    base: str
    adapter: Path
    dtype: str
    size_bytes: int
    difference: Difference
    merge_difference: Difference
    adapter_hash: str
    rows: str
    seconds: float
    format: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "folder": str(self.folder),
            "base": self.base,
            "adapter": str(self.adapter),
            "adapter_hash": self.adapter_hash,
            "dtype": self.dtype,
            "size_bytes": self.size_bytes,
            "difference": self.difference.as_dict(),
            "merge_difference": self.merge_difference.as_dict(),
            "rows": self.rows,
            "seconds": round(self.seconds, 3),
            "format": self.format,
            "versions": versions(),
        }


def merge_run(
    resolved: Resolved,
    *,
    dtype: str | None = None,
    out: Path | None = None,
    max_shard_size: str | None = None,
) -> MergeReport:
    """Merge the adapter that a configuration trained.

    Args:
        resolved: The configuration.
        dtype: A name of `DTYPES`; default: that of the base weights in training.
        out: Target folder; default `output_dir/merged`.
        max_shard_size: Size of a file of weights at most, such as `2GB`; default `DEFAULT_SHARD`.

    Raises:
        ConfigError: no such dtype or size, or the target is not to be written to.
        ModelError: there is no adapter, it does not fit, or the merged model differs too much.
        EnvironmentFault: no room on the disk.
    """
    size = shard_bytes(max_shard_size or DEFAULT_SHARD)
    output_dir = Path(resolved.saving.output_dir)
    found = find_trained(resolved.model, resolved.adapter, output_dir=output_dir)
    tokenizer = found.tokenizer()
    return merge(
        found,
        tokenizer=tokenizer,
        dtype=DTYPES[_known(dtype)] if dtype else base_dtype(resolved),
        out=out or output_dir / MERGED,
        probe=data_probe(resolved, tokenizer),
        quantized=gptq_base(resolved, found.model, whole=True),
        rope_scaling=resolved.attention.rope_scaling,
        max_shard_bytes=size,
        on_written=lambda folder, report: write_merged_card(
            folder, resolved, found.run, report.as_dict()
        ),
    )


def merge(
    found: Trained,
    *,
    tokenizer: PreTrainedTokenizerBase,
    dtype: torch.dtype,
    out: Path,
    probe: Probe,
    quantized: Quantized | None = None,
    rope_scaling: RopeScaling | None = None,
    max_shard_bytes: int = shard_bytes(DEFAULT_SHARD),
    on_written: Callable[[Path, MergeReport], object] = lambda *_: None,
) -> MergeReport:
    """Merge, write, load again, compare; the folder appears only if all of it went well.

    Args:
        found: Base model and adapter.
        tokenizer: Written beside the weights; decides the number of embeddings.
        dtype: dtype of the merged weights.
        out: Target folder; one that an earlier merge made is replaced.
        probe: What to compare on.
        quantized: How a base model is made whole that is quantised itself.
        rope_scaling: How its positions are stretched, where the adapter's folder does not say.
        max_shard_bytes: Size of a file of weights at most.
        on_written: Called with the folder, while nobody sees it yet, and the report.

    Raises:
        ConfigError: the target is not to be written to.
        ModelError: no adapter, one that does not fit, or too large a difference.
        EnvironmentFault: no room on the disk.
    """
    start = time.perf_counter()
    if found.adapter is None:
        raise ModelError(
            f"there is nothing to merge: '{found.name}' holds a whole model, not an adapter",
            hint="use that folder as it is",
        )
    check_kind(found.adapter)
    adapter_hash = hash_file(found.adapter / ADAPTER_WEIGHTS)
    check_target(out, never=[found.adapter, Path(found.model.base_model)])
    note(f"loading {found.model.base_model} and the adapter in {found.adapter}")
    held = _held_dtype(found.model, dtype)
    model = found.open(
        dtype=held,
        tokenizer=tokenizer,
        quantized=quantized,
        rope_scaling=rope_scaling,
        exact_adapter=True,
    )
    base = model.get_base_model()
    routes = routes_tokens(base.config)
    with tempfile.TemporaryDirectory(prefix="axolotl_logits_") as kept:
        at_a_time = positions_at_a_time(base)
        with computing_in_fp32(base, merged=False):
            known = logits_of(model, probe.rows, at_a_time=at_a_time)
            reference = KeptLogits(Path(kept), known)
        with computing_in_fp32(base, merged=True):
            in_memory = compare(reference, logits_of(model, probe.rows, at_a_time=at_a_time))
        refuse_difference(in_memory, torch.float32, "in memory", routes=routes)
        weights = MergedWeights(base, dtype)
        room_for(weights.size_bytes, out)
        with atomic_folder(out) as work:
            _save(weights, tokenizer, max_shard_bytes, work)
            refuse_other_weights(weights, work)
            del model, base, weights
            gc.collect()
            again = reloaded_logits(
                work,
                probe.rows,
                dtype=dtype,
                trust_remote_code=found.model.trust_remote_code,
                at_a_time=at_a_time,
            )
            difference = compare(reference, again)
            refuse_difference(difference, dtype, "loaded again", routes=routes)
            report = MergeReport(
                folder=out,
                base=found.model.base_model,
                adapter=found.adapter,
                dtype=dtype_name(dtype),
                size_bytes=sum(file.stat().st_size for file in work.rglob("*") if file.is_file()),
                difference=difference,
                merge_difference=in_memory,
                adapter_hash=adapter_hash,
                rows=probe.name,
                seconds=time.perf_counter() - start,
                format=found.format,
            )
            on_written(work, report)
            usual_permissions(work)
            sign_result(work, report.as_dict(), sign=MERGE_FILE)
    return report


def _held_dtype(model: ModelSection, target: torch.dtype) -> torch.dtype:
    """The dtype that the base is held in meanwhile: as it is stored, so that nothing is rounded twice.

    What is stored in few bits is made whole in the target's.
    """
    config = model_config(model)
    if getattr(config, "quantization_config", None):
        return target
    own = config.get_text_config()
    stored: Any = getattr(config, "dtype", None) or getattr(own, "dtype", None)
    return stored if stored in DTYPES.values() else torch.float32


def _save(
    weights: MergedWeights, tokenizer: PreTrainedTokenizerBase, max_shard_bytes: int, folder: Path
) -> None:
    _make_ready(weights.base, tokenizer)
    with no_library_bars():
        weights.write_settings(folder)
    tokenizer.save_pretrained(folder)
    files = ShardFiles(folder, weights.entries, max_bytes=max_shard_bytes)
    try:
        for name, first, rows in weights:
            files.put(name, rows, first)
        files.finish()
    finally:
        files.close()


def _make_ready(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Let the model stop where the tokenizer's answers end."""
    settings = model.generation_config
    ends = settings.eos_token_id
    known = [ends] if isinstance(ends, int) else list(ends or [])
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    if isinstance(eos, int) and eos not in known:
        settings.eos_token_id = [eos, *known] if known else eos
        model.config.eos_token_id = settings.eos_token_id
    if isinstance(pad, int):
        settings.pad_token_id = model.config.pad_token_id = pad
    try:
        settings.validate(strict=True)
    except ValueError:
        # Sampling options with sampling off: the library refuses to save what it had loaded.
        settings.do_sample = True


def _known(dtype: str) -> str:
    if dtype not in DTYPES:
        raise ConfigError(
            "dtype", f"no dtype '{dtype}'", where="--dtype", hint=f"one of: {', '.join(DTYPES)}"
        )
    return dtype
