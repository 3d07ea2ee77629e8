"""Training with landmarks or with xPos positions, and answering as it was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from axolotl import api
from axolotl.attention.landmark import TOKEN
from axolotl.cli.preview import main as preview
from axolotl.errors import AxolotlError, ConfigError, ModelError
from axolotl.inference.opening import open_generator
from axolotl.models.native.landmark import landmarks_of
from axolotl.models.native.xpos import scale_base_of
from axolotl.models.rope_saved import POSITIONS_FILE
from tests.artifacts.made import random_adapter
from tests.conftest import build_llama, build_tokenizer

Options = Callable[..., dict[str, Any]]
LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True}
WITH_TOKEN = {**LORA, "lora_modules_to_save": ["embed_tokens"]}
SHORT = {"max_steps": 2, "save_strategy": "no", "val_set_size": 4}


def config_of(generator: Any) -> Any:
    """What the model that answers remembers."""
    return generator._model.config


def answering(options: dict[str, Any], **more: Any) -> Any:
    return open_generator(api.resolved(options), max_new_tokens=60, temperature=0, **more)


def rows_of(store: Any) -> list[Any]:
    return [store[at] for at in range(len(store))]


def long_rows(file: Path, count: int = 12) -> list[dict[str, Any]]:
    rows = [{"text": " ".join(f"{i} red" for i in range(n, n + 40))} for n in range(count)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return [{"path": str(file), "type": "completion"}]


@pytest.mark.slow
def test_landmark_attention_puts_landmarks_into_the_data_and_the_model(
    tiny_options: Options, tmp_path: Path
) -> None:
    options = tiny_options(
        **SHORT,
        landmark_attention=True,
        datasets=long_rows(tmp_path / "long.jsonl"),
        gradient_checkpointing=True,
        eval_table_size=1,
        eval_table_max_new_tokens=4,
    )
    data = api.prepare(options)
    number = api.load_tokenizer(options).convert_tokens_to_ids(TOKEN)
    plain = api.prepare({**options, "landmark_attention": False})
    lengths = [len(row.input_ids) for row in rows_of(data.train)]
    assert max(lengths) <= options["sequence_len"]
    for row in [*rows_of(data.train), *rows_of(data.eval)]:
        places = [at for at, token in enumerate(row.input_ids.tolist()) if token == number]
        assert places == list(range(50, len(row.input_ids), 51))
        assert all(row.labels[at] == -100 for at in places)
    assert data.train.folder != plain.train.folder
    assert all(number not in row.input_ids for row in rows_of(plain.train))

    result = api.train(options)
    assert api.evaluate(options).loss == pytest.approx(result.eval_loss, rel=1e-5)
    assert "<landmark>" not in (result.output_dir / "predictions.jsonl").read_text()
    generator = answering(options)
    known = landmarks_of(config_of(generator))
    assert known is not None
    assert known.token_id == number
    assert config_of(generator)._attn_implementation == "landmark"
    long_question = "red 1 " * 40
    prompt = generator.prompt_ids(long_question)
    assert [at for at, token in enumerate(prompt) if token == number] == list(
        range(50, len(prompt), 51)
    )
    (answer,) = generator.answers([long_question])
    assert TOKEN not in answer
    assert generator.answer(long_question) == answer
    assert generator.answers([long_question, "red"])[0] == answer


@pytest.mark.slow
def test_an_adapter_remembers_landmarks_and_positions_and_so_does_its_merge(
    tiny_options: Options, tmp_path: Path
) -> None:
    options = tiny_options(
        **SHORT,
        **WITH_TOKEN,
        landmark_attention=True,
        xpos_rope=True,
        datasets=long_rows(tmp_path / "long.jsonl"),
    )
    result = api.train(options)
    report = api.merge(options)
    assert report.difference.relative < 1e-4
    without = {k: v for k, v in options.items() if k not in ("landmark_attention", "xpos_rope")}
    merged = answering(without, merged=True)
    alone = answering(without)
    assert merged.answers(["red 1 " * 30]) == alone.answers(["red 1 " * 30])
    for generator in (merged, alone):
        assert landmarks_of(config_of(generator)) is not None
        assert scale_base_of(config_of(generator)) == 2048
    assert api.evaluate(options).loss == pytest.approx(result.eval_loss, rel=1e-5)


def test_xpos_rope_changes_what_is_computed_and_is_remembered(tiny_options: Options) -> None:
    options = tiny_options(**SHORT, xpos_rope=True)
    with_xpos, plain = (
        api.evaluate({**options, "xpos_rope": on}, base=True) for on in (True, False)
    )
    assert with_xpos.loss != pytest.approx(plain.loss, rel=1e-9)
    result = api.train(options)
    without = {k: v for k, v in options.items() if k != "xpos_rope"}
    assert api.evaluate(without).loss == pytest.approx(result.eval_loss, rel=1e-5)
    assert scale_base_of(config_of(answering(without))) == 2048
    card = (result.output_dir / "README.md").read_text()
    assert "xPos" in card
    assert "any other program" in card


def test_an_adapter_that_does_not_train_the_landmark_is_refused(
    tiny_options: Options, tmp_path: Path
) -> None:
    options = tiny_options(**SHORT, **LORA, landmark_attention=True)
    with pytest.raises(ModelError, match="not train the embeddings of the new tokens <landmark>"):
        api.load_model(options)


@pytest.mark.parametrize("option", ["landmark_attention", "xpos_rope"])
def test_another_kind_of_model_is_refused_before_its_data_is_read(
    tiny_options: Options, tmp_path: Path, option: str
) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(n_embd=16, n_head=2, n_layer=1, vocab_size=512)).save_pretrained(
        tmp_path / "gpt2"
    )
    build_tokenizer().save_pretrained(tmp_path / "gpt2")
    options = tiny_options(**SHORT, base_model=str(tmp_path / "gpt2"), **{option: True})
    with pytest.raises(
        AxolotlError, match="for Llama models, and the base model is gpt2"
    ) as caught:
        api.train(options)
    assert option in str(caught.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("key", ["base_model", "lora_model_dir"])
def test_training_on_without_landmarks_is_refused_before_its_data_is_read(
    tiny_options: Options, tmp_path: Path, key: str
) -> None:
    mark = {"token_id": 9, "block_tokens": 50, "window_blocks": 5, "top_blocks": 5}
    options = tiny_options(**SHORT)
    if key == "base_model":
        model = build_llama()
        model.config.landmark_attention = mark
        model.save_pretrained(tmp_path / "m")
        build_tokenizer().save_pretrained(tmp_path / "m")
    else:
        options |= LORA
        random_adapter(build_llama(), tmp_path / "m", target_modules=["q_proj"])
        (tmp_path / "m" / POSITIONS_FILE).write_text(json.dumps({"landmark_attention": mark}))
    with pytest.raises(ConfigError, match="was trained with landmarks") as caught:
        api.train({**options, key: str(tmp_path / "m")})
    assert caught.value.where == "landmark_attention"
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_landmarks_reach_data_that_is_read_while_it_is_trained(
    tiny_options: Options, tmp_path: Path
) -> None:
    given = {"landmark_attention": True, "streaming": True, "max_steps": 2, "val_set_size": 0}
    options = tiny_options(datasets=long_rows(tmp_path / "long.jsonl"), **given)
    result = api.train(options)
    assert result.steps == 2
    shown = json.loads((result.output_dir / "config.json").read_text())["landmark_attention"]
    assert shown["block_tokens"] == 50


def test_the_preview_shows_landmarks(tiny_options: Options, tmp_path: Path) -> None:
    entries = long_rows(tmp_path / "long.jsonl")
    options = tiny_options(datasets=entries, landmark_attention=True, sequence_len=120)
    file = tmp_path / "c.yml"
    file.write_text(json.dumps(options), encoding="utf-8")
    found = CliRunner().invoke(preview, [str(file), "--json"])
    assert found.exit_code == 0, found.output
    shown = json.loads(found.stdout)["rows"]
    stored = api.prepare({**options, "val_set_size": 0}).train
    assert len(shown) > 1
    for row, kept in zip(shown, rows_of(stored), strict=False):
        assert row["input_ids"] == kept.input_ids.tolist()
        assert row["labels"] == kept.labels.tolist()
    text = CliRunner().invoke(preview, [str(file)]).stdout
    assert TOKEN in text
