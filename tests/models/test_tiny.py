"""Tiny models are of the same architecture, light, and felt in every part of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from axolotl.architectures import facts_of
from axolotl.attention import candidates
from axolotl.errors import ModelError
from axolotl.models.backend import attention_need, settle_attention
from axolotl.models.isolation import row_arguments, why_not_isolated
from axolotl.models.tiny import tiny_config, tiny_model


def test_sizes_shrink_and_the_architecture_stays() -> None:
    real = transformers.Gemma2Config(
        hidden_size=3584, num_attention_heads=16, num_key_value_heads=8, num_hidden_layers=42
    )
    small: Any = tiny_config(real, vocabulary=300)
    assert (small.hidden_size, small.num_hidden_layers, small.vocab_size) == (64, 2, 300)
    assert (small.num_attention_heads, small.num_key_value_heads, small.head_dim) == (4, 2, 16)
    assert small.layer_types == ["sliding_attention", "full_attention"]
    assert small.sliding_window == 8
    for kept in ("attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar"):
        assert getattr(small, kept) == getattr(real, kept)
    assert small.max_position_embeddings == real.max_position_embeddings
    assert real.hidden_size == 3584


def test_layers_of_each_kind_are_kept() -> None:
    small: Any = tiny_config("gemma3_text")
    assert small.layer_types == ["sliding_attention", "full_attention"]
    qwen: Any = tiny_config("qwen3")
    assert qwen.num_hidden_layers == 2


def test_special_tokens_are_inside_the_vocabulary() -> None:
    real = transformers.LlamaConfig(
        vocab_size=128256, bos_token_id=128000, eos_token_id=[128001, 128009], pad_token_id=None
    )
    small = tiny_config(real)
    assert (small.pad_token_id, small.bos_token_id, small.eos_token_id) == (0, 1, [2, 2])


def test_lists_of_rope_factors_fit_the_heads() -> None:
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0 + i / 48 for i in range(48)],
        "long_factor": [2.0 + i for i in range(48)],
        "original_max_position_embeddings": 4096,
    }
    real = transformers.Phi3Config(max_position_embeddings=131072, rope_parameters=rope)
    small: Any = tiny_config(real)
    assert len(small.rope_parameters["long_factor"]) == 8
    assert small.rope_parameters["long_factor"][0] == 2.0
    ids = torch.arange(10, 30)[None]
    assert tiny_model(real)(input_ids=ids).logits.shape == (1, 20, 512)


def test_falcon_is_both_kinds() -> None:
    rope, alibi = tiny_model("falcon"), tiny_model(transformers.FalconConfig(alibi=True))
    assert (rope.config.alibi, alibi.config.alibi) == (False, True)
    assert rope.config.multi_query
    grouped: Any = tiny_config("falcon", changes={"new_decoder_architecture": True})
    assert grouped.new_decoder_architecture


def test_the_same_seed_is_the_same_model_and_the_global_state_stays() -> None:
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    first, second, third = (tiny_model("llama", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), want)
    assert torch.equal(first.lm_head.weight, second.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, third.lm_head.weight)
    assert first.dtype == torch.float32
    assert not first.training


def test_what_is_no_language_model_is_said() -> None:
    with pytest.raises(ModelError, match="knows no architecture 'lama'"):
        tiny_config("lama")
    with pytest.raises(ModelError, match="'vit' is no causal language model"):
        tiny_model("vit")


@pytest.mark.parametrize("model_type", ["helium", "arcee", "ctrl", "moshi"])
def test_a_model_without_a_file_goes_by_general_rules(model_type: str) -> None:
    assert facts_of(model_type) is None
    model = tiny_model(model_type)
    choice = settle_attention(model, candidates(None, attention_need(model.config)))
    assert choice.isolates


def test_a_model_without_a_file_that_leaks_is_handed_a_mask() -> None:
    model = tiny_model("roberta", changes={"is_decoder": True})
    assert "see each other" in str(why_not_isolated(model))
    choice = settle_attention(model, candidates(None, attention_need(model.config)))
    assert choice.isolates


def test_a_model_without_a_file_that_cannot_be_isolated_is_not_packed() -> None:
    model = tiny_model("jamba")
    choice = settle_attention(model, candidates(None, attention_need(model.config)))
    assert "see each other" in str(choice.leak)
    assert not model._forward_pre_hooks


OWN_CODE = """
import torch
from transformers import PreTrainedConfig, PreTrainedModel, GenerationMixin
from transformers.modeling_outputs import CausalLMOutput


class OwnConfig(PreTrainedConfig):
    model_type = "own"

    def __init__(self, vocab_size=1000, hidden_size=256, num_hidden_layers=6, **more):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        super().__init__(**more)


class OwnForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.wte = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = torch.nn.ModuleList(
            torch.nn.Linear(config.hidden_size, config.hidden_size)
            for _ in range(config.num_hidden_layers)
        )
        self.lm_head = torch.nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.wte

    def get_output_embeddings(self):
        return self.lm_head

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, **more):
        hidden = self.wte(input_ids)
        seen = torch.ones(input_ids.shape[1], input_ids.shape[1]).tril().bool()
        if attention_mask is not None and attention_mask.ndim == 4:
            mask = attention_mask[0, 0]
            seen = mask if mask.dtype == torch.bool else mask == 0
        for layer in self.layers:
            hidden = hidden + layer(seen.float() @ hidden / seen.sum(-1, keepdim=True)).tanh()
        return CausalLMOutput(logits=self.lm_head(hidden))
"""


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that brings its code with it."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "modeling_own.py").write_text(OWN_CODE, encoding="utf-8")
    classes = {
        "AutoConfig": "modeling_own.OwnConfig",
        "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
    }
    settings = {"model_type": "own", "auto_map": classes, "vocab_size": 300, "hidden_size": 128}
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def test_a_model_that_brings_its_code_is_opened_shrunk_and_isolated(own_folder: Path) -> None:
    config = AutoConfig.from_pretrained(own_folder, trust_remote_code=True)
    torch.manual_seed(0)
    whole: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=True)
    whole.save_pretrained(own_folder)
    loaded: Any = AutoModelForCausalLM.from_pretrained(own_folder, trust_remote_code=True)
    need = attention_need(loaded.config)
    assert (need.interface, need.sdpa) == (False, False)
    choice = settle_attention(loaded, candidates(None, need))
    assert (choice.name, choice.isolates) == ("eager", True)
    small = tiny_model(config)
    assert (small.config.hidden_size, len(small.layers)) == (64, 2)
    assert type(small).__name__ == "OwnForCausalLM"


@pytest.mark.parametrize("trap", ["use_cache", "attention_mask"])
def test_what_switches_isolation_off_in_the_library_is_not_given_to_a_model(trap: str) -> None:
    """A cache, which models make by themselves, or a mask of ones: documents see each other."""
    model = tiny_model("llama")
    model.set_attn_implementation("sdpa")
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(10, 500, (1, 12), generator=generator)
    positions = torch.cat([torch.arange(5), torch.arange(7)])[None]
    with torch.no_grad():
        alone = model(input_ids=ids[:, 5:], use_cache=False).logits[0]
        given: dict[str, Any] = {"input_ids": ids, "position_ids": positions}
        wrong = {"use_cache": {}, "attention_mask": {"attention_mask": torch.ones_like(ids)}}
        trapped = model(**given, **wrong[trap]).logits[0, 5:]
        arguments = row_arguments(model, ids, positions)
        right = model(**arguments).logits[0, 5:]
    assert (trapped - alone).abs().max() > 0.01
    assert torch.allclose(right, alone, atol=1e-5)
    assert arguments["use_cache"] is False
    assert "attention_mask" not in arguments
