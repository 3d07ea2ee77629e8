"""The data sets of a rehearsal: the first rows of each, or made-up ones, in a file of the scratch folder.

Nothing is downloaded as a whole and nothing is written to a cache: local files are read until there
are enough rows, and of a hub data set what the library has prepared on this machine is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from glob import has_magic
from itertools import islice
from pathlib import Path
from typing import Any

from axolotl.config import Sections
from axolotl.config.sources import DatasetSource
from axolotl.config.streaming import PretrainingSource
from axolotl.data.kinds import KINDS
from axolotl.data.remote import is_remote
from axolotl.data.rows import Row
from axolotl.data.sources import find_sources
from axolotl.errors import AxolotlError, DataError
from axolotl.formats import BoundFormat, Shared, bind, shared_settings
from axolotl.records import TokenizerFacts
from axolotl.verify.rehearse.made_rows import made_texts, made_up
from axolotl.verify.rehearse.records import Replacement

ROWS = 32
LONGEST_TEXT = 1_000
"""Characters of a text that are kept, so that rows fit into the short sequences of a rehearsal."""
_OF_THE_PLACE = (
    *("path", "ds_type", "data_files", "data_dir", "name", "train_on_split", "revision"),
    *("shards", "shards_idx"),
)


def rehearsed_sets(
    entries: Sequence[DatasetSource],
    options: Sections,
    folder: Path,
    *,
    key: str,
    tokenizer: TokenizerFacts | None,
    own_tokenizer: bool,
) -> tuple[list[dict[str, Any]], list[Replacement]]:
    """The entries of the file, each with a file of few rows in the place of its data.

    Args:
        entries: The entries.
        options: What holds for all of them.
        folder: Where their rows are written to.
        key: The option that they stand under.
        tokenizer: What formats may know of the tokenizer.
        own_tokenizer: Whether the tokenizer is that of the file, so that its token ids mean something.

    Raises:
        UnknownName: there is no such `type`.
        ConfigError: the `type` has no such setting.
    """
    shared = shared_settings(options, tokenizer)
    made: list[dict[str, Any]] = []
    said: list[Replacement] = []
    for number, entry in enumerate(entries):
        at = f"{key}.{number}"
        bound = _bound(entry, shared, f"{at}.type")
        rows, whence = _rows_of(entry, options, bound, key=at, own_tokenizer=own_tokenizer)
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
            rows = [_shortened(row) for row in islice(_rows_in(sources), ROWS)]
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
    *,
    key: str,
    own_tokenizer: bool,
) -> tuple[Sequence[Mapping[str, Any]], str]:
    """Some rows, and where they are from."""
    if bound is None and not own_tokenizer:
        why = "its token ids belong to another tokenizer"
        return made_up(None, count=ROWS, key=key), f"made-up rows: {why}"
    try:
        rows = list(islice(_first_rows(entry, options, key), ROWS))
    except AxolotlError as error:
        why = error.what
        rows = []
    else:
        why = "there are no rows in it"
    if rows:
        if bound is None:
            return rows, "of its first rows"
        return [_shortened(row) for row in rows], "of its first rows"
    return made_up(bound, count=ROWS, key=key), f"made-up rows: {why}"


def _first_rows(entry: DatasetSource, options: Sections, key: str) -> Iterator[Mapping[str, Any]]:
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
    yield from _prepared_rows(entry)


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


def _prepared_rows(entry: DatasetSource) -> Iterator[Mapping[str, Any]]:
    """Rows of a hub data set that the library has prepared on this machine; its cache is only read."""
    import pyarrow as pa
    from datasets.config import HF_DATASETS_CACHE

    split = entry.train_on_split.partition("[")[0].partition("+")[0]
    folder = Path(HF_DATASETS_CACHE) / entry.path.replace("/", "___")
    files = sorted(folder.glob(f"*/*/*/*-{split}*.arrow"))
    if not files:
        raise DataError(f"'{entry.path}' is not on this machine")
    for file in files:
        with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as stream:
            for batch in stream:
                yield from batch.slice(0, ROWS).to_pylist()


def _shortened(value: Any) -> Any:
    """A row whose texts are short; what may be JSON in a text stays whole."""
    if isinstance(value, str):
        whole = len(value) <= LONGEST_TEXT or value.lstrip()[:1] in ("{", "[")
        return value if whole else value[:LONGEST_TEXT]
    if isinstance(value, Mapping):
        return {name: _shortened(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_shortened(part) for part in value]
    return value


def _write(file: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
    return file
