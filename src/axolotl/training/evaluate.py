"""The held-out loss of a model that is not being trained: the base, an adapter, or a full run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from axolotl.config.model import ModelSection
from axolotl.core.console import note
from axolotl.data.origins import origins_in
from axolotl.data.prepare import prepare, prepare_tests
from axolotl.errors import DataError
from axolotl.models.adapters import attach_saved
from axolotl.models.backend import open_for_rows
from axolotl.models.load import base_dtype, model_config
from axolotl.models.matmul import choose_route, layer_shapes, use_route
from axolotl.models.quantized import gptq_base, quantized_base
from axolotl.models.rope_saved import say_left_aside
from axolotl.models.tokenizer import load_tokenizer
from axolotl.resolve import Resolved
from axolotl.training.bench.score import Bench
from axolotl.training.data import eval_rows, held_out_loader
from axolotl.training.divergence import with_rows
from axolotl.training.eval_extras import read_bench
from axolotl.training.evaluation import EvalResult, evaluate_loss
from axolotl.training.loss import RowLoss
from axolotl.training.precision import formats, weights_in


def run_evaluation(
    resolved: Resolved, *, model: ModelSection, adapter: Path | None = None, base: bool = False
) -> EvalResult:
    """Mean loss per trained token over the held-out rows, and the share of questions answered rightly.

    A base model is held in as few bits as in training, also under an adapter.

    Args:
        resolved: The configuration.
        model: What to load: its base model, or the result of its training.
        adapter: Folder of the adapter to put on it.
        base: Whether it is the base model, as training begins with it.

    Raises:
        DataError: the file names no rows to evaluate on, or its questions cannot be used.
        ModelError: it does not load.
    """
    tokenizer = load_tokenizer(model)
    held_out = (
        prepare(resolved, tokenizer=tokenizer).eval
        if resolved.streaming.asked_by is None
        else prepare_tests(resolved, tokenizer=tokenizer)
    )
    if held_out is None:
        raise DataError(
            "no rows are held out, and there are no test_datasets, so there is nothing to evaluate on",
            where=resolved.origin("val_set_size"),
            hint="set val_set_size to a share such as 0.05, or name test_datasets",
        )
    questions = read_bench(resolved, tokenizer)
    as_in_training = base or adapter is not None
    asked = resolved.attention
    if not as_in_training:  # a whole model's configuration says how it was trained
        say_left_aside(model_config(model), asked.rope_scaling, model.base_model)
        asked = asked.model_copy(update={"rope_scaling": None, "xpos_rope": False})
    loaded: Any
    loaded, attention = open_for_rows(
        model,
        asked,
        origin=resolved.origin,
        dtype=base_dtype(resolved),
        tokenizer=tokenizer,
        sequence_len=resolved.sequence.sequence_len,
        quantized=quantized_base(resolved) if as_in_training else gptq_base(resolved, model),
        adapter=adapter,
    )
    size = resolved.training.eval_batch_size or resolved.training.micro_batch_size
    rows = eval_rows(resolved.sequence, resolved.training, isolates=attention.isolates)
    if attention.leak and (resolved.sequence.eval_sample_packing or size > 1):
        note(f"{attention.name} attention: {attention.leak}, so each row holds one sample")
    if adapter is not None:
        autocast = resolved.precision.bf16 is True
        loaded = attach_saved(loaded, adapter, trainable=False, fp32=autocast)
    gpu = torch.cuda.is_available()
    computed = formats(resolved.precision, gpu=gpu)
    device = PartialState(cpu=not gpu).device or torch.device("cpu")
    loaded = loaded.to(device)
    half = None if computed.evaluation else computed.autocast
    row_loss = RowLoss(
        loaded,
        # Not by an Accelerator: a process has one for all it does, with the formats of the first.
        autocast=lambda: torch.autocast(device.type, dtype=half, enabled=half is not None),
    )
    loader = held_out_loader(held_out, rows)
    route = choose_route(layer_shapes(loaded), device=device)
    with use_route(route), weights_in(loaded, computed.evaluation):
        found = evaluate_loss(loaded, loader, row_loss, device=device)
        if found.not_finite is not None:
            note(f"{found.not_finite}{with_rows(origins_in(held_out, found.broken))}")
        if not questions:
            return found
        answered = Bench(questions, rows)(loaded, row_loss, device=device)
        return replace(found, bench=answered)
