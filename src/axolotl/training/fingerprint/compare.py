"""Whether a run may go on from a checkpoint; what differs is said in the names of the options."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from axolotl.core.console import note
from axolotl.errors import ModelError
from axolotl.training.checkpoint_files import step_of
from axolotl.training.distributed.universal import OPTIMIZERS
from axolotl.training.fingerprint.content import (
    FINGERPRINT_FILE,
    FINGERPRINT_VERSION,
    Fingerprint,
)
from axolotl.training.fingerprint.data_options import LAYOUT, changed_sources, decides_data

_WHERE = "resume_from_checkpoint"
_LATER = (
    *("attn_implementation", "rope_scaling", "streaming_multipack_buffer_size"),
    "steps_in_epoch",
)
"""Checkpoints of earlier versions have no word of these: there is nothing to compare with."""
_ACCUMULATION = "gradient_accumulation_steps"
_DATA = ("data", "test_data", "part_of_data", "train_rows", "eval_rows", "selected_rows")
_ROWS = ("packed", "samples_per_row", "tokens_per_row", "rows_per_step")
_WORDS = {
    "data": "the tokenized rows",
    "test_data": "the tokenized rows of test_datasets",
    "part_of_data": "part of the rows, and of how many",
    "train_rows": "rows to train on",
    "eval_rows": "rows to evaluate on",
    "selected_rows": "choice and order of the rows",
    "packed": "whether rows are filled with samples",
    "samples_per_row": "samples in a row",
    "tokens_per_row": "tokens in a row",
    "rows_per_step": "rows in a step",
    "steps_in_epoch": "steps in an epoch",
    "zero_stage": "stage of DeepSpeed's ZeRO",
    "steps": "steps in all",
    "loraplus": "whether loraplus_lr_ratio is set",
}
_TRAINS_NOTHING = (
    *("gradient_checkpointing", "bench_dataset", "metric_for_best_model"),
    *("save_strategy", "save_steps", "saves_per_epoch"),
    *("evaluation_strategy", "eval_steps", "evals_per_epoch"),
)
"""A run with another value of these has the same weights at each step."""
_NEITHER = ". The result is then that of neither file: it has some steps of each"
_Values = Mapping[str, Any]


def check_resume(checkpoint: Path, now: Fingerprint) -> None:
    """Refuse to go on with other data, another layout or another model; name what else changed.

    Args:
        checkpoint: A whole checkpoint.
        now: The run that is to go on from it.

    Raises:
        ModelError: lists what differs, or says that the run would end before the checkpoint.
    """
    step, steps = step_of(checkpoint), now["may_change"]["steps"]
    if steps < step:
        raise ModelError(
            f"'{checkpoint}' has {step} steps behind it, and the run is to have only {steps}",
            where=_WHERE,
            hint="raise num_epochs or max_steps, or name an earlier checkpoint",
        )
    then = _read(checkpoint)
    if then is None:
        return
    if wrong := [*_changed_fixed(then, now), *_changed_weights(then, now)]:
        raise ModelError(
            f"'{checkpoint}' was written with other options:\n    " + "\n    ".join(wrong),
            where=_WHERE,
            hint="resume with the options, the data and the base model of that run, or start anew "
            f"without {_WHERE} and auto_resume_from_checkpoints",
        )
    before = {k: v for k, v in then["may_change"].items() if k not in now["fixed"]}
    if names := _differing(before, now["may_change"]):
        lines = [_line(name, before, now["may_change"]) for name in names]
        neither = "" if set(names) <= set(_TRAINS_NOTHING) else _NEITHER
        note(f"changed since {checkpoint.name}: {'; '.join(lines)}{neither}")


def _read(checkpoint: Path) -> dict[str, Any] | None:
    file = checkpoint / FINGERPRINT_FILE
    if not file.is_file():
        note(f"{checkpoint} has no {FINGERPRINT_FILE}: data and options cannot be compared with it")
        return None
    try:
        content = json.loads(file.read_text("utf-8"))
        if content["version"] == FINGERPRINT_VERSION:
            return {**content, **{name: dict(content[name]) for name in ("fixed", "may_change")}}
        reason = f"version {content['version']}, this program reads {FINGERPRINT_VERSION}"
    except (ValueError, LookupError, TypeError) as error:
        reason = str(error)
    raise ModelError(
        f"'{file}' cannot be read: {reason}",
        where=_WHERE,
        hint="name another checkpoint, or start anew",
    )


def _changed_fixed(then: _Values, now: _Values) -> Iterator[str]:
    """The options and files that differ; what follows from them only where none of them does."""
    fixed = now["fixed"]
    before = {k: v for k, v in then["may_change"].items() if k in fixed} | then["fixed"]
    names = [n for n in _differing(before, fixed) if n not in _LATER or n in before]
    if "processes" in names and _same_steps(before, fixed):
        note(_line("processes", before, fixed) + "; each step has the same rows")
        names = [n for n in names if n not in ("processes", "rows_per_step")]
        now = {**now, "options": {**now.get("options", {}), _ACCUMULATION: None}}
        then = {**then, "options": {**(then.get("options") or {}), _ACCUMULATION: None}}
    yield from (_line(n, before, fixed) for n in names if n not in (*_DATA, *_ROWS))
    old, new = then.get("options"), now.get("options", {})
    asked = [] if old is None else _differing(old, new)
    of_data, of_rows = ([name for name in names if name in group] for group in (_DATA, _ROWS))
    behind_data = [name for name in asked if of_data and decides_data(name)]
    behind_rows = [name for name in asked if of_rows and name in LAYOUT]
    for name in dict.fromkeys((*behind_data, *behind_rows)):
        if name not in names:
            yield _line(name, old or {}, new)
    files: list[str] = []
    if of_data and then.get("sources") and now.get("sources"):
        files = list(changed_sources(then["sources"], now["sources"]))
    yield from files
    if not behind_data and not files:
        yield from (_line(name, before, fixed) for name in of_data)
    if not behind_rows:
        yield from (_line(name, before, fixed) for name in of_rows)


def _same_steps(then: _Values, now: _Values) -> bool:
    """Whether another number of processes trains the same rows in each step, and can read the states.

    Rows and their order do not depend on the processes; in the last step of an epoch some may be cut.
    """
    rows = [each["rows_per_step"] * each["processes"] for each in (then, now)]
    of_epoch = [each.get("steps_in_epoch") for each in (then, now)]
    same = rows[0] == rows[1] and of_epoch[0] is not None and of_epoch[0] == of_epoch[1]
    if "zero_stage" in now and now["optimizer"] not in OPTIMIZERS:
        return False
    return same and then.get("zero_stage") == now.get("zero_stage")


def _changed_weights(then: _Values, now: _Values) -> Iterator[str]:
    """The files of weights that have the same name and another content."""
    if then["fixed"].get("base_model") == now["fixed"].get("base_model"):
        yield from _other_files("base_model", then.get("base_weights"), now.get("base_weights"))
    if then["fixed"].get("lora_model_dir") == now["fixed"].get("lora_model_dir"):
        yield from _other_files(
            "lora_model_dir", then.get("adapter_weights"), now.get("adapter_weights")
        )


def _other_files(option: str, then: _Values | None, now: _Values | None) -> Iterator[str]:
    if not then or not now or then == now:
        return
    if "commit" in then or "commit" in now:
        yield f"{option}: then at commit {then.get('commit')}, now at {now.get('commit')}"
        return
    others = _differing(then, now)
    named = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    yield f"{option}: it has the same name and another content than then ({named})"


def _differing(then: _Values, now: _Values) -> list[str]:
    """The names that differ; one that a side lacks counts as null."""
    return [key for key in dict.fromkeys((*now, *then)) if then.get(key) != now.get(key)]


def _line(name: str, then: _Values, now: _Values) -> str:
    before, after = (json.dumps(each.get(name), ensure_ascii=False) for each in (then, now))
    return f"{_WORDS.get(name, name)}: then {before}, now {after}"
