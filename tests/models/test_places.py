"""Model and tokenizer come from the places, and with the settings, that the file names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from peft.tuners.lora import LoraLayer
from transformers import GPT2Config, GPT2LMHeadModel, LlamaTokenizer

from axolotl.config.adapter import AdapterSection
from axolotl.config.model import ModelSection
from axolotl.config.precision import PrecisionSection
from axolotl.errors import ModelError
from axolotl.models.adapters import attach_new
from axolotl.models.load import model_config, open_model, weight_dtype
from axolotl.models.tokenizer import load_tokenizer
from tests.conftest import build_llama, build_tokenizer


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with a configuration and a tokenizer that differ from the tiny model's."""
    config = build_llama().config
    config.rms_norm_eps = 0.5
    config.save_pretrained(tmp_path)
    build_tokenizer(bos=True).save_pretrained(tmp_path)
    return tmp_path


def test_the_weights_come_from_base_model(tiny_model: Path, tmp_path: Path) -> None:
    build_llama(seed=1).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)

    def weight(base_model: Path) -> Any:
        model = ModelSection(base_model=str(base_model))
        opened = open_model(
            model,
            dtype=torch.float32,
            attn_implementation="sdpa",
            tokenizer=load_tokenizer(model),
        )
        return opened.get_input_embeddings().weight

    assert torch.equal(weight(tmp_path), build_llama(seed=1).get_input_embeddings().weight)
    assert not torch.equal(weight(tmp_path), weight(tiny_model))


def test_the_model_configuration_comes_from_base_model_config(
    tiny_model: Path, elsewhere: Path
) -> None:
    model = ModelSection(base_model=str(tiny_model), base_model_config=str(elsewhere))
    opened = open_model(
        model,
        dtype=torch.float32,
        attn_implementation="sdpa",
        tokenizer=load_tokenizer(model),
    )
    assert opened.config.rms_norm_eps == 0.5
    assert model_config(ModelSection(base_model=str(tiny_model))).rms_norm_eps != 0.5


def test_the_tokenizer_comes_from_tokenizer_config(tiny_model: Path, elsewhere: Path) -> None:
    model = ModelSection(base_model=str(tiny_model))
    assert load_tokenizer(model)("blue").input_ids[0] != 1
    other = model.model_copy(update={"tokenizer_config": str(elsewhere)})
    assert load_tokenizer(other)("blue").input_ids[0] == 1


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The options of the last call of each loader of the library: it asks itself, too."""
    calls: dict[str, dict[str, Any]] = {}

    def listen(name: str) -> None:
        loader = getattr(transformers, name)
        plain = loader.from_pretrained

        def from_pretrained(*args: Any, **options: Any) -> Any:
            calls[name] = options
            return plain(*args, **options)

        monkeypatch.setattr(loader, "from_pretrained", from_pretrained)

    for name in ("AutoConfig", "AutoTokenizer", "LlamaForCausalLM"):
        listen(name)
    return calls


def open_all(model: ModelSection) -> None:
    """Configuration, tokenizer and weights."""
    open_model(
        model,
        dtype=torch.float32,
        attn_implementation="sdpa",
        tokenizer=load_tokenizer(model),
    )


def test_what_is_asked_of_the_library(tiny_model: Path, asked: dict[str, dict[str, Any]]) -> None:
    model = ModelSection(
        base_model=str(tiny_model),
        model_revision="v2",
        model_type="LlamaForCausalLM",
        trust_remote_code=True,
    )
    open_all(model)
    assert len(asked) == 3
    assert {options["revision"] for options in asked.values()} == {"v2"}
    assert {options["trust_remote_code"] for options in asked.values()} == {True}


@pytest.mark.parametrize("hf_use_auth_token", [None, True, False])
def test_the_hub_token_is_sent_as_told(
    tiny_model: Path, asked: dict[str, dict[str, Any]], hf_use_auth_token: bool | None
) -> None:
    model = ModelSection(
        base_model=str(tiny_model),
        model_type="LlamaForCausalLM",
        hf_use_auth_token=hf_use_auth_token,
    )
    open_all(model)
    assert len(asked) == 3
    tokens = [options.get("token", "unset") for options in asked.values()]
    assert tokens == ["unset" if hf_use_auth_token is None else hf_use_auth_token] * 3


@pytest.fixture
def fetched(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is asked of the hub, which has the tiny model under every name."""
    calls: list[Any] = []

    def snapshot_download(name: str, **options: Any) -> str:
        calls.append((name, options))
        return str(tiny_model)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


@pytest.mark.parametrize("patterns", ["pytorch*", ["pytorch*", "*.onnx"]])
def test_base_model_ignore_patterns_are_not_fetched(
    fetched: list[Any], patterns: str | list[str]
) -> None:
    model = ModelSection(
        base_model="owner/model",
        base_model_ignore_patterns=patterns,
        model_revision="v2",
        hf_use_auth_token=True,
    )
    open_all(model)
    assert len(fetched) == 3, "configuration, tokenizer and weights"
    options = {"revision": "v2", "ignore_patterns": patterns, "token": True}
    assert all(call == ("owner/model", options) for call in fetched)


def test_base_model_ignore_patterns_of_a_folder(
    tiny_model: Path, fetched: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    open_all(ModelSection(base_model=str(tiny_model), base_model_ignore_patterns="pytorch*"))
    assert fetched == []
    assert "base_model_ignore_patterns has no effect" in capsys.readouterr().err


def test_a_repository_that_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(*_: Any, **__: Any) -> str:
        raise FileNotFoundError("no such repository")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(ModelError, match="no such repository"):
        load_tokenizer(ModelSection(base_model="a/b", base_model_ignore_patterns="pytorch*"))


@pytest.fixture
def llama_tokenizer(tmp_path: Path) -> Path:
    """A folder with a LlamaTokenizer of a few letters."""
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *"ab▁", "▁a", "ab"]
    vocabulary = {text: number for number, text in enumerate(texts)}
    made = LlamaTokenizer(vocab=vocabulary, merges=[("▁", "a"), ("a", "b")])
    made.save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


@pytest.mark.parametrize(
    ("tokenizer_legacy", "behind"), [(None, ["ab"]), (False, ["ab"]), (True, ["▁a", "b"])]
)
def test_text_behind_a_special_token(
    llama_tokenizer: Path, tmp_path: Path, tokenizer_legacy: bool | None, behind: list[str]
) -> None:
    model = ModelSection(
        base_model="a/b", tokenizer_config=str(llama_tokenizer), tokenizer_legacy=tokenizer_legacy
    )
    tokenizer = load_tokenizer(model)
    assert tokenizer.tokenize("ab</s>ab") == ["▁a", "b", "</s>", *behind]
    tokenizer.save_pretrained(tmp_path / "saved")
    again = load_tokenizer(
        ModelSection(base_model=str(tmp_path), tokenizer_config=str(tmp_path / "saved"))
    )
    assert again.tokenize("ab</s>ab") == tokenizer.tokenize("ab</s>ab")


def test_tokenizer_legacy_of_another_class(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_tokenizer(ModelSection(base_model=str(tiny_model), tokenizer_legacy=True))
    assert "tokenizer_legacy has no effect" in capsys.readouterr().err


def test_the_tokenizer_class_is_the_one_of_tokenizer_type(tiny_model: Path) -> None:
    model = ModelSection(base_model=str(tiny_model), tokenizer_type="GPT2Tokenizer")
    assert type(load_tokenizer(model)).__name__ == "GPT2Tokenizer"


def test_float16_holds_the_weights_in_half_precision() -> None:
    assert weight_dtype(PrecisionSection(float16=True)) == torch.float16
    assert weight_dtype(PrecisionSection(fp16=True)) == torch.float32


def test_layers_that_are_stored_transposed(capsys: pytest.CaptureFixture[str]) -> None:
    def flags(base: Any, target: str, **options: Any) -> list[Any]:
        adapter = AdapterSection(adapter="lora", lora_target_modules=[target], **options)
        layers = [m for m in attach_new(base, adapter).modules() if isinstance(m, LoraLayer)]
        return [layer.fan_in_fan_out for layer in layers]

    def gpt2() -> Any:
        ends: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2}
        return GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=64, **ends))

    assert flags(gpt2(), "c_attn", lora_fan_in_fan_out=True) == [True]
    assert flags(gpt2(), "c_attn") == [True], "the model knows it by itself"
    assert "lora_fan_in_fan_out" not in capsys.readouterr().err
    assert flags(build_llama(), "q_proj", lora_fan_in_fan_out=True) == [False, False]
    assert "lora_fan_in_fan_out: no layer of this model stores" in capsys.readouterr().err
