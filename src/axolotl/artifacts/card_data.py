"""What a model card says of the data: each source, what became of its rows, and how they were cut.

All comes from the record of the run. Of places of this machine only the last name is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from axolotl.artifacts.places import on_hub, short_name

_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGITS = 12
"""Of a hash, as many as commits are known by."""
_MOST_HASHES = 4
_HEADER = ("source", "type", "rows trained", "held out", "left out", "tokens trained", "sha256")
_UNUSABLE = "cannot be used"


def data_lines(record: Mapping[str, Any]) -> list[str]:
    """The section on data; nothing where the record does not know it.

    Args:
        record: What `run.json` says of the run.
    """
    data = _mapping(record.get("data"))
    if data.get("streamed"):
        lines = list(_streamed(record, data))
    elif sources := [_mapping(one) for one in data.get("by_source") or ()]:
        rows = [_row(record, data, source) for source in sources]
        lines = [
            _line(_HEADER),
            _line(["---"] * len(_HEADER)),
            *map(_line, rows),
            "",
            *_beside(data),
        ]
    else:
        return []
    return ["\n## Data\n", *lines, _cut(record), ""]


def _row(
    record: Mapping[str, Any], data: Mapping[str, Any], source: Mapping[str, Any]
) -> list[str]:
    """What became of the rows of a source."""
    key = str(source.get("key"))
    used = _mapping(_mapping(data.get("used")).get(key))
    files = [_mapping(one) for one in data.get("sources") or ()]
    return [
        f"`{_entry_name(record, key) or short_name(str(source.get('name', '')))}`",
        str(source.get("format", "")),
        _count(used.get("train_rows")),
        _count(used.get("eval_rows")),
        _left_out(source),
        _count(used.get("trained_tokens")),
        _hashes([str(one.get("content")) for one in files if one.get("entry") == key]),
    ]


def _entry_name(record: Mapping[str, Any], key: str) -> str | None:
    """The hub's name of an entry; None where the data lay elsewhere."""
    option, _, number = key.partition(".")
    entries = _mapping(_mapping(record.get("config")).get("given")).get(option)
    if not isinstance(entries, list) or not number.isdecimal() or int(number) >= len(entries):
        return None
    path = _mapping(cast("list[Any]", entries)[int(number)]).get("path")
    return short_name(path) if isinstance(path, str) and on_hub(path) else None


def _left_out(source: Mapping[str, Any]) -> str:
    """How many of the rows are not used, and why; what rows are wrong in may be words of the data."""
    found = {reason: _rows(rows) for reason, rows in _mapping(source.get("dropped")).items()}
    if bad := sum(_rows(rows) for rows in _mapping(source.get("bad")).values()):
        found[_UNUSABLE] = bad
    said = [f"{count:,} {reason}" for reason, count in found.items() if count]
    for kind, words in (("truncated", "cut to length"), ("split", "split into several")):
        if count := _rows(source.get(kind)):
            said.append(f"{count:,} {words}")
    return "; ".join(said) or "none"


def _beside(data: Mapping[str, Any]) -> Iterator[str]:
    """What is not known source by source."""
    for reason, rows in _mapping(data.get("equal_rows")).items():
        yield f"{_rows(rows):,} rows of all were left out: {reason}.\n"
    index, number = data.get("part") or (0, 1)
    if number > 1:
        yield f"Trained was part {index + 1} of {number} of the rows.\n"
    twice = " A row that it trains twice counts two." if data.get("weighted") else ""
    yield f"Rows and tokens are those of one epoch.{twice}\n"


def _streamed(record: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    """Data that was read while training went on: what is known of all sources together."""
    given = _mapping(_mapping(record.get("config")).get("given"))
    stream = given.get("pretraining_dataset") or given.get("datasets")
    entries = [stream] if isinstance(stream, str) else cast("list[Any]", stream or [])
    rows: list[list[str]] = []
    for entry in entries:
        path = entry if isinstance(entry, str) else str(_mapping(entry).get("path", ""))
        kind = _mapping(entry).get("type", "completion")
        rows.append([f"`{short_name(path)}`", kind if isinstance(kind, str) else "own templates"])
    yield from map(_line, (["source", "type"], ["---", "---"], *rows))
    dropped = _mapping(data.get("dropped"))
    left = "; ".join(f"{count:,} {why.partition(': ')[0]}" for why, count in dropped.items())
    cut = f"; {data['truncated']:,} cut to length" if data.get("truncated") else ""
    yield (
        f"\nRead while training went on: {_count(data.get('read'))} rows; left out: {left or 'none'}{cut}; "
        f"{_count(data.get('eval_rows'))} rows to evaluate on.\n"
    )


def _cut(record: Mapping[str, Any]) -> str:
    """How samples are cut and packed."""
    resolved = _mapping(_mapping(record.get("config")).get("resolved"))
    filled = _mapping(record.get("plan")).get("packing_efficiency")
    longest = resolved.get("sequence_len")
    if not isinstance(longest, int):
        return ""
    length = f"Samples have up to {longest:,} tokens"
    if not resolved.get("sample_packing"):
        return f"{length} (`sequence_len`), and are not packed."
    share = f", which are filled to {filled:.1%}" if isinstance(filled, float) else ""
    return f"{length} (`sequence_len`), and are packed into rows of as many{share}."


def _hashes(contents: Sequence[str]) -> str:
    """The beginnings of the hashes of some files; a file that is no file here has none."""
    found = [match[0][:_DIGITS] for text in contents if (match := _SHA256.search(text))]
    more = f" and {len(found) - _MOST_HASHES:,} more" if len(found) > _MOST_HASHES else ""
    return " ".join(f"`{one}`" for one in found[:_MOST_HASHES]) + more


def _line(cells: Sequence[str]) -> str:
    """A row of a table; what is in a cell breaks neither."""
    safe = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(safe)} |"


def _rows(value: Any) -> int:
    count = _mapping(value).get("count")
    return count if isinstance(count, int) else 0


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "—"


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
