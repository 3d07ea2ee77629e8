"""The data sets of a rehearsal: the first rows of each, or made-up ones, in a file of the scratch folder.

Nothing is downloaded as a whole and nothing is written to a cache: local files are read until there
are enough rows, and of a hub data set what the library has prepared on this machine is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import has_magic
from itertools import islice
from pathlib import Path
from typing import Any

from axolotl.config import Sections
from axolotl.config.sources import DatasetSource
from axolotl.config.streaming import PretrainingSource
from axolotl.data.encoder import Encoder
from axolotl.data.kinds import KINDS
from axolotl.data.remote import is_remote
from axolotl.data.rows import Row
from axolotl.data.sources import find_sources
from axolotl.errors import AxolotlError, DataError
from axolotl.formats import BoundFormat, Shared, bind, shared_settings
from axolotl.verify.rehearse.cached import prepared_rows
from axolotl.verify.rehearse.fitting import Fitting, shortened
from axolotl.verify.rehearse.made_rows import made_texts, made_up
from axolotl.verify.rehearse.records import Replacement

ROWS = 32
_OF_THE_PLACE = (
    *("path", "ds_type", "data_files", "data_dir", "name", "train_on_split", "revision"),
    *("shards", "shards_idx"),
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a rehearsal has for the rows.

    Args:
        encoder: Its tokenizer.
        own_tokenizer: Whether that is the tokenizer of the file, so that its token ids mean something.
        tokens: Its longest sample.
        cache: Where the library has prepared data sets of the hub.
    """

    encoder: Encoder
    own_tokenizer: bool
    tokens: int
    cache: Path


def rehearsed_sets(
    entries: Sequence[DatasetSource],
    options: Sections,
    folder: Path,
    *,
    key: str,
    surroundings: Surroundings,
) -> tuple[list[dict[str, Any]], list[Replacement]]:
    """The entries of the file, each with a file of few rows in the place of its data.

    Args:
        entries: The entries.
        options: What holds for all of them.
        folder: Where their rows are written to.
        key: The option that they stand under.
        surroundings: What a rehearsal has for them.

    Raises:
        UnknownName: there is no such `type`.
        ConfigError: the `type` has no such setting.
    """
    shared = shared_settings(options, surroundings.encoder.facts())
    made: list[dict[str, Any]] = []
    said: list[Replacement] = []
    for number, entry in enumerate(entries):
        at = f"{key}.{number}"
        bound = _bound(entry, shared, f"{at}.type")
        rows, whence = _rows_of(entry, options, bound, surroundings, key=at)
        file = _write(folder / f"{key}-{number}.jsonl", rows)
        kept = entry.model_dump(exclude_unset=True)
        made.append(
            {name: value for name, value in kept.items() if name not in _OF_THE_PLACE}
            | {"path": str(file), "ds_type": "json"}
        )
        said.append(Replacement(f"{at}.path", entry.path, f"{len(rows)} {whence}"))
    return made, said


def rehearsed_streams(
    asked: str | list[PretrainingSource], folder: Path
) -> tuple[list[dict[str, Any]], list[Replacement]]:
    """The entries of `pretraining_dataset`, each with a file of few rows in the place of its data."""
    entries = [PretrainingSource(path=asked)] if isinstance(asked, str) else asked
    made: list[dict[str, Any]] = []
    said: list[Replacement] = []
    for number, entry in enumerate(entries):
        try:
            sources = find_sources(entry.path, split=entry.split)
            rows = [shortened(row) for row in islice(_rows_in(sources), ROWS)]
            whence = "of its first rows"
        except AxolotlError:
            rows = []
            whence = ""
        if not rows:
            rows = made_texts(entry.text_column, count=ROWS)
            whence = "made-up rows: its own are not to be had here"
        file = _write(folder / f"pretraining-{number}.jsonl", rows)
        made.append({"path": str(file), "text_column": entry.text_column})
        said.append(
            Replacement(f"pretraining_dataset.{number}.path", entry.path, f"{len(rows)} {whence}")
        )
    return made, said


def _bound(entry: DatasetSource, shared: Shared, key: str) -> BoundFormat | None:
    if entry.type is None:
        return None
    kind = entry.type if isinstance(entry.type, str) else entry.type.model_dump()
    return bind(kind, settings=entry.settings(), shared=shared, key=key)


def _rows_of(
    entry: DatasetSource,
    options: Sections,
    bound: BoundFormat | None,
    has: Surroundings,
    *,
    key: str,
) -> tuple[Sequence[Mapping[str, Any]], str]:
    """Some rows, and where they are from."""
    if bound is None and not has.own_tokenizer:
        why = "its token ids belong to another tokenizer"
        return made_up(None, count=ROWS, key=key), f"made-up rows: {why}"
    try:
        rows = list(islice(_first_rows(entry, options, key, has.cache), ROWS))
    except AxolotlError as error:
        return made_up(bound, count=ROWS, key=key), f"made-up rows: {error.what}"
    if not rows:
        return made_up(bound, count=ROWS, key=key), "made-up rows: there are no rows in it"
    fitting = Fitting(
        bound,
        has.encoder,
        tokens=has.tokens,
        dropped_above=options.sequence.sequence_len if has.own_tokenizer else None,
    )
    fitted = [cut for cut in map(fitting.fitted, rows) if cut is not None]
    if not fitted:
        why = f"its rows cannot be cut to the {has.tokens} tokens of a rehearsal"
        return made_up(bound, count=ROWS, key=key), f"made-up rows: {why}"
    return fitted, "of its first rows"


def _first_rows(
    entry: DatasetSource, options: Sections, key: str, cache: Path
) -> Iterator[Mapping[str, Any]]:
    """Rows of local files, else of what the library has prepared of a hub data set."""
    if _is_local(entry):
        names = entry.name if isinstance(entry.name, list) else [entry.name]
        for name in names:
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
            yield from _rows_in(sources)
        return
    yield from prepared_rows(entry, cache)


def _is_local(entry: DatasetSource) -> bool:
    files = [entry.data_files] if isinstance(entry.data_files, str) else entry.data_files or []
    if any(is_remote(name) for name in [entry.path, *files]):
        return False
    path = entry.path.removeprefix("file://")
    return Path(path).expanduser().exists() or has_magic(path) or path in KINDS


def _rows_in(sources: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """The rows of files, without those that cannot be read."""
    for source in sources:
        for chunk in source.chunks():
            yield from _readable(chunk.rows)


def _readable(rows: Iterable[Row]) -> Iterator[Mapping[str, Any]]:
    return (row for row in rows if not isinstance(row, DataError))


def _write(file: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
    return file
