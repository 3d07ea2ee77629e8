"""Packed rows of the user's data against their samples alone, on the user's model.

The model is opened as training opens it: adapter, quantisation, number formats, attention. The rows
are those that training begins with. A row is sent through once as it is, and once sample by sample;
logits, loss and the gradient of the trained weights must be the same, and changing a sample must not
move the logits of another.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState
from torch import nn
from torch.utils.data import DataLoader
from transformers import set_seed

from axolotl.attention import Choice
from axolotl.data.prepare import prepare
from axolotl.models.matmul import choose_route, layer_shapes, use_route
from axolotl.models.quantized import Quantized, quantized_base
from axolotl.models.tokenizer import load_tokenizer, pad_id
from axolotl.resolve import Resolved
from axolotl.training.data import Rows, plan_training
from axolotl.training.model import build_model
from axolotl.training.precision import formats
from axolotl.training.streamed_data import open_streamed, plan_streaming
from axolotl.verify import Proof
from axolotl.verify._packed_row import Batch, Measured, RowComparison, samples_of

SHARED_ROWS = 2
"""Rows with several samples that are looked at where the caller does not say how many."""
SECONDS = 60.0
"""After so long no further row is begun, where the caller does not say how many."""
SEARCHED_ROWS = 200
"""So many rows are searched for some that several samples share."""
FP32_TOLERANCE = 1e-5
ROUNDINGS = 12
"""Roundings of the coarsest number format that a difference may come to."""


@dataclass(frozen=True)
class Tolerance:
    """How far two passes may be apart that compute the same.

    Args:
        share: Of the logits' range, of the loss, and of the gradient's norm.
        why: Where it comes from.
    """

    share: float
    why: str


def prove(resolved: Resolved, *, rows: int | None = None) -> Proof:
    """Compare packed rows with their samples alone.

    Args:
        resolved: The configuration.
        rows: How many rows that several samples share; by default `SHARED_ROWS` of them, fewer
            where one takes long.

    Raises:
        AxolotlError: the data cannot be prepared, or the model does not load.
    """
    tokenizer = load_tokenizer(resolved.model)
    set_seed(resolved.training.seed)
    model, attention = build_model(resolved, origin=resolved.origin, tokenizer=tokenizer)
    loader, layout = _rows(resolved, tokenizer, attention)
    padding = pad_id(tokenizer) if layout.pad_to_tokens is not None else None
    found = _shared(loader, padding=padding)
    first = next(found, None)
    if first is None:
        return _nothing_shared(resolved, attention, layout, loader)

    gpu = torch.cuda.is_available()
    device = PartialState(cpu=not gpu).device or torch.device("cpu")
    form = quantized_base(resolved)
    half = formats(resolved.precision, gpu=gpu).autocast
    model = model.to(device)
    _recompute_as_asked(model, resolved)
    without_chance(model)
    comparison = RowComparison(
        model,
        autocast=lambda: torch.autocast(device.type, dtype=half, enabled=half is not None),
        special=tokenizer.all_special_ids,
    )
    measured: list[Measured] = []
    begun = time.monotonic()
    with use_route(choose_route(layer_shapes(model), device=device)), _tokens_apart(model, form):
        for row, samples in _chain(first, found):
            here = {name: values.to(device) for name, values in row.items()}
            if not measured and not comparison.repeats(here):
                model.eval()
            measured.append(comparison.measure(here, samples))
            late = rows is None and time.monotonic() - begun > SECONDS
            if late or len(measured) >= (rows or SHARED_ROWS):
                break
    allowed = tolerance(model, half, form, tf32=gpu and bool(resolved.precision.tf32))
    return _proof(measured, allowed, attention, form, asked=rows)


def tolerance(
    model: nn.Module, autocast: torch.dtype | None, form: Quantized | None, *, tf32: bool = False
) -> Tolerance:
    """How far packed and alone may be apart: more, the coarser the numbers that are computed with.

    Both compute the same sums, but in rows of another length, so in another order. In fp32 that
    comes to less than 1e-5. A coarser format rounds off what it cannot hold, in every layer anew, and
    the tolerance is `ROUNDINGS` of its roundings: bfloat16 keeps 8 bits (a rounding is 2^-8),
    float16 and TF32 11; 8-bit layers round their inputs to 127 steps of the largest.

    Args:
        model: The model.
        autocast: What a forward pass computes in where it is not the weights' own.
        form: How its frozen weights are held.
        tf32: Whether fp32 products may be rounded to TF32.
    """
    dtypes = {weight.dtype for weight in model.parameters() if weight.is_floating_point()}
    dtypes |= {autocast} if autocast else set()
    dtypes |= {form.rounds_to} if form else set()
    roundings = {str(d).removeprefix("torch."): torch.finfo(d).eps / 2 for d in dtypes}
    if form is not None and form.kind == "int8":
        roundings["int8"] = 1 / 254
    if tf32:
        roundings["TF32"] = 2.0**-11
    coarsest = max(roundings, key=lambda name: roundings[name])
    share = ROUNDINGS * roundings[coarsest]
    if share < FP32_TOLERANCE:
        return Tolerance(FP32_TOLERANCE, "all is computed in float32")
    return Tolerance(share, f"{ROUNDINGS} roundings of {coarsest}")


def without_chance(model: nn.Module) -> None:
    """Take dropout out of a model in training mode; it is for good."""
    for module in model.modules():
        if type(module).__name__.endswith("Dropout") and hasattr(module, "p"):
            vars(module)["p"] = 0.0
        for holder in (module, getattr(module, "config", None)):
            for name, value in vars(holder).items() if holder is not None else ():
                if isinstance(value, float) and ("dropout" in name or "pdrop" in name):
                    setattr(holder, name, 0.0)


def _rows(resolved: Resolved, tokenizer: Any, attention: Choice) -> tuple[DataLoader[Any], Rows]:
    """The rows that training begins with, and how they are laid out."""
    layout: dict[str, Any] = {
        "isolates": attention.isolates,
        "rank": 0,
        "world_size": 1,
        "pad_token_id": pad_id(tokenizer),
    }
    if resolved.streaming.asked_by is not None:
        streamed = open_streamed(resolved, tokenizer, held_out=None)
        plan = plan_streaming(streamed, resolved, start=None, **layout)
    else:
        prepared = prepare(resolved, tokenizer=tokenizer)
        plan = plan_training(prepared, resolved, only_max_steps=False, **layout)
    return plan.train_loader, plan.rows


def _shared(loader: DataLoader[Any], *, padding: int | None) -> Iterator[tuple[Batch, list[slice]]]:
    """The first rows that several samples share, and where those are."""
    for number, row in enumerate(loader):
        if number == SEARCHED_ROWS:
            return
        samples = samples_of(row, padding=padding)
        if len(samples) > 1:
            yield row, samples


def _chain(
    first: tuple[Batch, list[slice]], rest: Iterator[tuple[Batch, list[slice]]]
) -> Iterator[tuple[Batch, list[slice]]]:
    yield first
    yield from rest


def _recompute_as_asked(model: Any, resolved: Resolved) -> None:
    """Recompute activations where training does so, or a model that just fits would not."""
    if resolved.training.gradient_checkpointing:
        how = resolved.training.gradient_checkpointing_kwargs or {"use_reentrant": False}
        # The name before transformers 5.21 is the second, which warns since.
        enable = getattr(model, "activation_checkpointing_enable", None)
        (enable or model.gradient_checkpointing_enable)(how)


def _tokens_apart(model: Any, form: Quantized | None) -> AbstractContextManager[None]:
    """8-bit layers choose the inputs that they do not round over all tokens of a pass; here none are."""
    if form is None or form.kind != "int8":
        return nullcontext()
    from axolotl.models.bnb import without_outliers

    return without_outliers(model)


def _nothing_shared(
    resolved: Resolved, attention: Choice, layout: Rows, loader: DataLoader[Any]
) -> Proof:
    """What is shown where each row holds one sample."""
    if attention.leak:
        why = f"{attention.name} attention: {attention.leak}, so each row holds one sample"
    elif layout.packed:
        why = f"no two samples fit into a row of {layout.capacity_tokens:,} tokens"
    else:
        why = "sample_packing is off and micro_batch_size is 1"
    looked = min(len(loader), SEARCHED_ROWS)
    lines = [
        f"attention: {attention}",
        f"rows: none of the {looked:,} looked at holds two samples: {why}",
        "compared: nothing, for there is no other sample in a row to be seen",
    ]
    if resolved.sequence.sample_packing and attention.leak:
        lines.append("packing: the file asks for sample_packing, and this model does without")
    return Proof(
        "each sample has a row for itself, so none can see another",
        holds=True,
        numbers={"rows": 0, "rows_looked_at": looked, "documents": 0},
        lines=tuple(lines),
    )


def _proof(
    measured: Sequence[Measured],
    allowed: Tolerance,
    attention: Choice,
    form: Quantized | None,
    *,
    asked: int | None,
) -> Proof:
    """The worst of all rows, held against the tolerance."""
    worst = {
        name: _worst(measured, name)
        for name in ("logits", "logits_share", "leak_share", "loss_share", "gradient_share")
    }
    moved = min(row.moved_share for row in measured)
    judged = [worst[n] for n in ("logits_share", "leak_share", "loss_share", "gradient_share")]
    # Compared this way round, NaN does not hold.
    holds = all(value <= allowed.share for value in judged) and moved > allowed.share
    unmarked = [row.unmarked_share for row in measured if row.unmarked_share is not None]
    numbers = {
        "rows": len(measured),
        "documents": sum(row.documents for row in measured),
        "tokens": sum(row.tokens for row in measured),
        "trained_tokens": sum(row.labels for row in measured),
        **worst,
        "moved_share": moved,
        "tolerance": allowed.share,
        **({"unmarked_share": min(unmarked)} if unmarked else {}),
    }
    return Proof(
        "samples that share a row do not see each other, forward and backward",
        holds=holds,
        numbers=numbers,
        lines=tuple(_lines(measured, numbers, allowed, attention, form, asked=asked)),
    )


def _worst(measured: Sequence[Measured], name: str) -> float:
    """Largest over the rows; NaN if any is."""
    values = [getattr(row, name) for row in measured]
    return torch.tensor(values, dtype=torch.float64).max().item()


def _lines(
    measured: Sequence[Measured],
    numbers: dict[str, float],
    allowed: Tolerance,
    attention: Choice,
    form: Quantized | None,
    *,
    asked: int | None,
) -> Iterator[str]:
    """The numbers in words."""
    yield f"attention: {attention}"
    yield (
        f"compared: {numbers['rows']:,} rows of {numbers['documents']:,} samples, "
        f"{numbers['tokens']:,} tokens, {numbers['trained_tokens']:,} of them trained"
    )
    yield (
        f"logits: {numbers['logits_share']:.1e} of their range apart, packed and alone "
        f"(at most {numbers['logits']:.1e})"
    )
    yield (
        f"a sample changed: logits of the others move by {numbers['leak_share']:.1e} of their range, "
        f"its own by {numbers['moved_share']:.1e} or more"
    )
    for row in measured:
        yield (
            f"loss: {row.loss:.6f} packed, {row.loss_alone:.6f} as the token-weighted mean of the "
            f"samples alone ({row.loss_share:.1e} apart)"
        )
    yield f"gradient: {numbers['gradient_share']:.1e} of its norm apart"
    if "unmarked_share" in numbers:
        yield (
            f"for comparison: logits are {numbers['unmarked_share']:.1e} apart where two samples are "
            "sent through as one"
        )
    yield f"tolerance: {allowed.share:.1e}, {allowed.why}"
    if form is not None and form.kind == "int8":
        yield "8 bits: all inputs of the layers are rounded; in training, large ones are not"
    if asked is not None and numbers["rows"] < asked:
        yield f"rows: {asked:,} were asked for; no more that several samples share were found"
