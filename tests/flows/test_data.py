"""What is said of the data reaches the training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from axolotl import api
from axolotl.errors import ModelError
from axolotl.reports.preview_text import render_tokens

Options = Callable[..., dict[str, Any]]
SHORT = {"max_steps": 2, "val_set_size": 0, "save_strategy": "no"}


def test_debug_prints_samples_before_the_training(
    tiny_options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tiny_options(**SHORT)
    api.train(options)
    assert "(-100, " not in capsys.readouterr().err
    api.train(options | {"debug": True})
    said = capsys.readouterr().err.partition("About to train")[0]
    row = api.prepare(options).train[0]
    text = render_tokens(
        row.input_ids.tolist(), row.labels.tolist(), api.load_tokenizer(options)
    ).plain
    assert text[:200] in said
    assert said.count(" Response") == 5


def test_a_run_is_not_resumed_on_another_part_of_the_data(tiny_options: Options) -> None:
    part = {"dataset_shard_num": 4, "num_epochs": 2, "max_steps": None, "save_strategy": "epoch"}
    options = tiny_options(**SHORT | part, resume_from_checkpoint=False)
    api.train(options | {"dataset_shard_idx": 0})
    with pytest.raises(ModelError, match="dataset_shard_idx: then 0, now 1"):
        api.train(options | {"dataset_shard_idx": 1, "resume_from_checkpoint": True})


def test_max_packed_sequence_len_is_the_length_of_a_row(
    tiny_options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tiny_options(sample_packing=False, sequence_len=256, micro_batch_size=2)
    lengths = sorted(api.prepare(options).train.lengths)
    longest = int(lengths[len(lengths) // 2])
    packed = options | {"max_packed_sequence_len": longest} | SHORT
    api.train(packed)
    assert f"of {2 * longest:,} tokens a row filled" in capsys.readouterr().err
    left = api.prepare(packed)
    assert left.train.lengths.max() == longest
    assert left.summary.dropped["longer than sequence_len"] > 0


def test_the_loss_is_that_of_the_test_datasets(
    tiny_options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"instruction": "Colour?", "output": "ultramarine"}] * 5
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = tiny_options(**SHORT, test_datasets=[{"path": str(file), "type": "alpaca"}])
    result = api.train(options)
    assert "48 to train on, 5 to evaluate on" in capsys.readouterr().err
    prepared = api.prepare(options)
    assert prepared.eval is not None
    assert len(prepared.train) == 48
    found = api.evaluate(options)
    assert found.trained_tokens == prepared.eval.trained_tokens
    assert found.loss == pytest.approx(result.eval_loss, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weight": 2}, r"datasets\.0\.weight"),
        ({"dataset_exact_deduplication": True}, "dataset_exact_deduplication"),
        ({"shuffle_before_merging_datasets": True}, "shuffle_before_merging_datasets"),
        ({"sample_packing_sequentially": True}, "sample_packing_sequentially"),
        ({"curriculum_sampling": True}, "curriculum_sampling"),
    ],
    ids=str,
)
def test_a_run_is_not_resumed_on_rows_chosen_in_another_way(
    tiny_options: Options, change: dict[str, Any], named: str
) -> None:
    asked = {"num_epochs": 2, "max_steps": None, "save_strategy": "epoch"}
    options = tiny_options(**SHORT | asked | {"max_steps": 40})
    entry = dict(options["datasets"][0])
    file = Path(entry["path"])
    file.write_bytes(file.read_bytes() + file.read_bytes().splitlines(keepends=True)[0])
    api.train(options)
    if "weight" in change:
        options["datasets"] = [entry | change]
    else:
        options |= change
    with pytest.raises(ModelError, match=f"{named}: then"):
        api.train(options | {"resume_from_checkpoint": True})


@pytest.mark.parametrize(
    "order", [{"curriculum_sampling": True}, {"sample_packing_sequentially": True}], ids=str
)
def test_rows_in_order_are_trained_and_resumed(
    tiny_options: Options, tmp_path: Path, order: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    options = tiny_options(**SHORT | {"max_steps": None, "num_epochs": 3}, **order)
    saved = options | {"save_strategy": "steps", "save_steps": 4}
    whole = api.train(saved | {"output_dir": str(tmp_path / "whole")})
    assert "one sample after the other" in capsys.readouterr().err
    checkpoint = str(tmp_path / "whole" / "checkpoint-8")
    again = api.train(saved | {"resume_from_checkpoint": checkpoint})
    assert again.steps == whole.steps == 18
    weights = [load_file(tmp_path / run / "model.safetensors") for run in ("whole", "out")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
