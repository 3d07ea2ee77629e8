"""Finding again what was trained: adapter, full model or merged model, and the tokenizer with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from axolotl.artifacts.format_record import MERGE_FILE as MERGE_FILE  # others take it from here
from axolotl.artifacts.format_record import SHARD_FILE, trained_format
from axolotl.artifacts.run_folder import RUN_FILE, START_FILE, read_record, read_run
from axolotl.config.adapter import AdapterSection
from axolotl.config.attention import RopeScaling
from axolotl.config.model import ModelSection
from axolotl.core.console import note_once
from axolotl.core.hashing import hash_file
from axolotl.errors import ModelError
from axolotl.models.adapters import attach_saved, with_own_base
from axolotl.models.backend import attention_need
from axolotl.models.load import model_config, open_model
from axolotl.models.native.settle import read_as_trained
from axolotl.models.quantized import Quantized
from axolotl.models.rope_saved import say_left_aside
from axolotl.models.sources import MERGED as MERGED  # others take it from here
from axolotl.models.sources import first_line, merge_hint
from axolotl.models.tokenizer import load_tokenizer
from axolotl.training.checkpoint_files import damage
from axolotl.training.checkpoints import list_checkpoints

GENERATION_FILE = "generation_config.json"
"""Where generation stops, beside the weights."""
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_ADAPTER, _FULL = "adapter_config.json", "config.json"
_BEGUN = (START_FILE, RUN_FILE, "metrics.jsonl")


@dataclass(frozen=True)
class Trained:
    """Where the parts of a model are, before anything is loaded.

    Args:
        model: What to load; its `tokenizer_config` names the tokenizer saved with the weights, where
            one was.
        adapter: Folder of the adapter to put on it, or None.
        run: What `run.json` says of the run that made it; None for a base model or a foreign folder.
        is_result: Whether the model is a whole one that was trained or merged.
        format: The format of its training data; None where that is not known.
    """

    model: ModelSection
    adapter: Path | None = None
    run: Mapping[str, Any] | None = None
    is_result: bool = False
    format: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The folder or hub id that it is known by."""
        return str(self.adapter or self.model.base_model)

    @property
    def has_own_tokenizer(self) -> bool:
        """Whether the tokenizer was saved with the weights, and the chat template with it."""
        return self.model.tokenizer_config == self.name

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Load the tokenizer.

        Raises:
            ModelError: none loads.
        """
        return load_tokenizer(self.model)

    def open(
        self,
        *,
        dtype: torch.dtype,
        tokenizer: PreTrainedTokenizerBase,
        quantized: Quantized | None = None,
        rope_scaling: RopeScaling | None = None,
        exact_adapter: bool = False,
    ) -> Any:
        """Load the weights, with the adapter on them, in evaluation mode.

        Attention is the library's own, which works with and without a cache of keys and values.

        Args:
            dtype: dtype of the base weights.
            tokenizer: Decides the number of embeddings.
            quantized: How the base weights are held; None for whole ones.
            rope_scaling: How the positions of a base model are stretched; a whole model that was
                trained says it itself.
            exact_adapter: Whether all of the adapter is held in fp32 beside a base that is not.

        Raises:
            ModelError: it does not load, or the adapter does not fit.
        """
        if self.is_result:
            say_left_aside(model_config(self.model), rope_scaling, self.name)
            rope_scaling = None
        loaded: Any = open_model(
            self.model,
            dtype=dtype,
            attn_implementation=plain_attention(self.model),
            tokenizer=tokenizer,
            quantized=quantized,
            rope_scaling=rope_scaling,
            adapter=self.adapter,
        )
        read_as_trained(loaded)
        if self.adapter is not None:
            if (self.adapter / GENERATION_FILE).is_file():
                loaded.generation_config.eos_token_id = _ends(self.adapter)
            loaded = attach_saved(loaded, self.adapter, trainable=False, fp32=exact_adapter)
        return loaded.eval()


def _ends(folder: Path) -> list[int] | int | None:
    """Where the answers of an adapter end, as its training wrote it."""
    try:
        return GenerationConfig.from_pretrained(folder).eos_token_id
    except (OSError, ValueError) as error:
        raise ModelError(
            f"'{folder / GENERATION_FILE}' cannot be read: {first_line(error)}",
            hint="move it away: answers then end at the tokenizer's end token",
        ) from error


def plain_attention(model: ModelSection) -> str:
    """`sdpa` where the model has it, else `eager`."""
    need = attention_need(model_config(model))
    return "sdpa" if need.sdpa and not need.softcap else "eager"


def find_trained(model: ModelSection, adapter: AdapterSection, *, output_dir: Path) -> Trained:
    """What a training with these options left behind.

    An adapter lies in `lora_model_dir`, or in `output_dir` where that is not set; a model that was
    trained in full, or that ReLoRA merged its adapter into, in `output_dir`.

    Args:
        model: The base model.
        adapter: Whether an adapter was trained, and where it lies.
        output_dir: The run's folder.

    Raises:
        ModelError: nothing of that kind is there; says what is.
    """
    if adapter.adapter is None and adapter.lora_model_dir is None:
        return find_full(model, output_dir)
    folder = Path(adapter.lora_model_dir or output_dir)
    if adapter.lora_model_dir is None and _is_merged(folder):
        return find_full(model, folder)
    if not (folder / _ADAPTER).is_file():
        key = "lora_model_dir" if adapter.lora_model_dir else "output_dir"
        raise ModelError(f"no adapter in '{folder}'", where=key, hint=_instead(folder, model))
    run = read_run(folder)
    if adapter.lora_model_dir is None:
        _say_if_unfinished(folder, run)
    elif _is_merged(output_dir):
        note_once(
            f"the adapter is that of lora_model_dir, '{folder}'; '{output_dir}' holds the model that "
            "ReLoRA made of it: without lora_model_dir that is taken"
        )
    elif not _same(folder, output_dir) and (output_dir / _ADAPTER).is_file():
        note_once(
            f"the adapter is that of lora_model_dir, '{folder}'; '{output_dir}' holds another one: "
            f"--lora_model_dir {output_dir} takes that"
        )
    there = _with_tokenizer_of(folder, with_own_base(model, folder))
    return Trained(there, folder, run, format=trained_format(folder))


def find_checkpoint(
    model: ModelSection, adapter: AdapterSection, *, output_dir: Path, checkpoint: Path
) -> Trained:
    """What a training with these options had come to at a checkpoint.

    Args:
        model: The base model.
        adapter: Whether an adapter was trained.
        output_dir: The run's folder.
        checkpoint: Folder of the checkpoint, or its name in the run's folder.

    Raises:
        ModelError: there is no such checkpoint, or it is damaged.
    """
    folder = checkpoint if checkpoint.is_dir() else output_dir / checkpoint
    if not folder.is_dir():
        names = ", ".join(path.name for path in list_checkpoints(output_dir)) or "none"
        raise ModelError(
            f"no checkpoint '{checkpoint}'",
            where="--checkpoint",
            hint=f"checkpoints in '{output_dir}': {names}",
        )
    if found := damage(folder):
        raise ModelError(
            f"the checkpoint '{folder}' cannot be used: {found}",
            where="--checkpoint",
            hint="name another one",
        )
    there = adapter.model_copy(update={"lora_model_dir": None})
    return find_trained(model, there, output_dir=folder)


def has_begun(folder: Path) -> bool:
    """Whether a run has left its record or a checkpoint in a folder."""
    return any((folder / name).exists() for name in _BEGUN) or any(folder.glob("checkpoint-*"))


def find_full(model: ModelSection, folder: Path, *, key: str = "output_dir") -> Trained:
    """A whole model that was written into `folder`.

    Args:
        model: The base model's options; those for loading are kept.
        folder: Where the model is.
        key: The option that names the folder, for messages.

    Raises:
        ModelError: there is none.
    """
    if not (folder / _FULL).is_file() or (folder / _ADAPTER).is_file():
        raise ModelError(f"no trained model in '{folder}'", where=key, hint=_instead(folder, model))
    run = read_run(folder)
    if (folder / MERGE_FILE).is_file():
        _refuse_old_merge(folder, key)
    else:
        _say_if_unfinished(folder, run)
    there = {
        "base_model": str(folder),
        "base_model_ignore_patterns": None,
        "base_model_config": None,
        "model_revision": None,
        "resize_token_embeddings_to_32x": False,
    }
    whole = _with_tokenizer_of(folder, model.model_copy(update=there))
    return Trained(whole, None, run, is_result=True, format=trained_format(folder))


def _with_tokenizer_of(folder: Path, model: ModelSection) -> ModelSection:
    """Take the tokenizer saved with the weights: it has all added tokens under their trained ids."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        return model
    made = {"special_tokens": {}, "tokens": [], "added_tokens_overrides": {}}
    return model.model_copy(update={"tokenizer_config": str(folder), **made})


def _refuse_old_merge(folder: Path, key: str) -> None:
    """A merge beside an adapter that has been trained anew would answer from the old weights.

    Raises:
        ModelError: the adapter next to it is another one than the merged one.
    """
    merged = read_record(folder / MERGE_FILE) or {}
    weights = folder.parent / ADAPTER_WEIGHTS
    beside = "adapter" in merged and _same(Path(merged["adapter"]), folder.parent)
    if not beside or not weights.is_file():
        return
    if hash_file(weights) != merged.get("adapter_hash"):
        raise ModelError(
            f"the merged model in '{folder}' is older than the adapter beside it",
            where=key,
            hint="run axolotl merge-lora again",
        )


def _is_merged(folder: Path) -> bool:
    """Whether a run with ReLoRA left a whole model there, into which its adapter is merged."""
    if not (folder / _FULL).is_file() or (folder / _ADAPTER).is_file():
        return False
    run = read_run(folder) or {}
    return bool(run.get("config", {}).get("resolved", {}).get("relora_steps"))


def _say_if_unfinished(folder: Path, run: Mapping[str, Any] | None) -> None:
    if run is None and folder in list_checkpoints(folder.parent):
        return
    if run is None and (folder / SHARD_FILE).is_file():
        return
    if run is None:
        note_once(
            f"'{folder}' has no run.json: another program made it, or the last run there did not "
            "finish and left an earlier result"
        )
    elif run.get("interrupted"):
        note_once(f"the run in '{folder}' was stopped before its last step")


def _instead(folder: Path, model: ModelSection) -> str:
    """What to do where the expected weights are not."""
    if hint := merge_hint(folder):
        return hint
    if not folder.is_dir():
        return "train first: axolotl train with this file"
    if (folder / _ADAPTER).is_file():
        return "an adapter is there: set `adapter: lora`"
    if (folder / _FULL).is_file():
        return (
            "a full model is there, not an adapter: leave out `adapter`"
            if not _same(folder, Path(model.base_model))
            else "that is the base model itself; name the folder of what was trained"
        )
    steps = sorted(
        folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2] or 0)
    )
    if steps and (steps[-1] / _ADAPTER).is_file():
        return f"the run did not finish; its newest checkpoint: --lora_model_dir {steps[-1]}"
    if not has_begun(folder):
        return "no run has begun there: train first, axolotl train with this file"
    return "the run did not finish: train with --auto_resume_from_checkpoints"


def _same(one: Path, other: Path) -> bool:
    return one.expanduser().resolve() == other.expanduser().resolve()
