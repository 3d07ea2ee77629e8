"""The held-out loss of a model that is not being trained: the base, an adapter, or a full run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from axolotl.config.model import ModelSection
from axolotl.core.console import note
from axolotl.data.prepare import prepare, prepare_tests
from axolotl.errors import DataError
from axolotl.models.adapters import attach_saved
from axolotl.models.backend import open_for_rows
from axolotl.models.load import weight_dtype
from axolotl.models.matmul import choose_route, layer_shapes, use_route
from axolotl.models.quantized import quantized_base
from axolotl.models.tokenizer import load_tokenizer
from axolotl.resolve import Resolved
from axolotl.training.data import eval_rows, held_out_loader
from axolotl.training.evaluation import EvalResult, evaluate_loss
from axolotl.training.loss import RowLoss


def run_evaluation(
    resolved: Resolved, *, model: ModelSection, adapter: Path | None = None
) -> EvalResult:
    """Mean loss per trained token over the held-out rows.

    Args:
        resolved: The configuration.
        model: What to load: its base model, or the result of its training.
        adapter: Folder of the adapter to put on it.

    Raises:
        DataError: the file names no rows to evaluate on.
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
    loaded: Any
    loaded, attention = open_for_rows(
        model,
        resolved.attention,
        origin=resolved.origin,
        dtype=weight_dtype(resolved.precision),
        tokenizer=tokenizer,
        sequence_len=resolved.sequence.sequence_len,
        quantized=quantized_base(resolved) if adapter is not None else None,
    )
    size = resolved.training.eval_batch_size or resolved.training.micro_batch_size
    rows = eval_rows(resolved.sequence, resolved.training, isolates=attention.isolates)
    if attention.leak and (resolved.sequence.eval_sample_packing or size > 1):
        note(f"{attention.name} attention: {attention.leak}, so each row holds one sample")
    if adapter is not None:
        loaded = attach_saved(loaded, adapter, trainable=False)
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="bf16" if resolved.precision.bf16 is True else "no",
    )
    loaded = loaded.to(accelerator.device)
    row_loss = RowLoss(loaded, autocast=lambda: accelerator.autocast())
    loader = held_out_loader(held_out, rows)
    with use_route(choose_route(layer_shapes(loaded), device=accelerator.device)):
        return evaluate_loss(loaded, loader, row_loss, device=accelerator.device)
