"""Models with experts, whose weights are no layers of their own: adapters on them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import MixtralConfig, MixtralForCausalLM

from axolotl.config.adapter import AdapterSection
from axolotl.errors import ModelError
from axolotl.models.adapters import attach_new
from axolotl.models.adapters.targets import beside_experts
from axolotl.models.tiny import tiny_model
from axolotl.training.relora.layers import adapted_layers


def mixtral() -> Any:
    torch.manual_seed(0)
    ends: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = MixtralConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=4,
        **ends,
    )
    return MixtralForCausalLM(config).eval()


def adapted(**options: Any) -> Any:
    return attach_new(mixtral(), AdapterSection(adapter="lora", lora_r=2, **options))


def test_dropout_on_experts_is_refused_with_two_ways_out() -> None:
    with pytest.raises(ModelError) as caught:
        adapted(lora_target_linear=True, lora_dropout=0.1)
    assert caught.value.where == "lora_dropout"
    hint = str(caught.value.hint)
    assert "lora_dropout: 0" in hint
    assert "lora_target_modules: [k_proj, o_proj, q_proj, v_proj]" in hint
    assert any("experts" in name for name, _ in weights(adapted(lora_target_linear=True)))
    named = ["k_proj", "o_proj", "q_proj", "v_proj"]
    dropped = adapted(lora_target_modules=named, lora_dropout=0.1)
    assert {name.split(".")[5] for name, _ in weights(dropped)} == {"self_attn"}


def test_half_of_the_weights_of_experts_are_no_place_for_an_adapter() -> None:
    with pytest.raises(ModelError) as caught:
        adapted(lora_target_modules=["q_proj", "w1"])
    assert "its linear layers are k_proj, o_proj, q_proj, v_proj" in str(caught.value.hint)


def test_relora_names_the_weights_of_experts_as_they_are_called() -> None:
    model = adapted(lora_target_linear=True)
    with pytest.raises(ModelError, match=r"experts\.(gate_up|down)_proj', a Mixtral") as caught:
        adapted_layers(model)
    assert caught.value.where == "relora_steps"


def weights(model: Any) -> list[tuple[str, Any]]:
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


@pytest.mark.parametrize("names", [None, ["down_proj", "gate_proj", "q_a_proj", "up_proj"]])
def test_layers_called_like_experts_are_said_to_learn_nothing(
    names: list[str] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """DeepSeek 3 has one dense layer, and a shared expert beside the others."""
    plain = tiny_model("deepseek_v3")
    head = plain.get_output_embeddings()
    linear = {n for n, m in plain.named_modules() if isinstance(m, nn.Linear) and m is not head}
    settings: Any = {"lora_target_modules": names} if names else {"lora_target_linear": True}
    model = attach_new(plain, AdapterSection(adapter="lora", lora_r=2, **settings))
    learning = {
        path.removeprefix("base_model.model.").partition(".lora_A")[0] for path, _ in weights(model)
    }
    wanted = {path for path in linear if not names or path.rpartition(".")[2] in names}
    assert set(beside_experts(model)) == wanted - learning != set()
    assert "6 linear layers of these names get no adapter, such as 'model.layers.0.mlp" in (
        " ".join(capsys.readouterr().err.split())
    )


def test_where_all_linear_layers_learn_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for model_type in ("qwen3_moe", "qwen2_moe", "llama"):
        settings = AdapterSection(adapter="lora", lora_r=2, lora_target_linear=True)
        assert beside_experts(attach_new(tiny_model(model_type), settings)) == []
    assert "no adapter" not in capsys.readouterr().err
