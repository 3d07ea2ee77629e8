"""Rows: their length, packing and padding."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.architectures import facts_of
from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.local_settings import local_settings

_MANY_TOKENS = 2**18


def packing_once(case: Case) -> Iterator[Found]:
    """`max_packed_sequence_len` is packing by its old name."""
    sequence = case.config.sequence
    if sequence.max_packed_sequence_len is None:
        return
    if sequence.sample_packing:
        yield Found(
            "error",
            "max_packed_sequence_len",
            "max_packed_sequence_len and sample_packing exclude each other",
            "remove max_packed_sequence_len",
            (Edit("remove", "max_packed_sequence_len"),)
            if sequence.max_packed_sequence_len >= sequence.sequence_len
            else (),
        )
        return
    whole = sequence.max_packed_sequence_len >= sequence.sequence_len
    yield Found(
        "warning",
        "max_packed_sequence_len",
        "max_packed_sequence_len is the old name of packing; samples share rows as with "
        "sample_packing",
        "write `sample_packing: true`"
        + ("" if whole else ", with `sequence_len` as the length of a row"),
        (
            Edit("rename", "max_packed_sequence_len", "sample_packing"),
            Edit("set", "sample_packing", True),
        )
        if whole
        else (),
    )


def padding(case: Case) -> Iterator[Found]:
    """Padding is worth its time only where a constant shape is."""
    sequence = case.config.sequence
    packs = sequence.sample_packing or sequence.max_packed_sequence_len is not None
    if sequence.pad_to_sequence_len and not packs:
        rows = case.config.training.micro_batch_size
        yield Found(
            "warning",
            "pad_to_sequence_len",
            f"pad_to_sequence_len: every row is filled up to {rows * sequence.sequence_len:,} "
            "tokens, mostly with padding",
            "add `sample_packing: true`, or remove it: rows need no padding here",
        )
    elif sequence.pad_to_sequence_len and not case.machine.gpu:
        yield Found(
            "info",
            "pad_to_sequence_len",
            "pad_to_sequence_len: padding costs time and gains nothing on a CPU",
            "remove it",
        )
    elif packs and case.machine.gpu and "pad_to_sequence_len" not in case.config.written:
        yield Found(
            "info",
            "sample_packing",
            "sample_packing: rows are almost, not quite, of one length, so the memory that a step "
            "takes varies a little",
            "add `pad_to_sequence_len: true` to know the most that is needed from the first step",
        )


def packing_of_the_model(case: Case) -> Iterator[Found]:
    """In some models a row is one document, whatever is masked."""
    settings = local_settings(case.config.model)
    if settings is None or not case.packs:
        return
    facts = facts_of(str(settings.get("model_type")))
    why = facts.refuses.get("sample_packing") if facts is not None else None
    if facts is not None and why:
        yield Found(
            "warning",
            "sample_packing",
            f"sample_packing: {facts.title} models cannot have several samples in a row: {why}; each "
            "row will hold one, and more rows are accumulated",
            "remove it",
        )


def tokens_in_a_row(case: Case) -> Iterator[Found]:
    """A row that is too long for memory is better known before an hour of preparation."""
    config = case.config
    tokens = config.training.micro_batch_size * config.sequence.sequence_len
    if tokens > _MANY_TOKENS:
        yield Found(
            "warning",
            "micro_batch_size" if case.asked("micro_batch_size") else "sequence_len",
            f"micro_batch_size times sequence_len: one row of {tokens:,} tokens takes very much memory",
            "lower one of them, and raise gradient_accumulation_steps to make up for it",
        )


def rows_for_evaluation(case: Case) -> Iterator[Found]:
    """Memory that sufficed for training may not for evaluation."""
    training = case.config.training
    written = {"eval_batch_size", "micro_batch_size"} <= case.config.written.keys()
    if written and training.eval_batch_size != training.micro_batch_size:
        yield Found(
            "warning",
            "eval_batch_size",
            f"eval_batch_size: {training.eval_batch_size} is not the micro_batch_size of "
            f"{training.micro_batch_size}, so evaluations need another amount of memory",
            "remove it to use the same",
        )


TABLE: Table = [
    (packing_once, "max_packed_sequence_len sample_packing sequence_len"),
    (padding, "pad_to_sequence_len sample_packing max_packed_sequence_len"),
    (packing_of_the_model, "sample_packing max_packed_sequence_len base_model base_model_config"),
    (tokens_in_a_row, "micro_batch_size sequence_len"),
    (rows_for_evaluation, "eval_batch_size micro_batch_size"),
]
