"""The base model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from axolotl.resolve.case import Case, Found, Table

_COMMIT = re.compile(r"[0-9a-f]{40}")


def remote_code(case: Case) -> Iterator[Found]:
    """Code from elsewhere is worth a look, unless it is pinned to a commit that was looked at."""
    model = case.config.model
    if not model.trust_remote_code:
        return
    on_disk = Path(model.base_model).expanduser().is_dir()  # there are no revisions in a folder
    other = {
        "tokenizer_config": model.tokenizer_config,
        "base_model_config": model.base_model_config,
    }
    moving = [key for key, place in other.items() if place not in (None, model.base_model)]
    if on_disk or not _COMMIT.fullmatch(model.model_revision or ""):
        yield Found(
            "warning",
            "trust_remote_code",
            "trust_remote_code: Python code that comes with the model will be run",
            "read it first, and pin it: model_revision with the whole hash of a commit (40 digits) is "
            "code that nobody can change",
        )
    elif moving:
        yield Found(
            "warning",
            "trust_remote_code",
            f"trust_remote_code: Python code that comes with {moving[0]} will be run, and model_revision "
            "does not pin that",
            f"read it first; a folder on this machine as {moving[0]} does not change by itself",
        )
    else:
        yield Found(
            "info",
            "trust_remote_code",
            "trust_remote_code: Python code that comes with the model will be run, as it is in the "
            f"commit {model.model_revision}",
        )


def output_is_not_input(case: Case) -> Iterator[Found]:
    """A training must not write over what it starts from; answering from `output_dir` is fine."""
    output = Path(case.config.saving.output_dir).resolve()
    if case.trains and Path(case.config.model.base_model).resolve() == output:
        yield Found(
            "error",
            "output_dir",
            "output_dir: the result would overwrite base_model",
            "choose another folder",
        )


def merging_unquantised(case: Case) -> Iterator[Found]:
    """A merge needs the weights as they were before they were quantised."""
    if case.purpose != "merge":
        return
    if keys := case.asked("load_in_8bit", "load_in_4bit"):
        yield Found(
            "info",
            keys[0],
            f"{keys[0]}: left aside, the base model is loaded unquantised for merging",
        )
    if case.asked("gptq"):
        yield Found(
            "info",
            "gptq",
            "gptq: the base model is made whole for merging; what its quantisation rounded off stays "
            "lost",
        )


def falcon_and_fsdp(case: Case) -> Iterator[Found]:
    """Falcon models are not trained with FSDP."""
    if "falcon" in case.config.model.base_model.lower() and case.config.distributed.fsdp:
        yield Found(
            "error",
            "fsdp",
            "fsdp: not with Falcon models",
            "remove it; a single process, or several that hold the whole model, are supported",
        )


def mpt_and_checkpointing(case: Case) -> Iterator[Found]:
    """MPT models do not compute activations again."""
    named_so = "mpt" in case.config.model.base_model.lower()
    if named_so and case.config.training.gradient_checkpointing:
        yield Found(
            "error",
            "gradient_checkpointing",
            "gradient_checkpointing: not with MPT models",
            "remove it; lower micro_batch_size to save memory",
        )


TABLE: Table = [
    (remote_code, "trust_remote_code"),
    (output_is_not_input, "output_dir base_model"),
    (merging_unquantised, "load_in_8bit load_in_4bit gptq"),
    (falcon_and_fsdp, "base_model fsdp"),
    (mpt_and_checkpointing, "base_model gradient_checkpointing"),
]
