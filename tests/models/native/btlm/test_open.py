"""Folders in the published layout, with code beside them or not: which class is taken, and what it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from axolotl.config.adapter import AdapterSection
from axolotl.config.model import ModelSection
from axolotl.errors import ModelError
from axolotl.models import bnb
from axolotl.models.adapters import attach_new, linear_names
from axolotl.models.backend import attention_need
from axolotl.models.load import model_config, open_model
from axolotl.models.native import btlm
from axolotl.models.native.btlm.model import BTLMLMHeadModel
from axolotl.models.quantized import Quantized
from axolotl.models.tiny import tiny_config, tiny_model
from axolotl.models.tokenizer import load_tokenizer
from tests.models.native.btlm.folders import CODE_OF_MODEL, tiny_btlm, write_folder


@pytest.fixture(autouse=True)
def _as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Code from models is copied into a scratch folder, and nothing is known of them afterwards."""
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setattr("axolotl.core.console._said", set())
    yield
    btlm.step_back()


def load(folder: Path, **changes: Any) -> Any:
    section = ModelSection(
        base_model=str(folder), trust_remote_code=changes.pop("trust_remote_code", False)
    )
    settings: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "sdpa"}
    return open_model(section, tokenizer=load_tokenizer(section), **(settings | changes))


def test_a_folder_loads_with_the_weights_that_it_holds(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "base", seed=3)
    model = load(folder)
    assert type(model) is BTLMLMHeadModel
    want = tiny_btlm(seed=3).state_dict()
    got = model.state_dict()
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], weight) for name, weight in want.items())


def test_a_model_is_saved_by_the_published_names(tmp_path: Path) -> None:
    stored = load_file(write_folder(tmp_path / "base") / "model.safetensors")
    assert "transformer.relative_pe.slopes" in stored
    assert "lm_head.weight" not in stored, "it is the embeddings"
    model = load(tmp_path / "base")
    model.save_pretrained(tmp_path / "again")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert stored.keys() == again.keys()
    assert all(torch.equal(again[name], weight) for name, weight in stored.items())
    settings = [json.loads((tmp_path / n / "config.json").read_text()) for n in ("base", "again")]
    assert settings[0] == settings[1]
    assert settings[0]["architectures"] == ["BTLMLMHeadModel"]


def test_masks_and_a_head_that_old_code_stored_are_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_folder(tmp_path / "base") / "model.safetensors"
    stored = load_file(file)
    stored["transformer.h.0.attn.bias"] = torch.ones(1, 1, 8, 8)
    stored["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    stored["lm_head.weight"] = stored["transformer.wte.weight"].clone()
    save_file(stored, file, {"format": "pt"})
    model = load(tmp_path / "base")
    assert model.lm_head.weight is model.transformer.wte.weight
    assert torch.equal(
        model.transformer.h[0].attn.c_attn.bias, stored["transformer.h.0.attn.c_attn.bias"]
    )
    assert "UNEXPECTED" not in caplog.text + capsys.readouterr().err


def test_slopes_are_those_that_are_stored_and_else_those_of_the_paper(tmp_path: Path) -> None:
    file = write_folder(tmp_path / "base") / "model.safetensors"
    stored = load_file(file)
    name = "transformer.relative_pe.slopes"
    own = stored[name] / 3
    save_file(stored | {name: own}, file, {"format": "pt"})
    for dtype in (torch.float32, torch.bfloat16):
        slopes = load(tmp_path / "base", dtype=dtype).transformer.relative_pe.slopes
        assert slopes.dtype == torch.float32, "rounded slopes are felt far away"
        assert torch.equal(slopes, own)
    del stored[name]
    save_file(stored, file, {"format": "pt"})
    slopes = load(tmp_path / "base").transformer.relative_pe.slopes
    assert slopes.flatten().tolist() == [1 / 4, 1 / 16, 1 / 64, 1 / 256]


def test_code_that_comes_with_a_model_is_not_run_unless_the_file_trusts_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "base", code="raise SystemExit('the code was run')")
    assert type(load(folder)) is BTLMLMHeadModel
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("btlm: the code that comes with the model is not run") == 1
    assert "trust_remote_code: true takes the model's" in said
    load(folder)
    assert "is not run" not in capsys.readouterr().err, "once"


def test_code_that_the_file_trusts_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "base", code=CODE_OF_MODEL)
    load(folder)
    capsys.readouterr()
    model = load(folder, trust_remote_code=True, attn_implementation="eager")
    assert type(model).__module__.startswith("transformers_modules")
    assert not hasattr(model.transformer, "h"), "the code beside the weights has no layers"
    assert "is not run" not in capsys.readouterr().err
    assert type(load(folder)) is BTLMLMHeadModel, "and the next run is asked anew"


def test_trust_changes_nothing_where_no_code_is(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "base")
    assert type(load(folder, trust_remote_code=True)) is BTLMLMHeadModel


def test_code_of_old_that_does_not_run_is_told_the_way_out(tmp_path: Path) -> None:
    code = "from transformers.pytorch_utils import find_pruneable_heads_and_indices as gone\n"
    folder = write_folder(tmp_path / "base", code=code + CODE_OF_MODEL)
    with pytest.raises(ModelError, match="find_pruneable_heads") as caught:
        load(folder, trust_remote_code=True)
    assert caught.value.hint == "leave trust_remote_code out: axolotl has code of its own for btlm"


def test_a_library_that_knows_btlm_itself_keeps_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(PreTrainedConfig):
        model_type = "btlm"

    Theirs.__module__ = "transformers.models.btlm.configuration_btlm"
    AutoConfig.register("btlm", Theirs)
    known: Any = CONFIG_MAPPING
    try:
        btlm.make_known()
        btlm.step_back()
        assert CONFIG_MAPPING["btlm"] is Theirs
    finally:
        del known._extra_content["btlm"]


def test_the_tokenizer_may_be_the_first_that_is_loaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path / "base")
    btlm.step_back()
    assert len(load_tokenizer(ModelSection(base_model=str(folder)))) > 300
    assert "model of type" not in caplog.text
    assert "btlm" in CONFIG_MAPPING


def test_code_in_a_repository_of_its_own_is_still_named_in_what_is_saved(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "base")
    file = folder / "config.json"
    named = {"AutoConfig": "cerebras/btlm-3b-8k-base--configuration_btlm.BTLMConfig"}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"auto_map": named}))
    model = load(folder)
    model.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text())["auto_map"] == named


def test_it_is_made_known_once() -> None:
    btlm.make_known()
    first = CONFIG_MAPPING["btlm"]
    btlm.make_known()
    assert CONFIG_MAPPING["btlm"] is first
    config = AutoConfig.for_model("btlm")
    with torch.device("meta"):
        assert type(AutoModelForCausalLM.from_config(config)) is BTLMLMHeadModel
    need = attention_need(config)
    assert (need.model_type, need.interface, need.sdpa) == ("btlm", True, True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"alibi_scaling": {"type": "linear"}}, "alibi_scaling is {'type': 'linear'}; write"),
        ({"alibi_scaling": {"type": "linear", "factor": 0.5}}, "a factor above 1"),
        ({"alibi_scaling": {"type": "yarn", "factor": 2.0}}, "alibi_scaling"),
        ({"alibi_scaling": {"type": "linear", "train_seq_len": 2.5}}, "a train_seq_len in tokens"),
        ({"position_embedding_type": "rotary"}, "'rotary', and a BTLM knows alibi and learned"),
        ({"add_cross_attention": True}, "no encoder"),
        ({"n_head": 7}, "n_embd 64 does not divide among 7 heads"),
    ],
)
def test_settings_that_no_btlm_has_are_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    folder = write_folder(tmp_path / "base")
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ModelError) as caught:
        model_config(ModelSection(base_model=str(folder)))
    assert said in str(caught.value)


def test_a_tiny_one_has_all_that_makes_it_a_btlm() -> None:
    config = tiny_config("btlm")
    assert config.position_embedding_type == "alibi"
    assert config.activation_function == "swiglu"
    assert (config.mup_width_scale, config.mup_scale_qk_dot_by_d) == (0.1, True)
    model = tiny_model("btlm")
    assert type(model) is BTLMLMHeadModel
    assert (
        type(dict(model.named_parameters())["transformer.h.0.mlp.c_fc2.weight"])
        is torch.nn.Parameter
    )


# -- adapters and few bits ----------------------------------------------------------------------


def losses_of_two_steps(model: Any) -> list[float]:
    torch.manual_seed(0)
    adapter = AdapterSection(adapter="lora", lora_r=4, lora_target_linear=True)
    tuned = attach_new(model, adapter).train()
    adapted = {n.split(".")[-4] for n, p in tuned.named_parameters() if p.requires_grad}
    assert adapted == {"c_attn", "c_fc", "c_fc2", "c_proj"}
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


@pytest.mark.parametrize(
    "form",
    [None, Quantized("int8", asked_by="load_in_8bit"), Quantized("nf4", double=True)],
    ids=["whole", "int8", "nf4"],
)
def test_lora_finds_all_linear_layers_of_a_base_in_any_form(
    tmp_path: Path, form: Quantized | None
) -> None:
    model = load(write_folder(tmp_path / "base", initializer_range=0.05), quantized=form)
    assert linear_names(model) == ["c_attn", "c_fc", "c_fc2", "c_proj"]
    if form is not None:
        assert len(bnb.quantised_layers(model)) == 2 * 5
        assert model.transformer.relative_pe.slopes.dtype == torch.float32
        ids = torch.arange(3, 99)[None]
        with torch.no_grad():
            whole = load(tmp_path / "base").eval()(ids).logits
            packed = model.eval()(ids).logits
        assert 0 < (packed - whole).norm() / whole.norm() < 0.5
    losses = losses_of_two_steps(model)
    assert losses[-1] < losses[0]
