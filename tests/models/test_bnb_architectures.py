"""Which architectures can be held in few bits: their layers, and what is said of those that stay whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from axolotl.config.adapter import AdapterSection
from axolotl.config.model import ModelSection
from axolotl.errors import ModelError
from axolotl.models import bnb
from axolotl.models import load as load_module
from axolotl.models.adapters import attach_new
from axolotl.models.left_whole import check_share
from axolotl.models.load import open_model
from axolotl.models.quantized import Quantized
from axolotl.models.tokenizer import load_tokenizer
from tests.conftest import build_tokenizer

_SAME = {"vocab_size": 512, "bos_token_id": 1, "eos_token_id": 2}
_WIDE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_USUAL = {**_SAME, **_WIDE, "intermediate_size": 128, "max_position_embeddings": 512}
_GROUPED = {**_USUAL, "num_key_value_heads": 2, "pad_token_id": 0}
MODELS: dict[str, dict[str, Any]] = {
    "Falcon": {**_SAME, **_WIDE},
    "GPT2": {**_SAME, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "GPTNeoX": _USUAL,
    "Mistral": _GROUPED,
    "Mixtral": {**_GROUPED, "num_local_experts": 4},
    "Phi": {**_GROUPED, "num_key_value_heads": 4},
    "Qwen2": _GROUPED,
}
LAYERS = {"Falcon": 4, "GPT2": 4, "GPTNeoX": 4, "Mistral": 7, "Phi": 6, "Qwen2": 7}
"""How many linear layers a block has; Mixtral's experts are none, and it is refused."""
FORMS = {
    "int8": Quantized("int8", asked_by="load_in_8bit"),
    "nf4": Quantized("nf4", double=True),
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Gives the folder of a tiny random model of an architecture."""
    root = tmp_path_factory.mktemp("architectures")

    def folder(name: str) -> Path:
        place = root / name
        if not place.exists():
            torch.manual_seed(0)
            config = getattr(transformers, f"{name}Config")(**MODELS[name])
            end = "LMHeadModel" if name == "GPT2" else "ForCausalLM"
            getattr(transformers, name + end)(config).save_pretrained(place)
            build_tokenizer().save_pretrained(place)
        return place

    return folder


def load(folder: Path, form: Quantized | None) -> Any:
    section = ModelSection(base_model=str(folder))
    return open_model(
        section,
        dtype=torch.float32,
        attn_implementation="sdpa",
        tokenizer=load_tokenizer(section),
        quantized=form,
    )


def losses_of_two_steps(model: Any) -> list[float]:
    torch.manual_seed(0)
    adapter = AdapterSection(adapter="lora", lora_r=4, lora_target_linear=True)
    tuned = attach_new(model, adapter).train()
    optimizer = torch.optim.AdamW((p for p in tuned.parameters() if p.requires_grad), lr=0.02)
    losses: list[float] = []
    rows = torch.arange(3, 99)[None]
    for _ in range(3):
        loss = tuned(input_ids=rows, labels=rows, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


@every_form
@pytest.mark.parametrize("name", LAYERS)
def test_an_architecture_is_held_in_few_bits_and_trains(
    made: Any, name: str, form: Quantized
) -> None:
    model = load(made(name), form)
    assert len(bnb.quantised_layers(model)) == 2 * LAYERS[name]
    losses = losses_of_two_steps(model)
    assert all(torch.isfinite(torch.tensor(losses)))
    assert losses[-1] < losses[0]


@every_form
def test_layers_of_a_class_of_their_own_compute_as_before(made: Any, form: Quantized) -> None:
    folder = made("Falcon")
    rows = torch.arange(3, 99)[None]
    with torch.no_grad():
        whole = load(folder, None).eval()(input_ids=rows, use_cache=False).logits
        model = load(folder, form).eval()
        packed = model(input_ids=rows, use_cache=False).logits
    assert 0 < (packed - whole).norm() / whole.norm() < 0.5
    left = [m for m in model.modules() if type(m) is nn.Linear]
    assert left == [model.get_output_embeddings()], "the head stays whole"


@every_form
def test_a_model_that_would_stay_whole_for_the_most_part_is_refused_before_it_is_read(
    made: Any, form: Quantized, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made("Mixtral")
    monkeypatch.setattr(
        load_module, "_from_pretrained", lambda *_, **__: pytest.fail("it was read")
    )
    with pytest.raises(ModelError, match=r"89% of .*\(\d{3},\d{3} of \d{3},\d{3}\)") as caught:
        load(folder, form)
    assert "'model.layers.0.mlp.experts.gate_up_proj'" in str(caught.value)
    assert caught.value.where == form.asked_by
    assert f"remove {form.asked_by}" in str(caught.value.hint)


def test_a_model_of_which_less_stays_whole_is_warned_of_and_the_rest_is_not(
    made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    config = transformers.MixtralConfig(**{**MODELS["Mixtral"], "num_local_experts": 1})
    config.intermediate_size = 48
    section = ModelSection(base_model=str(made("Mixtral")))
    before = torch.random.get_rng_state()
    check_share(load_module.empty_model(section, config), FORMS["nf4"])
    assert torch.equal(torch.random.get_rng_state(), before), "a skeleton draws no numbers"
    assert "warning: load_in_4bit: 43% of the weights" in " ".join(capsys.readouterr().err.split())
    for name in LAYERS:
        load(made(name), FORMS["nf4"])
    assert "stay whole" not in capsys.readouterr().err


def test_only_layers_that_compute_as_plain_ones_do_count_as_such() -> None:
    class Same(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return input @ self.weight.T + self.bias

    class Router(nn.Linear):
        def forward(self, input: torch.Tensor) -> Any:
            return super().forward(input).topk(1)

    class Scaled(nn.Linear):
        scale: torch.Tensor

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) * self.scale

    class Rounded(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input).round()

    kinds = (nn.Linear, Same, Router, Scaled, Rounded)
    assert [bnb.is_linear(kind(3, 2)) for kind in kinds] == [True, True, False, False, False]
