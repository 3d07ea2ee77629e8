"""The entrance: datasets of the YAML file in, tokens to train on and to evaluate on out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from axolotl.config import Sections
from axolotl.config.sources import DatasetSource
from axolotl.core.hashing import hash_bytes
from axolotl.data.batches import Part
from axolotl.data.counts import LISTED_ROWS, Rows
from axolotl.data.encoder import Encoder
from axolotl.data.entries import open_parts
from axolotl.data.eval_sets import eval_sets
from axolotl.data.lock import check_lock, lock_entries, write_lock
from axolotl.data.making import file_counts, find_or_build, store_key
from axolotl.data.push import hub_exchange
from axolotl.data.report import (
    SourceReport,
    join_reasons,
    join_rows,
    source_reports,
    source_warnings,
    titles,
)
from axolotl.data.select import REPEATED_HELD_OUT, Choices, Selection, select_rows
from axolotl.data.store import StoreFiles, TokenStore
from axolotl.data.summary import PrepareSummary, UsedRows, WeightedRows
from axolotl.data.tokenize import Limits
from axolotl.errors import ConfigError

DEFAULT_FOLDER = "last_run_prepared"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Data ready to train on.

    Args:
        train: Rows to train on in an epoch, in the order of the data.
        eval: Rows to evaluate on; None when there are none.
        summary: What became of the source rows.
    """

    train: TokenStore
    eval: TokenStore | None
    summary: PrepareSummary


def prepare(options: Sections, *, tokenizer: Any) -> Prepared:
    """Tokenize the data sets, or find them tokenized, and choose the rows to train and evaluate on.

    Args:
        options: The data sets, where their tokens are kept, the longest row allowed, which rows are
            used and in which order.
        tokenizer: A tokenizer of transformers; it is not changed.

    Raises:
        ConfigError: the data is to be read while training goes on.
        DataError: a file, row or field cannot be used, or no row is left.
        ModelError: the tokenizer lacks an end token.
        EnvironmentFault: the disk is full or not writable.
    """
    began = time.perf_counter()
    if streaming := options.streaming.asked_by:
        raise ConfigError(
            streaming,
            f"{streaming} has the data read while training goes on: there is nothing to prepare",
            hint="train at once, or look at some rows with `axolotl preview`",
        )
    encoder = Encoder(tokenizer)
    parts, tests = open_parts(options, encoder), _open_tests(options, encoder)
    locked = None
    if options.rows.dataset_lock:
        locked = lock_entries([part.source for part in (*parts, *tests)])
        check_lock(options.folder, options.file_name, locked)
    made = _make(parts, options, encoder)
    test = _make(tests, options, encoder) if tests else None
    if locked is not None:
        write_lock(options.folder, options.file_name, locked)
    choices = Choices.of(options)
    selection = select_rows(choices, made.files, made.sets, tests=test.files if test else None)
    entries = options.data.test_datasets if test else options.data.datasets
    prepared = (
        TokenStore(made.files.folder, selection.train),
        _held_out(test or made, selection.held_out, entries),
    )
    summary = _summary(
        made, test, prepared, selection, choices, seconds=time.perf_counter() - began
    )
    return Prepared(*prepared, summary)


def prepare_tests(options: Sections, *, tokenizer: Any) -> TokenStore | None:
    """The rows of `test_datasets` alone; None where there are none.

    Args:
        options: The data sets, where their tokens are kept, the longest row allowed.
        tokenizer: A tokenizer of transformers; it is not changed.

    Raises:
        DataError: a file, row or field cannot be used, or no row is left.
        ModelError: the tokenizer lacks an end token.
        EnvironmentFault: the disk is full or not writable.
    """
    if not options.data.test_datasets:
        return None
    encoder = Encoder(tokenizer)
    tests = _make(_open_tests(options, encoder), options, encoder)
    return _held_out(tests, np.arange(len(tests.files.rows)), options.data.test_datasets)


def _open_tests(options: Sections, encoder: Encoder) -> list[Part]:
    return open_parts(options, encoder, entries=options.data.test_datasets, key="test_datasets")


@dataclass(frozen=True, slots=True)
class _Made:
    """Files with their format, and the store of their rows."""

    parts: Sequence[Part]
    files: StoreFiles
    from_cache: bool

    @property
    def sets(self) -> np.ndarray:
        """Number of the entry that each row of the store is of."""
        numbers = [int(part.key.rpartition(".")[2]) for part in self.parts]
        return np.array(numbers)[self.files.rows["source"]]

    def reports(self) -> tuple[SourceReport, ...]:
        """What became of the rows of each entry."""
        files = self.files
        longest = files.facts["capacity_tokens"]
        return source_reports(file_counts(files), files.rows, self.parts, capacity_tokens=longest)

    def places(self, numbers: np.ndarray) -> Rows:
        """Where rows of the store come from."""
        found = self.files.rows[numbers[:LISTED_ROWS]]
        return Rows(
            numbers.size,
            tuple((self.parts[row["source"]].source.label, int(row["row"])) for row in found),
        )


def _held_out(
    made: _Made, numbers: np.ndarray, entries: Sequence[DatasetSource]
) -> TokenStore | None:
    """The rows to evaluate on, which know their sets; None without any."""
    if not numbers.size:
        return None
    return TokenStore(
        made.files.folder,
        numbers,
        sets=eval_sets(entries, made.sets[numbers]),
        files=[part.source.label for part in made.parts],
    )


def _make(parts: Sequence[Part], options: Sections, encoder: Encoder) -> _Made:
    limits = Limits.of(options, encoder)
    key = store_key(parts, encoder, limits)
    folder = Path(options.data.dataset_prepared_path or DEFAULT_FOLDER) / key
    skip = options.rows.skip_bad_rows
    remote = hub_exchange(options.hub.push_dataset_to_hub)
    files, from_cache = find_or_build(
        folder, parts, encoder, limits, skip_bad_rows=skip, remote=remote
    )
    return _Made(parts, files, from_cache)


def _summary(
    made: _Made,
    test: _Made | None,
    prepared: tuple[TokenStore, TokenStore | None],
    selection: Selection,
    choices: Choices,
    *,
    seconds: float,
) -> PrepareSummary:
    every = [made, test] if test else [made]
    reports = [report for one in every for report in one.reports()]
    called = titles(reports)
    used = [store for store in prepared if store is not None]
    return PrepareSummary(
        rows_read=sum(report.rows_read for report in reports),
        rows_kept=sum(len(one.files.rows) for one in every),
        rows_split=join_rows([report.split for report in reports]),
        rows_truncated=join_rows([report.truncated for report in reports]),
        dropped_rows=join_reasons([report.left_out for report in reports]),
        equal_rows={
            reason: ((test or made) if reason == REPEATED_HELD_OUT else made).places(numbers)
            for reason, numbers in selection.equal.items()
        },
        train_rows=selection.train.size,
        unweighted_rows=selection.unweighted_rows,
        eval_rows=selection.held_out.size,
        weighted=[
            WeightedRows(key, called[key], w.weight, w.rows, w.trained)
            for w in selection.weighted
            for key in [f"datasets.{w.number}"]
        ],
        other_parts=selection.other_parts,
        part=choices.part,
        tokens=sum(store.tokens for store in used),
        trained_tokens=sum(store.trained_tokens for store in used),
        longest_tokens=max(int(store.lengths.max()) for store in used),
        sources=[source for one in every for source in _sources(one)],
        by_source=reports,
        used=dict(_used(made, test, selection)),
        warnings=(
            *source_warnings(reports),
            *_warnings(made, test, selection, reports, shuffled=choices.shuffle_all),
        ),
        seconds=seconds,
        from_cache=all(one.from_cache for one in every),
        key=made.files.folder.name,
        folder=made.files.folder,
        selection=hash_bytes(selection.train.tobytes(), selection.held_out.tobytes()),
        test_key=test.files.folder.name if test else None,
    )


def _used(made: _Made, test: _Made | None, selection: Selection) -> Iterator[tuple[str, UsedRows]]:
    """What is used of each entry."""
    nothing = np.array([], dtype=np.int64)
    both = [(made, selection.train, nothing if test else selection.held_out)]
    if test is not None:
        both.append((test, nothing, selection.held_out))
    for of, train, held_out in both:
        trained = of.files.rows["trained"][train].astype(np.float64)
        entries = of.sets
        keys = {part.key: int(part.key.rpartition(".")[2]) for part in of.parts}
        number = max(keys.values()) + 1
        rows = np.bincount(entries[train], minlength=number)
        tokens = np.bincount(entries[train], weights=trained, minlength=number)
        evaluated = np.bincount(entries[held_out], minlength=number)
        for key, i in keys.items():
            yield key, UsedRows(int(rows[i]), int(evaluated[i]), int(tokens[i]))


def _sources(made: _Made) -> Iterator[dict[str, Any]]:
    inputs = made.files.facts["inputs"]
    for part, file, told in zip(made.parts, file_counts(made.files), inputs, strict=True):
        yield {
            "file": part.source.label,
            "entry": part.key,
            "format": part.bound.type if part.bound else "pretokenized",
            "content": told["content"],
            "rows_read": file.read,
            "rows_kept": file.kept,
        }


def _found_in(few: np.ndarray, many: np.ndarray) -> int:
    """How many of a few values are among many; the many are not sorted, which would take long."""
    if not few.size:
        return 0
    found = np.sort(few)
    at = np.minimum(np.searchsorted(found, many), found.size - 1)
    return int(np.isin(few, np.unique(many[found[at] == many])).sum())


def _warnings(
    made: _Made,
    test: _Made | None,
    selection: Selection,
    reports: Sequence[SourceReport],
    *,
    shuffled: bool,
) -> Iterator[str]:
    tests = (test or made).files.rows["hash"][selection.held_out]
    both = _found_in(tests, made.files.rows["hash"][selection.train])
    if both:
        yield f"{both:,} of the held-out rows stand word for word among the training rows too"
    if test is None and selection.held_out.size:
        evaluated = set(made.sets[selection.held_out].tolist())
        called = titles(reports)
        there = {int(r.key.rpartition(".")[2]): called[r.key] for r in reports if r.rows_kept}
        if left := [there[number] for number in there if number not in evaluated]:
            why = (
                f"as few as {selection.held_out.size} are held out"
                if shuffled
                else "the last rows are held out, and the data sets are not shuffled together"
            )
            yield (
                f"no held-out row is of {', '.join(left)}: {why}; name `test_datasets` to evaluate "
                "on all"
            )
