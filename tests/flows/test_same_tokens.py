"""An adapter is gone on with by the tokens that it was trained with, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from axolotl import api
from axolotl.errors import ModelError
from axolotl.models.adapters.same_tokens import check_same_tokens

Options = Callable[..., dict[str, Any]]
LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True, "max_steps": 1}
NEW = {"tokens": ["<new>"], "lora_modules_to_save": ["embed_tokens"]}


def test_learnt_tokens_must_be_there(
    tiny_options: Options, tiny_model: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    api.train(tiny_options(**LORA | NEW, output_dir=str(first)))
    again = tiny_options(**LORA, lora_model_dir=str(first), output_dir=str(second))
    with pytest.raises(ModelError, match="lacks: <new>") as caught:
        api.train(again)
    assert caught.value.where == "lora_model_dir"
    assert f"`tokenizer_config: {first}`" in str(caught.value.hint)
    for way in ({"tokens": ["<new>"]}, {"tokenizer_config": str(first)}):
        assert api.train(again | way).steps == 1
        shutil.rmtree(second)


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path) -> Callable[..., Path]:
    def make(**settings: Any) -> Path:
        folder = tmp_path / "adapter"
        tokenizer = AutoTokenizer.from_pretrained(tiny_model)
        tokenizer.add_tokens(["<one>", "<two>"])
        tokenizer.save_pretrained(folder)
        (folder / "adapter_config.json").write_text(json.dumps(settings))
        return folder

    return make


@pytest.mark.parametrize("layout", ["tokenizer.json", "tokenizer_config.json"])
def test_every_layout_is_read(adapter: Callable[..., Path], tiny_model: Path, layout: str) -> None:
    folder, here = adapter(trainable_token_indices=[5]), AutoTokenizer.from_pretrained(tiny_model)
    if layout == "tokenizer_config.json":
        listed = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
        settings = {"added_tokens_decoder": {str(token["id"]): token for token in listed}}
        (folder / layout).write_text(json.dumps(settings))
        (folder / "tokenizer.json").unlink()
    here.add_tokens(["<two>"])  # with the number that <one> had
    with pytest.raises(ModelError, match=r"lacks: <one>, <two>\n"):
        check_same_tokens(folder, here)
    check_same_tokens(
        folder,
        AutoTokenizer.from_pretrained(tiny_model, additional_special_tokens=["<one>", "<two>"]),
    )
    (folder / layout).write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        check_same_tokens(folder, here)


def test_without_learnt_embeddings_it_is_only_said(
    adapter: Callable[..., Path], tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = AutoTokenizer.from_pretrained(tiny_model)
    check_same_tokens(adapter(), here)
    assert "warning: the adapter was trained with tokens" in capsys.readouterr().err
    shutil.rmtree(adapter())
    check_same_tokens(adapter().parent, here)
    assert not capsys.readouterr().err
