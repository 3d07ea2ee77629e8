"""What does not fit is refused before data is prepared and weights are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2Config, GPT2LMHeadModel, MixtralConfig, MixtralForCausalLM

from axolotl import api
from axolotl.errors import AxolotlError
from axolotl.training import run
from tests.conftest import build_tokenizer

_LORA = {"adapter": "lora", "lora_r": 4}
_SIZES: dict[str, Any] = {"vocab_size": 512, "bos_token_id": 1, "eos_token_id": 2}


def _gpt2(folder: Path) -> None:
    GPT2LMHeadModel(GPT2Config(**_SIZES, n_embd=64, n_layer=1, n_head=2)).save_pretrained(folder)


def _mixtral(folder: Path) -> None:
    wide: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    config = MixtralConfig(**_SIZES, **wide, num_attention_heads=2, num_key_value_heads=1)
    MixtralForCausalLM(config).save_pretrained(folder)


def _empty(folder: Path) -> None:
    folder.mkdir()


CASES: dict[str, tuple[dict[str, Any], Callable[[Path], None] | None, str, str]] = {
    "gptq of an ordinary model": ({**_LORA, "gptq": True}, None, "gptq", "no GPTQ checkpoint"),
    "prompts for another kind": (
        {"adapter": "llama-adapter", "base_model": "{other}"}, _gpt2, "adapter", "no such prompts",
    ),
    "no adapter to go on with": (
        {**_LORA, "lora_model_dir": "{other}"}, _empty, "lora_model_dir", "no adapter_config.json",
    ),
    "a module that is not there": (
        {**_LORA, "lora_modules_to_save": ["embed_token"]}, None,
        "lora_modules_to_save", "no module 'embed_token'",
    ),
    "a layer that is not there": (
        {**_LORA, "peft_layers_to_transform": [7]}, None,
        "peft_layers_to_transform", "none with the number 7",
    ),
    "experts in 4 bits": (
        {**_LORA, "load_in_4bit": True, "base_model": "{other}"}, _mixtral,
        "load_in_4bit", "stay whole",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "make", "where", "said"), CASES.values(), ids=list(CASES))
def test_it_is_refused_before_data_and_weights(
    tiny_options: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    make: Callable[[Path], None] | None,
    where: str,
    said: str,
) -> None:
    other = tmp_path / "other"
    if make is not None:
        make(other)
        build_tokenizer().save_pretrained(other)
    monkeypatch.setattr(run, "prepare", lambda *_, **__: pytest.fail("data was prepared"))
    given = {k: str(other) if v == "{other}" else v for k, v in changes.items()}
    with pytest.raises(AxolotlError, match=said) as caught:
        api.train(tiny_options(**given))
    assert caught.value.where == where
