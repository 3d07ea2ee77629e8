"""The entries of the file as lanes of an endless stream."""

from __future__ import annotations

from collections.abc import Sequence

from axolotl.config import Sections
from axolotl.config.sources import DatasetSource
from axolotl.config.streaming import PretrainingSource
from axolotl.core.hashing import hash_values
from axolotl.data.encoder import Encoder
from axolotl.data.entries import open_parts
from axolotl.data.stream import Lane
from axolotl.data.tokenize import Limits


def open_lanes(options: Sections, encoder: Encoder) -> list[Lane]:
    """One lane for each entry of `pretraining_dataset`, or of `datasets` with `streaming`.

    Args:
        options: The entries, and what holds for all of them.
        encoder: The tokenizer.

    Raises:
        DataError: a file is not there.
        UnknownName: no such `type`.
    """
    texts = pretraining_sources(options)
    if not texts:
        return _lanes(options, encoder, options.data.datasets, [0] * len(options.data.datasets))
    entries = [
        DatasetSource(
            path=text.path,
            name=text.name,
            type="completion",
            field=text.text_column,
            train_on_split=text.split,
        )
        for text in texts
    ]
    skips = [text.skip for text in texts]
    return _lanes(options, encoder, entries, skips, key="pretraining_dataset")


def pretraining_sources(options: Sections) -> list[PretrainingSource]:
    """The entries of `pretraining_dataset`; a name alone is an entry too."""
    given = options.streaming.pretraining_dataset
    if given is None:
        return []
    return [PretrainingSource(path=given)] if isinstance(given, str) else given


def stream_key(lanes: Sequence[Lane], encoder: Encoder, limits: Limits) -> str:
    """What decides the samples, but for the content of the files, which is not read beforehand."""
    parts = [
        [
            lane.weight,
            lane.skip,
            [
                [part.source.label, part.source.weight, part.bound and part.bound.identity()]
                for part in lane.parts
            ],
        ]
        for lane in lanes
    ]
    blocks = {"blocks": str(limits.blocks)} if limits.blocks else {}
    content = {"tokenizer": encoder.identity(), "limits": str(limits), "parts": parts, **blocks}
    return hash_values(content)[:32]


def _lanes(
    options: Sections,
    encoder: Encoder,
    entries: Sequence[DatasetSource],
    skips: Sequence[int],
    *,
    key: str = "datasets",
) -> list[Lane]:
    parts = open_parts(options, encoder, entries=entries, key=key)
    return [
        Lane(
            f"{key}.{number}",
            [part for part in parts if part.key == f"{key}.{number}"],
            entry.weight,
            skip,
            texts=key == "pretraining_dataset",
        )
        for number, (entry, skip) in enumerate(zip(entries, skips, strict=True))
    ]
