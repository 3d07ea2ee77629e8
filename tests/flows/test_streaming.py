"""Training on data that is read while it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from axolotl import api
from axolotl.data import batches as reading
from axolotl.errors import ConfigError, ConfigErrors, ModelError
from axolotl.training.callbacks.metrics import read_metrics
from tests.flows.conftest import COLOURS

Options = Callable[..., dict[str, Any]]


def texts(file: Path, count: int, offset: int = 0) -> str:
    rows = [
        {"text": " ".join(COLOURS[(i * k + offset) % 7] for k in range(1, 3 + i % 11))}
        for i in range(count)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(file)


@pytest.fixture
def stream_options(tiny_options: Options, tmp_path: Path) -> Options:
    def options(**changes: Any) -> dict[str, Any]:
        given = tiny_options(
            val_set_size=0,
            streaming=True,
            max_steps=6,
            sequence_len=64,
            gradient_accumulation_steps=2,
            streaming_multipack_buffer_size=100,
            datasets=[{"path": texts(tmp_path / "a.jsonl", 900), "type": "completion"}],
        )
        del given["num_epochs"], given["dataset_prepared_path"]
        return given | changes

    return options


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "model.safetensors")


def logged(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_a_stream_is_trained_and_nothing_is_prepared(
    stream_options: Options, tmp_path: Path
) -> None:
    result = api.train(stream_options(streaming=True))
    assert result.steps == 6
    assert result.eval_loss is None
    assert len(logged(tmp_path / "out")) == 6
    assert not list(tmp_path.rglob("store.json"))
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["data"]["streamed"] is True
    assert record["data"]["sources"] == [str(tmp_path / "a.jsonl")]
    trained, tokens = result.metrics["trained_tokens"], result.metrics["tokens"]
    assert 0.8 * tokens < trained < tokens, "all but the first token of each sample"


def test_a_stream_is_saved_and_evaluated_on_the_way(
    stream_options: Options, tmp_path: Path
) -> None:
    tests = [{"path": texts(tmp_path / "t.jsonl", 5), "type": "completion"}]
    given = stream_options(max_steps=20, test_datasets=tests, save_total_limit=0)
    del given["val_set_size"]
    api.train(given)
    names = {path.name for path in (tmp_path / "out").glob("checkpoint-*")}
    assert names == {f"checkpoint-{step}" for step in range(2, 21, 2)}
    lines = read_metrics(tmp_path / "out" / "metrics.jsonl")
    assert [line["step"] for line in lines if "eval_loss" in line] == [*range(2, 21, 2)]


def test_what_became_of_the_rows_is_said_and_kept(
    stream_options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "d.jsonl"
    rows = [{"instruction": "a", "output": "b " * (200 if i % 4 == 0 else 3)} for i in range(40)]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"output": "c"}]), "utf-8")
    api.train(
        stream_options(
            datasets=[{"path": str(file), "type": "alpaca"}], skip_bad_rows=1, max_steps=2
        )
    )
    record = json.loads((tmp_path / "out" / "run.json").read_text())["data"]
    laps = record["read"] / 41
    assert laps >= 1
    missing = "cannot be used: no field 'instruction' (the row has: output)"
    assert record["dropped"] == {"longer than sequence_len": 10 * laps, missing: laps}
    said = capsys.readouterr().err
    assert "warning: dropped, longer than sequence_len: 10 of 41 rows read" in said
    assert (
        f"dropped, longer than sequence_len: {10 * laps:.0f} of {record['read']} rows read" in said
    )
    assert "(1 an epoch" not in said
    lines = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert all("epoch" not in json.loads(line) for line in lines)


@pytest.mark.parametrize("pad_to_sequence_len", [False, True])
def test_padding_is_not_trained(stream_options: Options, pad_to_sequence_len: bool) -> None:
    result = api.train(stream_options(pad_to_sequence_len=pad_to_sequence_len, max_steps=2))
    other = api.train(stream_options(max_steps=2))
    assert result.metrics["trained_tokens"] == other.metrics["trained_tokens"]
    assert result.train_loss == pytest.approx(other.train_loss, rel=1e-5)


def test_a_resume_reads_on_and_ends_with_the_same_bits(
    stream_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axolotl.data.stream.STREAM_ROWS", 50)
    whole = stream_options(output_dir=str(tmp_path / "whole"), max_steps=12)
    api.train(whole)
    part = stream_options(output_dir=str(tmp_path / "part"), max_steps=12, save_steps=8)
    api.train(part)
    starts: list[int] = []
    read = reading.batches

    def seen(*args: Any, **kwargs: Any) -> Any:
        starts.append(kwargs.get("start_row", 0))
        return read(*args, **kwargs)

    monkeypatch.setattr("axolotl.data.stream.batches", seen)
    checkpoint = tmp_path / "part" / "checkpoint-8"
    mark = json.loads((checkpoint / "stream.json").read_text())
    assert mark["position"][0]["row"] > 0
    api.train(part | {"resume_from_checkpoint": str(checkpoint)})
    assert starts[1] == mark["position"][0]["row"], "what is done is not read again"
    assert logged(tmp_path / "part")[-4:] == logged(tmp_path / "whole")[-4:]
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "part")
    assert all((one[name] == other[name]).all() for name in one)


def test_a_resume_with_other_files_is_refused(stream_options: Options, tmp_path: Path) -> None:
    api.train(stream_options(save_steps=3))
    other = [{"path": texts(tmp_path / "b.jsonl", 900, 1), "type": "completion"}]
    again = stream_options(
        datasets=other, resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-3")
    )
    with pytest.raises(ModelError, match=r"datasets\.0\.path: then .*a\.jsonl\", now .*b\.jsonl"):
        api.train(again)
    buffer = {"streaming_multipack_buffer_size": 17}
    again = stream_options(resume_from_checkpoint=again["resume_from_checkpoint"], **buffer)
    with pytest.raises(ModelError, match=r"streaming_multipack_buffer_size: then \d+, now 17"):
        api.train(again)


def test_pretraining_dataset_takes_columns_of_several_files(
    stream_options: Options, tmp_path: Path
) -> None:
    file = tmp_path / "c.jsonl"
    rows = [{"story": f"red green blue {i}"} for i in range(60)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    given = stream_options(
        streaming=False,
        sample_packing=True,
        pretraining_dataset=[
            {"path": texts(tmp_path / "a.jsonl", 50), "skip": 10},
            {"path": str(file), "text_column": "story", "split": "train"},
        ],
    )
    del given["datasets"]
    assert api.train(given).steps == 6
    short = {
        **given,
        "pretraining_dataset": str(tmp_path / "a.jsonl"),
        "output_dir": str(tmp_path / "o"),
    }
    assert api.train(short).steps == 6


def test_samples_share_rows_and_are_shuffled_within_a_buffer(
    stream_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axolotl.data.stream.STREAM_ROWS", 50)
    losses = []
    for size in (50, 300):
        api.train(stream_options(streaming_multipack_buffer_size=size))
        losses.append(logged(tmp_path / "out"))
    assert losses[0] != losses[1]


def test_curriculum_sampling_keeps_the_order_of_a_stream(
    stream_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axolotl.data.stream.STREAM_ROWS", 50)
    plain = {"sample_packing": False, "micro_batch_size": 1}

    def losses(size: int, **order: bool) -> Any:
        api.train(stream_options(streaming_multipack_buffer_size=size, **plain, **order))
        return logged(tmp_path / "out")

    in_order = losses(50, curriculum_sampling=True)
    assert losses(300, curriculum_sampling=True) == in_order, (
        "a buffer is only a place to read into"
    )
    assert losses(50) != in_order


def test_a_stream_is_evaluated_on_test_datasets(stream_options: Options, tmp_path: Path) -> None:
    tests = [{"path": texts(tmp_path / "t.jsonl", 20, 3), "type": "completion"}]
    options = stream_options(
        test_datasets=tests, dataset_prepared_path=str(tmp_path / "store"), max_steps=2
    )
    result = api.train(options)
    assert result.eval_loss is not None
    assert api.evaluate(options).loss == pytest.approx(result.eval_loss, rel=1e-4)
    assert len(list(tmp_path.rglob("store.json"))) == 1, "only the rows to evaluate on are prepared"


def test_there_is_nothing_to_prepare(stream_options: Options) -> None:
    with pytest.raises(ConfigError, match="streaming has the data read while training goes on"):
        api.prepare(stream_options())


def test_without_max_steps_it_is_refused(stream_options: Options) -> None:
    with pytest.raises(ConfigErrors, match="streaming needs max_steps"):
        api.train(stream_options(max_steps=None))
