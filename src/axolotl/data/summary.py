"""What became of the rows, in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from axolotl.data.counts import Rows
from axolotl.data.report import SourceReport, listed


@dataclass(frozen=True, slots=True)
class WeightedRows:
    """A source whose rows are not trained once each.

    Args:
        key: Its place in the YAML file, such as `datasets.0`.
        name: What it is called among all sources: its file, or where its files are.
        weight: How often they are trained.
        rows: Its rows to train on.
        trained: How many rows an epoch has of them.
    """

    key: str
    name: str
    weight: float
    rows: int
    trained: int

    def __str__(self) -> str:
        return f"{self.name} {self.weight:g} times: {self.trained:,} of {self.rows:,}"


@dataclass(frozen=True, slots=True)
class UsedRows:
    """What of a source is used.

    Args:
        train_rows: Rows to train on in an epoch; a row that is trained twice counts two.
        eval_rows: Rows to evaluate on.
        trained_tokens: Tokens that carry a label, of the rows to train on.
    """

    train_rows: int
    eval_rows: int
    trained_tokens: int


@dataclass(frozen=True, slots=True)
class PrepareSummary:
    """What a preparation came to.

    Args:
        rows_read: Rows of all sources.
        rows_kept: Rows in the stores, train and eval together; a row cut in three counts three.
        rows_split: Source rows that were cut into several because they were too long.
        rows_truncated: Source rows that lost their end because they were too long.
        dropped_rows: Source rows that are not in the store, by reason.
        equal_rows: Rows of the stores that are not used because others are equal, by reason.
        train_rows: Rows to train on in an epoch; a row that is trained twice counts two.
        unweighted_rows: Rows to train on before weights.
        eval_rows: Rows to evaluate on.
        weighted: The sources whose rows are not trained once each.
        other_parts: Rows that are left to other parts.
        part: Which part of the rows kept is used, from 0, and of how many: `dataset_shard_idx` and
            `dataset_shard_num`. Training and held-out rows and the tokens are those of the part.
        tokens: Tokens of all rows used, those of an epoch and those to evaluate on.
        trained_tokens: Tokens that carry a label.
        longest_tokens: Length of the longest row used.
        sources: Per file: name, format, hash of its content, rows read and kept.
        by_source: What became of the rows of each entry of `datasets` and `test_datasets`.
        used: What is used of each of these, by its key.
        warnings: What is worth a look.
        seconds: How long it took, this time.
        from_cache: Whether the tokens were there already.
        key: Key of the store.
        folder: Folder of the store.
        selection: Hash of which rows are used, in which order.
        test_key: Key of the store of `test_datasets`; None without any.
    """

    rows_read: int
    rows_kept: int
    rows_split: Rows
    rows_truncated: Rows
    dropped_rows: Mapping[str, Rows]
    equal_rows: Mapping[str, Rows]
    train_rows: int
    unweighted_rows: int
    eval_rows: int
    weighted: Sequence[WeightedRows]
    other_parts: int
    part: tuple[int, int]
    tokens: int
    trained_tokens: int
    longest_tokens: int
    sources: Sequence[Mapping[str, Any]]
    by_source: Sequence[SourceReport]
    used: Mapping[str, UsedRows]
    warnings: tuple[str, ...]
    seconds: float
    from_cache: bool
    key: str
    folder: Path
    selection: str
    test_key: str | None

    @property
    def dropped(self) -> dict[str, int]:
        """How many source rows are not in the store, by reason."""
        return {reason: rows.count for reason, rows in self.dropped_rows.items()}

    @property
    def contents(self) -> list[dict[str, str]]:
        """Name and hash of each file, in order."""
        return [{"file": str(s["file"]), "content": str(s["content"])} for s in self.sources]

    @property
    def rows_per_second(self) -> float:
        """Source rows per second, this time."""
        return self.rows_read / max(self.seconds, 1e-9)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self) | {
            "folder": str(self.folder),
            "by_source": [report.as_dict() for report in self.by_source],
            "dropped": self.dropped,
            "rows_per_second": round(self.rows_per_second, 1),
        }

    def lines(self, *, reasons: bool = True) -> list[tuple[str, str]]:
        """The summary as a two-column table.

        Args:
            reasons: Say what was dropped or cut, which the tables per source say too.
        """
        share = self.trained_tokens / max(self.tokens, 1)
        speed = "" if self.from_cache else f", {self.rows_per_second:,.0f} rows/s"
        lines = [("rows read", f"{self.rows_read:,}")]
        if reasons:
            lines += self._reasons()
        lines += [(f"dropped: {reason}", str(rows)) for reason, rows in self.equal_rows.items()]
        index, number = self.part
        if number > 1:
            which = f"dataset_shard_num: {number}, dataset_shard_idx: {index}"
            lines.append(("left to other parts", f"{self.other_parts:,} ({which})"))
        held_out = "none held out"
        if self.eval_rows:
            what = "held out" if self.test_key is None else "to evaluate on"
            held_out = f"{self.eval_rows:,} {what}"
        used = self.unweighted_rows + self.eval_rows
        lines.append(("rows kept", f"{used:,}: {self.unweighted_rows:,} to train on, {held_out}"))
        if self.weighted:
            by_source = "; ".join(map(str, self.weighted))
            lines.append(("trained rows by weight", f"{self.train_rows:,}, {by_source}"))
        lines += [
            ("tokens", f"{self.tokens:,}, {share:.0%} of them trained"),
            ("longest row", f"{self.longest_tokens:,} tokens"),
            ("time", f"{self.seconds:.1f} s{speed}{', from the store' if self.from_cache else ''}"),
            ("folder", str(self.folder)),
        ]
        return lines + [("warning", text) for text in self.warnings]

    def _reasons(self) -> list[tuple[str, str]]:
        lines = [(f"dropped: {reason}", str(rows)) for reason, rows in listed(self.dropped_rows)]
        if self.rows_split.count:
            lines.append(("cut into several", str(self.rows_split)))
        if self.rows_truncated.count:
            lines.append(("cut to sequence_len", str(self.rows_truncated)))
        return lines
