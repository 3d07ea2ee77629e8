"""A GPTQ checkpoint as a base model: whatever wrote it, the model is that of its dequantised weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn

from axolotl.config.adapter import AdapterSection
from axolotl.config.model import ModelSection
from axolotl.errors import ModelError
from axolotl.models.adapters import attach_new, linear_names
from axolotl.models.gptq.layer import GPTQLinear, quantised_layers
from axolotl.models.head_trial import Head, examine_head
from axolotl.models.load import open_model
from axolotl.models.loss_head import fused_loss, labelled_positions
from axolotl.models.matmul import layer_shapes
from axolotl.models.quantized import Quantized
from axolotl.models.weights import count_weights
from tests.conftest import build_llama, build_tokenizer
from tests.gptq_writer import Recipe, write_gptq

REAL = Path(__file__).parents[2] / "fixtures" / "gptq"
IDS = torch.arange(3, 40)[None]
LAYERS = 7 * 2


def opened(folder: Path, *, dtype: torch.dtype = torch.float32, **said: Any) -> Any:
    model = ModelSection(base_model=str(folder), **said.pop("model", {}))
    return open_model(
        model,
        dtype=dtype,
        attn_implementation="sdpa",
        tokenizer=said.pop("tokenizer", None) or build_tokenizer(),
        quantized=Quantized("gptq", asked_by="gptq", **said),
    ).eval()


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model(input_ids=IDS).logits


def assert_same(got: torch.Tensor, want: torch.Tensor, *, most: float = 2e-6) -> None:
    assert float((got - want).abs().max() / want.abs().max()) < most


@pytest.mark.parametrize("name", sorted(folder.name for folder in REAL.glob("v*")))
def test_checkpoints_of_gptqmodel(name: str) -> None:
    theirs = load_file(REAL / name / "logits.safetensors")
    ids = theirs["ids"][None]
    with torch.no_grad():
        ours = opened(REAL / name)(input_ids=ids).logits[0]
        whole = (
            opened(REAL / name, dtype=torch.float16, whole=True).float()(input_ids=ids).logits[0]
        )
    assert_same(whole, theirs["whole"], most=2e-6)  # another CPU sums in another order
    assert_same(ours, theirs["own"], most=2e-3)


@pytest.mark.parametrize(
    ("recipe", "how"),
    [
        pytest.param(Recipe(version=1, act_order=True), {}, id="version 1, act-order"),
        pytest.param(Recipe(version=2, sym=False), {}, id="version 2, asymmetric"),
        pytest.param(Recipe(bits=3, group_size=-1), {}, id="3 bits, one group"),
        pytest.param(Recipe(bits=8), {"shards": 3}, id="8 bits, three files"),
        pytest.param(Recipe(), {"settings_in": "quantize_config.json"}, id="quantize_config.json"),
        pytest.param(Recipe(), {"file_name": "gptq_model-4bit-32g.safetensors"}, id="old file name"),
        pytest.param(Recipe(), {"chosen": lambda path: "mlp" in path}, id="attention left whole"),
        pytest.param(Recipe(), {"chosen": lambda path: True}, id="the tied head too"),
        pytest.param(Recipe(), {"drop": {"model.layers.0.mlp.up_proj.g_idx"}}, id="without a g_idx"),
        pytest.param(Recipe(group_size=64), {"dynamic": {"-:x": {}}, "bits": 8, "group_size": 32}, id="own bits a layer"),
    ],
)  # fmt: skip
def test_the_model_is_that_of_the_weights_meant(
    recipe: Recipe, how: dict[str, Any], tmp_path: Path
) -> None:
    meant = write_gptq(build_llama(vocab=448), tmp_path, recipe, **how)
    model = opened(tmp_path)
    assert_same(logits(model), logits(meant))
    assert not any(p.requires_grad for p in model.parameters())
    assert model.name_or_path == str(tmp_path)
    whole = opened(tmp_path, whole=True)
    assert not quantised_layers(whole)
    for name, weight in meant.state_dict().items():
        assert torch.equal(whole.state_dict()[name], weight), name


@pytest.mark.parametrize("zeros", [True, False])
def test_biases_that_the_model_does_not_have(zeros: bool, tmp_path: Path) -> None:
    """AutoGPTQ gave every layer a bias; zeros are none, others count."""
    meant = write_gptq(build_llama(vocab=448), tmp_path, Recipe())
    bias = torch.zeros(64) if zeros else torch.arange(64) / 64
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.layers.1.self_attn.q_proj.bias"] = bias.half()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    layer = meant.model.layers[1].self_attn.q_proj
    layer.bias = nn.Parameter(bias)
    model = opened(tmp_path)
    assert_same(logits(model), logits(meant))
    assert (model.model.layers[1].self_attn.q_proj.bias is None) == zeros


def test_layers_with_biases_and_fused_layers(tmp_path: Path) -> None:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    config = GPTNeoXConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=448,
    )
    meant = write_gptq(
        GPTNeoXForCausalLM(config).eval(),
        tmp_path,
        Recipe(act_order=True),
        chosen=lambda path: path != "embed_out",
    )
    model = opened(tmp_path)
    assert_same(logits(model), logits(meant))
    fused = model.gpt_neox.layers[0].attention.query_key_value
    assert isinstance(fused, GPTQLinear)
    assert fused.bias is not None


def test_layers_that_are_stored_transposed(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_embd=64, n_layer=2, n_head=4, vocab_size=448)
    meant = write_gptq(GPT2LMHeadModel(config).eval(), tmp_path, Recipe())
    assert_same(logits(opened(tmp_path)), logits(meant))
    whole = opened(tmp_path, whole=True)
    assert torch.equal(
        whole.transformer.h[0].attn.c_attn.weight, meant.transformer.h[0].attn.c_attn.weight
    )
    assert_same(logits(whole), logits(meant))


def test_a_quantised_head_counts_its_loss_in_chunks(tmp_path: Path) -> None:
    model = build_llama(vocab=448, tie_word_embeddings=False)
    meant = write_gptq(model, tmp_path, Recipe(), chosen=lambda path: True)
    model = opened(tmp_path)
    assert isinstance(model.lm_head, GPTQLinear)
    assert isinstance(examine_head(model), Head)
    labels = IDS.clone()
    positions, targets = labelled_positions(labels)
    with fused_loss(model.lm_head, positions, targets) as loss_of:
        loss = loss_of(model(input_ids=IDS).logits)
    want = nn.functional.cross_entropy(logits(meant)[0, :-1], IDS[0, 1:], reduction="sum")
    torch.testing.assert_close(loss, want, rtol=1e-4, atol=1e-3)


def test_a_quantised_head_gets_rows_for_new_tokens(tmp_path: Path) -> None:
    model = build_llama(vocab=384, tie_word_embeddings=False)
    write_gptq(model, tmp_path, Recipe(), chosen=lambda path: True)
    grown = opened(tmp_path)
    assert grown.lm_head.weight.shape[0] == len(build_tokenizer()) > 384
    assert type(grown.lm_head) is nn.Linear


def test_what_else_looks_for_linear_layers_finds_them(tmp_path: Path) -> None:
    plain = build_llama(vocab=448)
    write_gptq(plain, tmp_path, Recipe())
    model = opened(tmp_path)
    assert len(quantised_layers(model)) == LAYERS
    assert linear_names(model) == linear_names(plain)
    assert layer_shapes(model) == layer_shapes(plain)
    weights = count_weights(model, whole=torch.float32)
    assert weights.parameters == sum(p.numel() for p in plain.parameters())
    packed = sum(b.nbytes for m in quantised_layers(model).values() for b in m.buffers())
    assert weights.frozen_bytes_whole - weights.frozen_bytes == 4 * 2 * 36864 - packed


@pytest.mark.parametrize(
    "targets",
    [
        {"lora_target_linear": True},
        {},
        {"lora_target_modules": ["q_proj", "down_proj"]},
        {"lora_target_modules": r".*mlp\.up_proj"},
    ],
)
def test_an_adapter_belongs_to_the_dequantised_model_as_well(
    targets: dict[str, Any], tmp_path: Path
) -> None:
    meant = write_gptq(build_llama(vocab=448), tmp_path / "base", Recipe(act_order=True))
    adapted = attach_new(
        opened(tmp_path / "base"), AdapterSection(adapter="lora", lora_r=4, **targets)
    )
    assert_same(logits(adapted.eval()), logits(meant))
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            assert weight.requires_grad
            nn.init.normal_(weight, std=0.05)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    want = logits(adapted)
    plain = PeftModel.from_pretrained(meant, str(tmp_path / "adapter"))
    assert_same(logits(plain), want)
    assert_same(logits(plain.merge_and_unload()), want)
    with pytest.raises(ValueError, match="gptq quantized"):
        adapted.merge_and_unload()


def test_a_quantised_layer_is_not_trained_as_a_whole(tmp_path: Path) -> None:
    write_gptq(build_llama(vocab=448), tmp_path, Recipe())
    adapter = AdapterSection(adapter="lora", lora_modules_to_save=["down_proj"])
    with pytest.raises(ModelError, match=r"layers\.0\.mlp\.down_proj is quantised"):
        attach_new(opened(tmp_path), adapter)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"gptq_groupsize": 128}, "gptq_groupsize 128 is not that of the checkpoint, 32, which counts"),
        ({"gptq_groupsize": 32}, ""),
        ({"gptq_model_v1": False}, "gptq_model_v1 false is not so: the checkpoint has version 1"),
        ({"gptq_model_v1": True}, ""),
    ],
)  # fmt: skip
def test_what_the_file_says_wrongly_is_reported(
    said: dict[str, Any], match: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_gptq(build_llama(vocab=448), tmp_path, Recipe())
    opened(tmp_path, **said)
    reported = " ".join(capsys.readouterr().err.split())
    assert match in reported
    assert bool(match) == ("warning" in reported)


Q = "model.layers.0.self_attn.q_proj"


def _changed(**tensors: Callable[[torch.Tensor], torch.Tensor] | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "model.safetensors"
        held = load_file(file)
        for part, made in tensors.items():
            name = f"{Q}.{part}" if "." not in part else part
            if made is None:
                del held[name]
            else:
                held[name] = made(held[name]).contiguous()
        save_file(held, file, metadata={"format": "pt"})

    return change


def _settings(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        config = json.loads(file.read_text())
        config["quantization_config"] |= changes
        file.write_text(json.dumps(config))

    return change


def _unsaid(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config))


def _plain(folder: Path) -> None:
    shutil.rmtree(folder)
    build_llama(vocab=448).save_pretrained(folder)


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "gptq_model-4bit-32g.bin")


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])


def _two(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "a.safetensors")
    (folder / "model.safetensors").rename(folder / "b.safetensors")


@pytest.mark.parametrize(
    ("break_it", "match"),
    [
        pytest.param(_changed(scales=None), rf"lacks {Q}\.scales", id="no scales"),
        pytest.param(_changed(qweight=None), rf"lacks {Q}\.qweight", id="no qweight"),
        pytest.param(_changed(qweight=None, qzeros=None), rf"neither {Q}\.qweight nor", id="no layer"),
        pytest.param(_changed(qweight=lambda t: t[:4]), rf"{Q}\.qweight has the shape \[4, 64\]; 64 inputs .* are \[8, 64\]", id="short qweight"),
        pytest.param(_changed(scales=lambda t: t[:1]), rf"{Q}\.scales has the shape \[1, 64\]", id="a group less"),
        pytest.param(_changed(qzeros=lambda t: t.float()), rf"{Q}\.qzeros holds F32, not int32", id="qzeros of another kind"),
        pytest.param(_changed(scales=lambda t: t * float("nan")), rf"{Q}\.scales holds numbers that are not finite", id="scales that are none"),
        pytest.param(_changed(g_idx=lambda t: t + 1), rf"{Q}\.g_idx names group 2, and there are 2", id="a group too many"),
        pytest.param(_settings(bits=8), "has the shape", id="other bits than said"),
        pytest.param(_settings(bits=5), "quantised to 5 bits", id="5 bits"),
        pytest.param(_settings(quant_method="awq"), "quantised by awq, not by GPTQ", id="awq"),
        pytest.param(_settings(checkpoint_format="marlin"), "in the format marlin", id="marlin"),
        pytest.param(_settings(pack_dtype="int64"), "into int64", id="int64 words"),
        pytest.param(_settings(bits=None), "lack a number", id="no bits"),
        pytest.param(_unsaid, "does not say how it was quantised", id="no settings"),
        pytest.param(_plain, "is no GPTQ checkpoint: none of its layers has a qweight", id="an ordinary model"),
        pytest.param(_pickled, r"no safetensors file: its weights are in gptq_model-4bit-32g\.bin", id="pickled"),
        pytest.param(_cut, "is damaged", id="cut short"),
        pytest.param(_two, r"2 safetensors files and no index", id="two files"),
        pytest.param(_settings(hidden_size=1), None, id="unharmed"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(
    break_it: Callable[[Path], None], match: str | None, tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    write_gptq(build_llama(vocab=448), folder, Recipe())
    break_it(folder)
    if match is None:
        opened(folder)
        return
    with pytest.raises(ModelError, match=match) as caught:
        opened(folder)
    assert caught.value.hint


def test_a_gptq_checkpoint_that_the_file_does_not_call_one(tmp_path: Path) -> None:
    write_gptq(build_llama(vocab=448), tmp_path, Recipe())
    with pytest.raises(ModelError, match="is a GPTQ checkpoint") as caught:
        open_model(
            ModelSection(base_model=str(tmp_path)),
            dtype=torch.float32,
            attn_implementation="sdpa",
            tokenizer=build_tokenizer(),
        )
    assert "gptq: true" in str(caught.value.hint)


def test_experts_in_one_tensor_are_refused(tmp_path: Path) -> None:
    write_gptq(build_llama(vocab=448), tmp_path, Recipe())
    tensors = load_file(tmp_path / "model.safetensors")
    experts = "model.layers.0.mlp.experts.0.w1"
    tensors |= {f"{experts}.{p}": tensors[f"{Q}.{p}"].clone() for p in ("qweight", "qzeros")}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="no layer 'model") as caught:
        opened(tmp_path)
    assert "experts" in str(caught.value.hint)
