"""The options behind data and rows, by their own names, so that a difference can be explained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from axolotl.config import Sections
from axolotl.config.section import Section

LAYOUT = frozenset(
    {
        *("sequence_len", "sample_packing", "max_packed_sequence_len", "pad_to_sequence_len"),
        *("micro_batch_size", "gradient_accumulation_steps", "group_by_length"),
        *("curriculum_sampling", "sample_packing_sequentially"),
    }
)
"""What decides how samples share rows, and rows steps."""
_ROWS_ALONE = LAYOUT - {"sequence_len", "max_packed_sequence_len", "curriculum_sampling"}
_MODEL = {
    *("base_model_config", "tokenizer_config", "tokenizer_type", "tokenizer_legacy"),
    *("special_tokens", "tokens", "added_tokens_overrides"),
}
_DATA = {
    *("val_set_size", "dataset_shard_num", "dataset_shard_idx", "train_on_inputs"),
    "prompt_templates",
}
_NOT_OF_ROWS = {"dataset_lock"}
_ENTRIES = ("datasets", "test_datasets")


def data_options(options: Sections) -> dict[str, Any]:
    """Name → value of all that decides which samples there are and how they make rows.

    Those of an entry are called `datasets.0.type`, and are there where they have a value.
    """
    sequence, training = options.sequence, options.training
    found = {
        **options.model.model_dump(include=_MODEL),
        **options.data.model_dump(include=_DATA),
        **options.chat.model_dump(),
        **options.rows.model_dump(exclude=_NOT_OF_ROWS),
        **options.streaming.model_dump(),
        **{key: value for key, value in sequence.model_dump().items() if key in LAYOUT},
        **{key: value for key, value in training.model_dump().items() if key in LAYOUT},
        "seed": training.seed,
    }
    for key in _ENTRIES:
        for number, entry in enumerate(getattr(options.data, key)):
            found |= dict(_written(f"{key}.{number}", entry))
    return found


def decides_data(name: str) -> bool:
    """Whether an option decides which samples there are."""
    return name not in _ROWS_ALONE


def changed_sources(then: list[Mapping[str, str]], now: list[Mapping[str, str]]) -> Iterator[str]:
    """What has become of the files, in words; a file that has only another name is none.

    Args:
        then: Name (`file`) and hash (`content`) of each file, in order.
        now: The same of today.
    """
    before, after = ([entry["content"] for entry in each] for each in (then, now))
    if before == after:
        return
    names_then, names_now = ([entry["file"] for entry in each] for each in (then, now))
    old = {entry["file"]: entry["content"] for entry in then}
    new = {entry["file"]: entry["content"] for entry in now}
    for name in dict.fromkeys(names_now):
        if name in old and old[name] != new[name]:
            yield f"'{name}' has another content than then"
        elif name not in old and new[name] not in before:
            yield f"'{name}' was not read then"
    for name in dict.fromkeys(names_then):
        if name not in new and old[name] not in after:
            yield f"'{name}' was read then, and is not now"
    if sorted(before) == sorted(after):
        yield f"the files were in another order: then {', '.join(names_then)}"


def _written(place: str, entry: Section) -> Iterator[tuple[str, Any]]:
    for key, value in entry.model_dump(exclude_none=True).items():
        if key == "path":
            local = Path(str(value)).expanduser()
            value = str(local.resolve()) if local.exists() else value
        yield f"{place}.{key}", value
