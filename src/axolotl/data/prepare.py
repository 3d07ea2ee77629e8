"""The entrance: datasets of the YAML file in, tokens to train on and to evaluate on out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from axolotl.config import Sections
from axolotl.config.data import DataSection
from axolotl.data.batches import Part
from axolotl.data.encoder import Encoder
from axolotl.data.entries import open_parts
from axolotl.data.making import file_counts, find_or_build, store_key
from axolotl.data.report import join_reasons, join_rows, source_reports, source_warnings
from axolotl.data.split import split_rows
from axolotl.data.store import StoreFiles, TokenStore
from axolotl.data.summary import PrepareSummary
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
    files, from_cache = find_or_build(
        folder, parts, encoder, limits, skip_bad_rows=options.rows.skip_bad_rows
    )
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
    rows, counts = files.rows, file_counts(files)
    reports = source_reports(counts, rows, parts, capacity_tokens=files.facts["capacity_tokens"])
    train, held_out = split
    used = rows[np.concatenate(split)] if part[1] > 1 else rows
    sources = [
        {
            "file": part.source.label,
            "format": part.bound.type if part.bound else "pretokenized",
            "content": part.source.identity(),
            "rows_read": file.read,
            "rows_kept": file.kept,
        }
        for part, file in zip(parts, counts, strict=True)
    ]
    return PrepareSummary(
        rows_read=sum(file.read for file in counts),
        rows_kept=len(rows),
        rows_split=join_rows([report.split for report in reports]),
        rows_truncated=join_rows([report.truncated for report in reports]),
        dropped_rows=join_reasons([report.left_out for report in reports]),
        train_rows=train.size,
        eval_rows=held_out.size,
        part=part,
        tokens=int(used["tokens"].sum(dtype=np.int64)),
        trained_tokens=int(used["trained"].sum(dtype=np.int64)),
        longest_tokens=int(used["tokens"].max()),
        sources=sources,
        by_source=reports,
        warnings=(*source_warnings(reports), *_warnings(rows["hash"], train, held_out)),
        seconds=seconds,
        from_cache=from_cache,
        key=files.folder.name,
        folder=files.folder,
    )


def _warnings(hashes: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> Iterator[str]:
    both = int(np.isin(hashes[held_out], hashes[train]).sum())
    if both:
        yield f"{both:,} of the held-out rows stand word for word among the training rows too"
