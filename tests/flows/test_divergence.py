"""A training that comes to nothing ends, and says with which rows and what is left of it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from axolotl import api
from axolotl.errors import AxolotlError
from axolotl.training.callbacks.metrics import read_metrics
from axolotl.training.loss import RowLoss
from axolotl.training.trainer import PackedTrainer
from tests.flows.test_training import assert_same_bits

Options = Callable[..., dict[str, Any]]
NO_PACKING = {"sample_packing": False, "micro_batch_size": 4}
LAYOUTS: dict[str, dict[str, Any]] = {
    "packed": {},
    "unpacked": NO_PACKING,
    "accumulated": {**NO_PACKING, "gradient_accumulation_steps": 3},
    "in order": {"curriculum_sampling": True},
    "filled in order": {"sample_packing_sequentially": True, "sequence_len": 64},
}


def breaks_at(monkeypatch: pytest.MonkeyPatch, row: int, *, by: float) -> list[torch.Tensor]:
    """Let the loss of the given row of the training, from 1, be multiplied; returns its tokens."""
    plain = RowLoss.__call__
    seen: list[torch.Tensor] = []
    rows = 0

    def loss(self: RowLoss, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal rows
        found = plain(self, model, inputs, *args, **kwargs)
        if not model.training:
            return found
        rows += 1
        if rows != row:
            return found
        seen.append(inputs["input_ids"][0])
        return found * by

    monkeypatch.setattr(RowLoss, "__call__", loss)
    return seen


def rows_in(tokens: torch.Tensor, model: Path) -> set[int]:
    """Numbers of the rows that the text speaks of, from 1."""
    text = AutoTokenizer.from_pretrained(model).decode(tokens)
    return {int(number) + 1 for number in re.findall(r"Colour (\d+)\?", text)}


def named(message: str) -> set[int]:
    return {int(number) for number in re.findall(r"rows\.jsonl row (\d+)", message)}


@pytest.mark.parametrize("by", [math.nan, math.inf], ids=["nan", "inf"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_rows_of_a_loss_that_is_no_number_are_named(
    tiny_options: Options,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    layout: dict[str, Any],
    by: float,
) -> None:
    options = tiny_options(**layout, num_epochs=3, save_steps=2, save_total_limit=0)
    seen = breaks_at(monkeypatch, 11, by=by)
    with pytest.raises(AxolotlError) as caught:
        api.train(options)
    message = str(caught.value)
    # Ten rows an epoch in steps of three, three, three and one.
    step = 5 if "gradient_accumulation_steps" in layout else 11
    assert f"the loss is {by} at step {step}, with " in message
    assert rows_in(seen[0], tiny_model)
    shown = named(message)
    assert shown <= rows_in(seen[0], tiny_model)
    assert len(shown) == min(12, len(rows_in(seen[0], tiny_model)))
    folder = Path(options["output_dir"])
    good = step - 1 - (step - 1) % 2
    assert f"{folder / f'checkpoint-{good}'} is whole" in message
    assert [line["step"] for line in read_metrics(folder / "metrics.jsonl")][-1] == step - 1
    assert not (folder / "run.json").exists()


def test_the_rows_are_named_after_a_resume_and_in_a_later_epoch(
    tiny_options: Options, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = tiny_options(**NO_PACKING, num_epochs=3, max_steps=17, save_steps=13)
    api.train(options)
    seen = breaks_at(monkeypatch, 3, by=math.nan)
    with pytest.raises(AxolotlError, match="at step 16, with ") as caught:
        checkpoint = str(Path(options["output_dir"]) / "checkpoint-13")
        api.train(options | {"resume_from_checkpoint": checkpoint})
    assert named(str(caught.value)) == rows_in(seen[0], tiny_model)


def test_the_rows_of_a_stream_are_named(
    tiny_options: Options, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = tiny_options(
        streaming=True,
        val_set_size=0,
        max_steps=20,
        gradient_accumulation_steps=2,
        streaming_multipack_buffer_size=10,
        sequence_len=64,
    )
    seen = breaks_at(monkeypatch, 9, by=math.nan)
    with pytest.raises(AxolotlError, match="at step 5, with ") as caught:
        api.train(options)
    assert named(str(caught.value)) == rows_in(seen[0], tiny_model)


def test_a_gradient_that_is_no_number_ends_the_training_before_the_weights_do(
    tiny_options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = PackedTrainer.training_step

    def step(self: PackedTrainer, model: Any, *args: Any, **kwargs: Any) -> Any:
        loss = plain(self, model, *args, **kwargs)
        if self.state.global_step == 2:
            next(p for p in model.parameters() if p.grad is not None).grad.fill_(math.nan)
        return loss

    monkeypatch.setattr(PackedTrainer, "training_step", step)
    for clip in (1.0, 0):
        with pytest.raises(
            AxolotlError, match=r"norm of the gradient is nan at step 3, with .*row"
        ):
            api.train(tiny_options(**NO_PACKING, max_steps=5, max_grad_norm=clip))


@pytest.mark.parametrize(
    ("loss_watchdog_threshold", "loss_watchdog_patience", "ends_at"),
    [(0.1, 1, 1), (0.1, 3, 3), (0.1, 21, None), (50.0, 1, None)],
)
def test_a_loss_that_stays_too_high_ends_the_training(
    tiny_options: Options,
    loss_watchdog_threshold: float,
    loss_watchdog_patience: int,
    ends_at: int | None,
) -> None:
    options = tiny_options(
        **NO_PACKING,
        save_steps=1,
        loss_watchdog_threshold=loss_watchdog_threshold,
        loss_watchdog_patience=loss_watchdog_patience,
        logging_steps=7,
    )
    if ends_at is None:
        assert api.train(options).steps == 20
        return
    with pytest.raises(AxolotlError) as caught:
        api.train(options)
    message = str(caught.value)
    assert f"at step {ends_at}, with " in message
    assert len(named(message)) == 4
    assert f"above loss_watchdog_threshold, 0.1, for {ends_at} steps" in message
    assert "there is no checkpoint yet" in message  # none of before the loss was too high


def test_one_good_step_makes_the_watchdog_count_anew_and_a_resume_goes_on_counting(
    tiny_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = tiny_options(
        **NO_PACKING, save_steps=1, save_total_limit=0, max_steps=12, warmup_steps=0
    )
    options |= {"loss_watchdog_threshold": 100.0, "loss_watchdog_patience": 3}
    whole = tmp_path / "whole"
    api.train(options | {"output_dir": str(whole)})
    plain = RowLoss.__call__
    step = 0

    def loss(self: RowLoss, model: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal step
        step += model.training
        found = plain(self, model, *args, **kwargs)
        # A number is added, which leaves the gradients as they are.
        high = model.training and step in (3, 4, 6, 7, 8)
        return found + 1e6 if high else found

    monkeypatch.setattr(RowLoss, "__call__", loss)
    for resume in ({}, {"resume_from_checkpoint": str(tmp_path / "out" / "checkpoint-6")}):
        step = 6 if resume else 0
        with pytest.raises(AxolotlError, match=r"at step 8, with .* for 3 steps") as caught:
            api.train(options | resume)
        assert f"{tmp_path / 'out' / 'checkpoint-5'} is whole" in str(caught.value)
    monkeypatch.undo()
    checkpoint = str(tmp_path / "out" / "checkpoint-5")
    api.train(options | {"resume_from_checkpoint": checkpoint})
    assert_same_bits(tmp_path / "out", whole)
    high = [
        line
        for line in read_metrics(tmp_path / "out" / "metrics.jsonl")
        if line.get("loss", 0) > 100
    ]
    assert [line["step"] for line in high] == [3, 4]
