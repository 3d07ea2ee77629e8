"""The model as a training begins with it, from the options of a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, MambaConfig, MambaForCausalLM

from axolotl import api
from axolotl.errors import ModelError
from tests.conftest import build_llama, build_tokenizer

Options = Callable[..., dict[str, Any]]


@pytest.fixture
def options(tmp_path: Path) -> Options:
    def make(base: Any, **changes: Any) -> dict[str, Any]:
        folder = tmp_path / "base"
        base.save_pretrained(folder)
        build_tokenizer().save_pretrained(folder)
        rows = tmp_path / "rows.jsonl"
        lines = [{"instruction": f"Colour {i}?", "input": "", "output": "red"} for i in range(12)]
        rows.write_text("\n".join(json.dumps(line) for line in lines))
        return {
            "base_model": str(folder),
            "datasets": [{"path": str(rows), "type": "alpaca"}],
            "dataset_prepared_path": str(tmp_path / "store"),
            "val_set_size": 4,
            "sequence_len": 128,
            "sample_packing": True,
            "micro_batch_size": 2,
            "max_steps": 1,
            "output_dir": str(tmp_path / "out"),
        } | changes

    return make


def bloom() -> Any:
    torch.manual_seed(0)
    config = BloomConfig(
        vocab_size=512, hidden_size=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2
    )
    model = BloomForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # what a document sees now matters
    return model


def mamba() -> Any:
    torch.manual_seed(0)
    config = MambaConfig(
        vocab_size=512,
        hidden_size=32,
        num_hidden_layers=2,
        state_size=8,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return MambaForCausalLM(config)


@pytest.mark.parametrize("named", [{}, {"attn_implementation": "eager"}], ids=["free", "named"])
def test_a_model_that_leaks_gets_one_sample_a_row_and_says_so_once(
    options: Options, named: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = options(mamba(), **named)
    api.train(given)
    said = capsys.readouterr().err
    assert said.count("see each other") == 1
    assert "so each row holds one sample" in said
    plan = json.loads((tmp_path / "out" / "run.json").read_text())["plan"]
    assert (plan["attention"], plan["documents_isolated"]) == ("eager", False)
    assert plan["rows_per_epoch"] == 8, "one row for each of the 8 training samples"


def test_the_held_out_loss_does_not_depend_on_packing(options: Options) -> None:
    for base in (bloom(), mamba(), build_llama()):
        losses = [
            api.evaluate(options(base, eval_sample_packing=packed), base=True).loss
            for packed in (True, False)
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_full_training_keeps_the_use_of_the_cache(
    options: Options, use_cache: bool, tmp_path: Path
) -> None:
    base = build_llama()
    base.config.use_cache = use_cache
    api.train(options(base, save_strategy="steps", save_steps=1))
    files = [tmp_path / "out" / "config.json", *tmp_path.glob("out/checkpoint-*/config.json")]
    assert len(files) == 2
    assert [json.loads(file.read_text())["use_cache"] for file in files] == [use_cache] * 2


@pytest.mark.parametrize(
    ("tied", "saved", "enough"),
    [
        (True, ["embed_tokens"], True),
        (True, ["embed_tokens", "lm_head"], True),
        (True, ["q_proj"], False),
        (True, [], False),
        (False, ["embed_tokens", "lm_head"], True),
        (False, ["embed_tokens"], False),
        (False, ["lm_head"], False),
    ],
)
def test_new_tokens_need_trained_embeddings_and_head(
    options: Options, tied: bool, saved: list[str], enough: bool
) -> None:
    given = options(
        build_llama(vocab=500, tie_word_embeddings=tied),
        adapter="lora",
        lora_target_modules=["v_proj"],
        tokens=["<tool>"],
        **({"lora_modules_to_save": saved} if saved else {}),
    )
    if enough:
        model = api.load_model(given)
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        assert any("embed_tokens" in name for name in trained)
        return
    with pytest.raises(ModelError, match="embeddings of the new tokens <tool>") as caught:
        api.load_model(given)
    assert caught.value.where == "tokens"
    needed = "[embed_tokens]" if tied else "[embed_tokens, lm_head]"
    assert needed in str(caught.value.hint)


def test_a_token_that_the_tokenizer_has_needs_no_training(options: Options) -> None:
    given = options(build_llama(), adapter="lora", tokens=["<s>"])
    assert api.load_model(given) is not None


def test_an_adapter_folder_that_is_not_there_is_not_the_base_models_fault(options: Options) -> None:
    given = options(build_llama(), adapter="lora", lora_model_dir="nothere")
    with pytest.raises(ModelError, match="no adapter folder 'nothere'") as caught:
        api.train(given)
    assert caught.value.where == "lora_model_dir"
