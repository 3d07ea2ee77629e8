"""The data of a run that reads it while it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from axolotl.config import Sections
from axolotl.data.encoder import Encoder
from axolotl.data.lanes import open_lanes, stream_key
from axolotl.data.store import TokenStore
from axolotl.data.stream import Lane, Position, SampleStream, StreamCounts
from axolotl.data.tokenize import Limits
from axolotl.packing.loader import make_loader
from axolotl.records import IGNORE_INDEX, TokenRow
from axolotl.training.data import Plan, eval_rows, held_out_loader, planner, steps_of, train_rows
from axolotl.training.run_data import packing_words
from axolotl.training.streaming import BufferMark, RowNumbers, StreamedRows

SHOWN = 20
"""How many samples are read before the training, to find faults early and to be looked at."""


@dataclass(frozen=True)
class StreamedData:
    """Data that is read while the training goes on.

    Args:
        lanes: The entries of the file.
        encoder: The tokenizer.
        limits: How long samples may be.
        skip_bad_rows: How many bad rows are left out.
        eval: Rows to evaluate on, which are prepared before; None without any.
        shown: The first samples.
        counts: What became of the rows since the training began.
        warnings: What is worth a look in the first rows.
    """

    lanes: Sequence[Lane]
    encoder: Encoder = field(repr=False)
    limits: Limits
    skip_bad_rows: int
    eval: TokenStore | None
    shown: list[TokenRow] = field(repr=False)
    counts: StreamCounts = field(default_factory=StreamCounts)
    warnings: Sequence[str] = ()

    def open(self, position: Position | None = None) -> SampleStream:
        """The samples from a position on."""
        return SampleStream(
            self.lanes,
            self.encoder,
            self.limits,
            position=position,
            skip_bad_rows=self.skip_bad_rows,
            counts=self.counts,
        )

    def marks(self) -> Mapping[str, Any]:
        """Files, formats and tokenizer; the content of the files is not read beforehand."""
        return {
            "data": stream_key(self.lanes, self.encoder, self.limits),
            "eval_rows": len(self.eval) if self.eval is not None else 0,
        }

    def lines(self, plan: Plan) -> Mapping[str, str]:
        """Rows, tokens, packing."""
        files = [part.source.label for lane in self.lanes for part in lane.parts]
        named = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        held_out = (
            f"{len(self.eval):,} to evaluate on" if self.eval is not None else "none held out"
        )
        tokens = sum(row.input_ids.size for row in self.shown)
        trained = sum(int((row.labels != IGNORE_INDEX).sum()) for row in self.shown)
        return {
            "rows": f"read from {named} while training goes on, {held_out}",
            "tokens": f"about {tokens / len(self.shown):,.0f} a sample, {trained / tokens:.0%} of "
            "them trained",
            "packing": packing_words(plan),
        }

    def as_dict(self) -> dict[str, Any]:
        """The files, and what decides the samples."""
        files = [part.source.label for lane in self.lanes for part in lane.parts]
        return {"streamed": True, "sources": files, **self.marks(), **self.counts.as_dict()}

    def sources(self, plan: Plan, row: int) -> list[str]:
        """The source rows of a row of this process, if it was trained not long ago."""
        return plan.streamed.sources(row) if plan.streamed else []

    def closing(self) -> Sequence[str]:
        """What became of the rows that were read."""
        return self.counts.lines()


def open_streamed(
    options: Sections, tokenizer: Any, *, held_out: TokenStore | None
) -> StreamedData:
    """Open the data, and read the first samples, so that faults are found before the model loads.

    Args:
        options: The configuration.
        tokenizer: A tokenizer of transformers.
        held_out: Rows to evaluate on.

    Raises:
        DataError: the data cannot be used.
    """
    encoder = Encoder(tokenizer)
    limits = Limits.of(options, encoder)
    lanes = open_lanes(options, encoder)
    skip = options.rows.skip_bad_rows
    first = SampleStream(lanes, encoder, limits, skip_bad_rows=skip)
    shown = first.take(SHOWN)
    return StreamedData(
        lanes, encoder, limits, skip, held_out, shown, warnings=first.counts.lines()
    )


def plan_streaming(
    data: StreamedData,
    sections: Sections,
    *,
    isolates: bool,
    rank: int,
    world_size: int,
    pad_token_id: int,
    start: BufferMark | None,
) -> Plan:
    """Cut data that is read while training goes on into rows; `max_steps` says how many.

    Args:
        data: The data.
        sections: The options; sequence, training, rows, schedule, logging and streaming are read.
        isolates: Whether several documents may share a row.
        rank: Number of this process.
        world_size: Number of processes.
        pad_token_id: Token for padding, if rows are padded.
        start: Where to begin reading; at the beginning by default.
    """
    training = sections.training
    rows = train_rows(sections.sequence, training, sections.rows, isolates=isolates)
    rows = replace(rows, grouped=False)  # a stream is read in its own order
    assert training.max_steps is not None, "a rule asks for max_steps"
    in_all = training.max_steps * rows.accumulation
    steps = steps_of(in_all, rows, sections, num_epochs=None)
    streamed = StreamedRows(
        data.open,
        lambda lengths, number: planner(lengths, rows, seed=training.seed, world_size=world_size)(
            number
        ),
        buffer_samples=sections.streaming.streaming_multipack_buffer_size,
        rank=rank,
        rows=in_all,
        start=start,
    )
    loader = make_loader(
        streamed,
        RowNumbers(in_all),
        pad_to_tokens=rows.pad_to_tokens,
        pad_token_id=pad_token_id,
        whole_rows=True,
    )
    eval_loader = None
    if data.eval is not None and sections.evaluation.evaluation_strategy != "no":
        held_out = eval_rows(sections.sequence, training, isolates=isolates)
        eval_loader = held_out_loader(data.eval, held_out, rank=rank, world_size=world_size)
    return Plan(rows, None, steps, loader, eval_loader, streamed)
