"""From the entries of the file to their files, each with its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from axolotl.config import Sections
from axolotl.config.sources import DatasetSource
from axolotl.data.batches import Part
from axolotl.data.encoder import Encoder
from axolotl.data.shard import Shard
from axolotl.data.sources import find_sources
from axolotl.formats import Shared, bind, shared_settings

_OF_A_PROMPT = ("prompt_templates", "chat_template", "chat_template_jinja", "chat_template_kwargs")
"""What the file says for all of its datasets and what decides the text of a prompt."""


def open_parts(
    options: Sections,
    encoder: Encoder,
    *,
    entries: Sequence[DatasetSource] | None = None,
    key: str = "datasets",
) -> list[Part]:
    """The files of every entry with their format, in the order of the YAML file.

    Args:
        options: The datasets, what holds for all of them, and the seed that decides the rows of
            `shards`.
        encoder: The tokenizer.
        entries: The entries; those of `datasets` by default.
        key: The option that they stand under.

    Raises:
        DataError: a file is not there.
        UnknownName: no such `type`.
    """
    shared = shared_settings(options, encoder.facts())
    found = options.data.datasets if entries is None else entries
    return [
        part
        for number, entry in enumerate(found)
        for part in _open_entry(entry, f"{key}.{number}", options, shared)
    ]


def _open_entry(entry: DatasetSource, key: str, options: Sections, shared: Shared) -> list[Part]:
    bound = None
    if entry.type is not None:
        bound = bind(
            entry.type if isinstance(entry.type, str) else entry.type.model_dump(),
            settings=entry.settings(),
            shared=shared,
            key=f"{key}.type",
        )
    parts: list[Part] = []
    for name in entry.name if isinstance(entry.name, list) else [entry.name]:
        sources = find_sources(
            entry.path,
            key=f"{key}.path",
            ds_type=entry.ds_type,
            data_files=entry.data_files,
            data_dir=entry.data_dir,
            name=name,
            split=entry.train_on_split,
            revision=entry.revision,
            token=options.model.hf_use_auth_token,
        )
        shards = entry.shards or 1
        shard = None
        if shards > 1:
            shard = Shard(sources, shards, options.training.seed, entry.shards_idx or 0)
        parts += [Part(source, bound, key, shard) for source in sources]
    return parts


def of_first_entry(options: Sections) -> dict[str, Any]:
    """The format of the first dataset of the file, as a run keeps it to be asked in later.

    Returns:
        `type`, the `settings` of the entry, and what is `shared` by all entries of the file. Texts of
        `pretraining_dataset` have no settings.
    """
    shared = shared_for_all(shared_settings(options))
    if not options.data.datasets:
        return {"type": "completion", "settings": {}, "shared": shared}
    first = options.data.datasets[0]
    kind = first.type if isinstance(first.type, str | None) else first.type.model_dump()
    return {"type": kind, "settings": first.settings(), "shared": shared}


def shared_for_all(options: Mapping[str, Any]) -> dict[str, Any]:
    """What of options by name decides the text of the prompts of all datasets."""
    return {name: options[name] for name in _OF_A_PROMPT if name in options}
