"""What is said of the data reaches the training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

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
    with pytest.raises(ModelError, match=r"part_of_data: then \[0, 4\], now \[1, 4\]"):
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
