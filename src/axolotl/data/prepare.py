"""The entrance: datasets of the YAML file in, tokens to train on and to evaluate on out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from axolotl.config import Sections
from axolotl.config.data import DataSection
from axolotl.data.batches import Part
from axolotl.data.build import CONTROL, SPLIT
from axolotl.data.encoder import Encoder
from axolotl.data.entries import open_parts
from axolotl.data.making import find_or_build, store_key
from axolotl.data.split import split_rows
from axolotl.data.store import StoreFiles, TokenStore
from axolotl.data.summary import PrepareSummary, Rows
from axolotl.data.tokenize import Limits

DEFAULT_FOLDER = "last_run_prepared"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Data ready to train on.

    Args:
        train: Rows to train on.
        eval: Rows held out; None when there are none.
        summary: What became of the source rows.
    """

    train: TokenStore
    eval: TokenStore | None
    summary: PrepareSummary


def prepare(options: Sections, *, tokenizer: Any) -> Prepared:
    """Tokenize the datasets, or find them tokenized, and hold out the evaluation rows.

    Args:
        options: The datasets, where their tokens are kept, the longest row allowed, the seed of the
            shuffle that joins several datasets.
        tokenizer: A tokenizer of transformers; it is not changed.

    Raises:
        DataError: a file, row or field cannot be used, or no row is left.
        ModelError: the tokenizer lacks an end token.
        EnvironmentFault: the disk is full or not writable.
    """
    began = time.perf_counter()
    data, seed = options.data, options.training.seed
    limits = Limits.of(options)
    encoder = Encoder(tokenizer)
    parts = open_parts(options, encoder)
    key = store_key(parts, encoder, limits)
    folder = Path(data.dataset_prepared_path or DEFAULT_FOLDER) / key
    files, from_cache = find_or_build(folder, parts, encoder, limits)
    several = len({part.key for part in parts}) > 1
    train, held_out = split_rows(
        len(files.rows),
        val_set_size=data.val_set_size or 0,
        seed=seed,
        shuffle=several,
        part=_part(data),
    )
    summary = _summary(
        files,
        parts,
        split=(train, held_out),
        part=_part(data),
        from_cache=from_cache,
        seconds=time.perf_counter() - began,
    )
    held_out_store = TokenStore(folder, held_out) if held_out.size else None
    return Prepared(TokenStore(folder, train), held_out_store, summary)


def _part(data: DataSection) -> tuple[int, int]:
    """Which of how many parts of the prepared rows is used."""
    return data.dataset_shard_idx or 0, data.dataset_shard_num or 1


def _summary(
    files: StoreFiles,
    parts: Sequence[Part],
    *,
    split: tuple[np.ndarray, np.ndarray],
    part: tuple[int, int],
    from_cache: bool,
    seconds: float,
) -> PrepareSummary:
    facts, rows = files.facts, files.rows
    groups = {name: _rows(group, parts) for name, group in facts["groups"].items()}
    train, held_out = split
    used = rows[np.concatenate(split)] if part[1] > 1 else rows
    sources = [
        {
            "file": part.source.label,
            "format": part.bound.type if part.bound else "pretokenized",
            "content": part.source.identity(),
            "rows_read": read,
            "rows_kept": kept,
        }
        for part, read, kept in zip(parts, facts["rows_read"], facts["rows_kept"], strict=True)
    ]
    return PrepareSummary(
        rows_read=sum(facts["rows_read"]),
        rows_kept=len(rows),
        rows_split=groups.get(SPLIT, Rows(0, ())),
        dropped_rows={
            name: group for name, group in groups.items() if name not in (SPLIT, CONTROL)
        },
        train_rows=train.size,
        eval_rows=held_out.size,
        part=part,
        tokens=int(used["tokens"].sum(dtype=np.int64)),
        trained_tokens=int(used["trained"].sum(dtype=np.int64)),
        longest_tokens=int(used["tokens"].max()),
        sources=sources,
        warnings=tuple(_warnings(facts, groups, rows["hash"][train], rows["hash"][held_out])),
        seconds=seconds,
        from_cache=from_cache,
        key=files.folder.name,
        folder=files.folder,
    )


def _rows(group: Mapping[str, Any], parts: Sequence[Part]) -> Rows:
    places = tuple((parts[part].source.label, row) for part, row in group["places"])
    return Rows(group["count"], places)


def _warnings(
    facts: Mapping[str, Any], groups: Mapping[str, Rows], train: np.ndarray, held_out: np.ndarray
) -> Iterator[str]:
    if CONTROL in groups:
        yield (
            f"text that is a special token became that token in rows: {groups[CONTROL]}; "
            "the model is steered by it instead of reading it"
        )
    if facts["padded_rows"]:
        yield f"{facts['padded_rows']:,} pretokenized rows were stored without their padding"
    both = int(np.isin(held_out, train).sum())
    if both:
        yield f"{both:,} of the held-out rows stand word for word among the training rows too"
