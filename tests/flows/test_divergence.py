"""A training that comes to nothing ends, and says with which rows and what is left of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from axolotl import api
from axolotl.config import load_config
from axolotl.errors import AxolotlError
from axolotl.resolve import resolve
from axolotl.training.callbacks.metrics import read_metrics
from axolotl.training.divergence import diverged
from axolotl.training.last_good import naming_last_checkpoint
from axolotl.training.loss import RowLoss
from axolotl.training.trainer import PackedTrainer
from tests.flows.conftest import write_rows
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
    # The checkpoint of the step before has the weights that the loss came from.
    good = step - 2 - step % 2
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
    assert message.startswith("loss_watchdog_threshold: ")
    assert "hint: raise loss_watchdog_threshold or loss_watchdog_patience" in message
    written = ", ".join(f"checkpoint-{step}" for step in range(1, ends_at))
    none = (
        f"no checkpoint of before this began: {written} would" if written else "no checkpoint yet"
    )
    assert none in message


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


def test_the_checkpoint_to_go_on_from_has_the_lowest_held_out_loss(
    tiny_options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three good steps, one that spoils the weights, and one that makes numbers of no use of them."""
    plain = RowLoss.__call__
    factors = iter([1, 1, 1, 1e4, 1e25, 1, 1, 1])
    monkeypatch.setattr(RowLoss, "__call__", lambda *given: plain(*given) * next(factors))
    options = tiny_options(
        **NO_PACKING,
        optimizer="sgd",
        learning_rate=0.5,
        max_grad_norm=0,
        save_steps=1,
        eval_steps=1,
        save_total_limit=0,
    )
    with pytest.raises(AxolotlError, match="the training has diverged") as caught:
        api.train(options)
    folder = Path(options["output_dir"])
    lines = [x for x in read_metrics(folder / "metrics.jsonl") if "eval_loss" in x]
    ended = int(re.findall(r"at step (\d+), with", str(caught.value))[0])
    kept = range(1, ended - 1)
    losses = {x["step"]: x["eval_loss"] for x in lines if x["step"] in kept}
    best = min(losses, key=lambda step: (losses[step], -step))
    assert best < max(losses), "a later checkpoint is whole, too"
    assert (
        f"{folder / f'checkpoint-{best}'} is whole: it has the lowest held-out loss, "
        f"{losses[best]:.4f} at step {best}" in str(caught.value)
    )
    assert "set max_grad_norm" in str(caught.value)


@pytest.mark.parametrize("by", [math.nan, math.inf], ids=["nan", "inf"])
@pytest.mark.parametrize("layout", [{"eval_sample_packing": True}, NO_PACKING], ids=str)
def test_a_held_out_loss_that_is_no_number_ends_the_training_with_its_rows(
    tiny_options: Options,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layout: dict[str, Any],
    by: float,
) -> None:
    """One of the held-out samples gives no number from the third evaluation on."""
    tests = write_rows(tmp_path / "tests.jsonl", count=9)
    entries = [{"path": str(file), "type": "alpaca"} for file in (tests, tmp_path / "rows.jsonl")]
    options = tiny_options(
        **layout,
        val_set_size=0,
        test_datasets=entries,
        eval_steps=2,
        save_steps=2,
        early_stopping_patience=5,
    )
    tokens = AutoTokenizer.from_pretrained(tiny_model)
    plain = RowLoss.of_labels

    def losses(self: RowLoss, model: Any, inputs: Any) -> torch.Tensor:
        found = plain(self, model, inputs)
        starts = [*(inputs["position_ids"][0] == 0).nonzero()[:, 0].tolist(), None]
        before = 0
        for begin, end in pairwise(starts):
            text = tokens.decode(inputs["input_ids"][0, begin:end])
            count = int((inputs["labels"][0, begin:end][1:] != -100).sum())
            if "Colour 4?" in text and folder.joinpath("checkpoint-4").exists():
                found[before : before + count] *= by
            before += count
        return found

    folder = Path(options["output_dir"])
    monkeypatch.setattr(RowLoss, "of_labels", losses)
    with pytest.raises(AxolotlError) as caught:
        api.train(options)
    message = str(caught.value)
    rows = f"{tests} row 5, {tmp_path / 'rows.jsonl'} row 5"
    assert f"diverged: the held-out loss is {by} at step 6, with {rows}\n" in message
    assert "hint: look at these rows, lower" in message
    lines = [x for x in read_metrics(folder / "metrics.jsonl") if "eval_loss" in x]
    best = min(lines[:2], key=lambda line: line["eval_loss"])["step"]
    assert f"{folder / f'checkpoint-{best}'} is whole" in message
    assert lines[2]["eval_loss"] is None
    assert not (folder / "run.json").exists()
    assert not (folder / "checkpoint-6").exists()


HELD = {
    "nothing evaluated": ({}, "checkpoint-4 is whole, of step 4"),
    "the lowest": ({2: 1.0, 4: 2.0}, "checkpoint-2 is whole: it has the lowest held-out loss"),
    "no number": ({4: None}, "checkpoint-2 is whole, of step 2"),
    "none of use": ({2: None, 4: None}, "no checkpoint of before this began: checkpoint-2, "),
}


@pytest.mark.parametrize(("losses", "said"), HELD.values(), ids=HELD)
def test_which_checkpoint_is_named(
    tiny_options: Options, losses: dict[int, float | None], said: str
) -> None:
    options = tiny_options(**NO_PACKING, max_steps=6, save_steps=2, save_total_limit=0)
    api.train(options)
    lines = [{"step": step, "eval_loss": loss} for step, loss in losses.items()]
    file = Path(options["output_dir"]) / "metrics.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with (
        pytest.raises(AxolotlError) as caught,
        naming_last_checkpoint(resolve(load_config(options))),
    ):
        raise diverged("the loss is nan", step=6)
    assert said in str(caught.value)


def test_the_hint_speaks_of_what_the_file_has(tiny_options: Options) -> None:
    def hint(**changes: Any) -> str:
        settings = resolve(load_config(tiny_options(**changes)), purpose="merge")
        with pytest.raises(AxolotlError) as caught, naming_last_checkpoint(settings):
            raise diverged("the loss is nan", step=6)
        return str(caught.value)

    assert "hint: lower learning_rate, or warm up longer; there is no" in hint()
    assert "write bfloat16 instead of float16" in hint(float16=True)
    assert "write bf16 instead of fp16" in hint(fp16=True, adapter="lora", lora_target_linear=True)
    assert "set max_grad_norm" in hint(max_grad_norm=0)
