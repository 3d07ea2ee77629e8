"""Rotary positions are stretched by the formula, on every load path, or not at all and with a reason."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from axolotl.attention import registered_name
from axolotl.attention.per_document import NotServed, register
from axolotl.config.attention import RopeScaling
from axolotl.config.model import ModelSection
from axolotl.errors import ModelError
from axolotl.models import rope_proof
from axolotl.models.adapters import attach_new, save_adapter
from axolotl.models.load import open_model
from axolotl.models.rope import fit_length, stretch
from axolotl.models.rope_config import reach, scaling_of
from axolotl.models.rope_formulas import frequencies
from axolotl.models.rope_rows import document_lengths, parts_of, rotary_modules, turn_each_alone
from axolotl.models.rope_saved import (
    POSITIONS_FILE,
    say_left_aside,
    set_saved,
    settled,
    write_positions,
)
from axolotl.models.tiny import tiny_config, tiny_model
from tests.conftest import build_llama, build_tokenizer

KINDS: dict[str, dict[str, Any]] = {
    "linear": {"factor": 4},
    "dynamic": {"factor": 2},
    "yarn": {"factor": 4},
    "llama3": {"factor": 8, "low_freq_factor": 1, "high_freq_factor": 4},
    "longrope": {"factor": 4},
}
FAMILIES = ("llama", "falcon", "gemma3_text", "deepseek_v2")
"""One of each layout: per kind of layer, and as complex numbers. The rest is seen by the slow run."""
MORE_FAMILIES = (
    *("gpt_neox", "phi", "mistral", "mixtral", "stablelm", "qwen2", "qwen3"),
    *("gemma", "gemma2", "olmo2", "cohere"),
)
"""Phi3 has `longrope` alone; cohere lays cosine and sine out in pairs."""
ROTARY = (
    *FAMILIES,
    *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_FAMILIES),
)
OTHERS = {"gpt2": "", "mpt": "", "gptj": "", "bloom": "ALiBi", "opt": "", "btlm": ""}


def asked(kind: str, model: Any = None, **changes: Any) -> RopeScaling:
    given = {**KINDS[kind], **changes}
    if kind == "longrope" and "short_factor" not in given:
        buffers = dict(model.named_buffers()) if model is not None else {}
        count = next((len(b) for name, b in buffers.items() if name.endswith("inv_freq")), 8)
        given["short_factor"] = [1.0 + i / 8 for i in range(count)]
        given["long_factor"] = [2.0 + i for i in range(count)]
    return RopeScaling(type=kind, **given)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with a tiny model of a type, made once."""
    made: dict[str, Path] = {}

    def place(model_type: str) -> Path:
        if model_type not in made:
            made[model_type] = tmp_path_factory.mktemp(model_type)
            config = tiny_config(model_type)
            if hasattr(config, "rope_parameters"):
                config.max_position_embeddings = 64
            tiny_model(config).save_pretrained(made[model_type])
            build_tokenizer().save_pretrained(made[model_type])
        return made[model_type]

    return place


def load(folder: Path, **changes: Any) -> Any:
    settings: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "eager"}
    opened = {**settings, "tokenizer": build_tokenizer(), **changes}
    return open_model(ModelSection(base_model=str(folder)), **opened)


def logits(model: Any, length: int = 24, **more: Any) -> torch.Tensor:
    ids = torch.arange(length)[None] % 50 + 5
    with torch.no_grad():
        return model.eval()(input_ids=ids, use_cache=False, **more).logits[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model_type", ROTARY)
def test_it_reaches_the_model_and_what_is_saved(
    model_type: str, kind: str, places: Any, tmp_path: Path
) -> None:
    folder = places(model_type)
    plain = load(folder)
    stretched = load(folder, rope_scaling=asked(kind, plain))
    own = plain.config.max_position_embeddings
    factor = KINDS[kind]["factor"]
    assert reach(stretched.config) == factor * own
    assert stretched.config.max_position_embeddings == own * (1 if kind == "dynamic" else factor)
    if kind != "dynamic":
        assert not torch.equal(logits(plain), logits(stretched))
    stretched.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert scaling_of(again.config) == scaling_of(stretched.config)
    assert scaling_of(again.config)["rope_theta"] == scaling_of(plain.config)["rope_theta"]  # pyright: ignore[reportOptionalSubscript]
    assert torch.equal(logits(again), logits(stretched))
    written = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert ("rope_scaling" in written) is (model_type != "gemma3_text")


@pytest.mark.parametrize("kind", KINDS)
def test_the_names_of_transformers_4_say_the_same(kind: str, places: Any, tmp_path: Path) -> None:
    stretched = load(places("llama"), rope_scaling=asked(kind))
    stretched.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    written = json.loads(file.read_text("utf-8"))
    assert written["rope_theta"] == written["rope_parameters"]["rope_theta"]
    assert written["rope_scaling"] == written.pop("rope_parameters")
    file.write_text(json.dumps(written))
    by_old_names = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert scaling_of(by_old_names.config) == scaling_of(stretched.config)
    assert torch.equal(logits(by_old_names, 70), logits(stretched, 70))


@pytest.mark.parametrize("model_type", OTHERS)
def test_without_rotary_positions_it_is_refused(model_type: str, places: Any) -> None:
    with pytest.raises(ModelError, match="cannot be stretched") as caught:
        load(places(model_type), rope_scaling=asked("linear"))
    assert caught.value.where == "rope_scaling"


def test_falcon_with_alibi_is_refused(tmp_path: Path) -> None:
    config = tiny_config("falcon")
    config.alibi = True
    tiny_model(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="it has ALiBi"):
        load(tmp_path, rope_scaling=asked("linear"))


def test_phi3_takes_longrope_alone(places: Any) -> None:
    folder = places("phi3")
    assert load(folder, rope_scaling=asked("longrope")).config.original_max_position_embeddings
    with pytest.raises(ModelError, match="its configuration does not take it"):
        load(folder, rope_scaling=asked("linear"))


def test_an_attention_that_the_model_does_not_serve_is_no_reason(places: Any) -> None:
    """Persimmon hands its attention no positions; another one is set after it was loaded."""
    register()
    ours = registered_name("per_document")
    model = load(places("persimmon"), rope_scaling=asked("linear"), attn_implementation=ours)
    assert model.config._attn_implementation == ours
    with pytest.raises(NotServed):
        logits(model)


def test_of_gemma3_only_the_layers_that_see_all_are_stretched(places: Any) -> None:
    model = load(places("gemma3_text"), rope_scaling=asked("linear"))
    given = model.config.rope_parameters
    assert given["full_attention"]["rope_type"] == "linear"
    assert given["sliding_attention"]["rope_type"] == "default"


def test_factors_that_are_too_few_are_counted(places: Any) -> None:
    few = asked("longrope", short_factor=[1.0] * 8, long_factor=[1.0] * 7)
    with pytest.raises(ModelError, match=r"7 factors, and a head of .* has 8 rotations"):
        load(places("llama"), rope_scaling=few)


VALUES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "attention_factor": ("yarn", 1.5, {}),
    "beta_fast": ("yarn", 2.0, {}),
    "beta_slow": ("yarn", 4.0, {}),
    "mscale": ("yarn", 2.0, {"mscale_all_dim": 0.5}),
    "mscale_all_dim": ("yarn", 2.0, {"mscale": 0.5}),
    "truncate": ("yarn", False, {}),
    "low_freq_factor": ("llama3", 0.3, {}),
    "high_freq_factor": ("llama3", 20.0, {}),
    "short_factor": ("longrope", [3.0] * 8, {"long_factor": [4.0] * 8}),
    "long_factor": ("longrope", [3.0] * 8, {"short_factor": [1.0] * 8}),
}


@pytest.mark.parametrize("name", VALUES)
def test_another_value_turns_positions_otherwise(name: str, places: Any) -> None:
    kind, value, beside = VALUES[name]
    folder = places("llama")
    other = {"short_factor": [1.0] * 8, "long_factor": [2.0] * 8} if kind == "longrope" else {}
    one = load(folder, rope_scaling=asked(kind, **{**other, **beside}))
    two = load(folder, rope_scaling=asked(kind, **{**other, **beside, name: value}))
    assert scaling_of(two.config)[name] == value  # pyright: ignore[reportOptionalSubscript]
    length = 70 if name == "long_factor" else 24
    assert not torch.equal(logits(one, length), logits(two, length))


# What a code that ignores the setting looks like.


def test_a_setting_that_the_code_drops_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set where Gemma 3 does not look, it stands in the configuration and changes nothing."""
    build_llama().save_pretrained(tmp_path)
    from transformers.models.llama import modeling_llama

    class Deaf(modeling_llama.LlamaRotaryEmbedding):
        def forward(self, x: Any, position_ids: Any) -> Any:
            self.inv_freq, _ = self.compute_default_rope_parameters(self.config)
            return super().forward(x, position_ids)

    monkeypatch.setattr(modeling_llama, "LlamaRotaryEmbedding", Deaf)
    with pytest.raises(ModelError, match="its frequencies differ from those of 'linear' by 300%"):
        load(tmp_path, rope_scaling=asked("linear"))


def test_a_module_that_nobody_calls_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_llama().save_pretrained(tmp_path)
    from transformers.models.llama import modeling_llama

    real = modeling_llama.LlamaModel.forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        rotary, own = self.rotary_emb, modeling_llama.LlamaRotaryEmbedding(self.config)
        try:
            self.rotary_emb = own
            return real(self, *args, **kwargs)
        finally:
            self.rotary_emb = rotary

    monkeypatch.setattr(modeling_llama.LlamaModel, "forward", forward)
    with pytest.raises(ModelError, match="do not use the rotary positions"):
        load(tmp_path, rope_scaling=asked("linear"))


def test_another_multiplier_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_llama().save_pretrained(tmp_path)
    real = rope_proof.frequencies

    def other(*args: Any, **kwargs: Any) -> Any:
        angles, times = real(*args, **kwargs)
        return angles, times * 1.1

    monkeypatch.setattr(rope_proof, "frequencies", other)
    with pytest.raises(ModelError, match=r"multiplies cosine and sine by 1\.139 where"):
        load(tmp_path, rope_scaling=asked("yarn"))


def test_a_formula_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    """Every rotation of a narrow head turns more than four times within so many tokens."""
    build_llama(max_position_embeddings=131072).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="leaves every rotation as it is"):
        load(tmp_path, rope_scaling=asked("llama3"))


# The formulas, against numbers worked out by hand.


def test_dynamic_by_hand() -> None:
    given = {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0}
    short, _ = frequencies(given, rotated=4, own_length=8, length=8)
    assert short.tolist() == pytest.approx([1, 0.1])
    long, times = frequencies(given, rotated=4, own_length=8, length=16)
    # base 100 * (2 * 16 / 8 - 1)^(4 / 2) = 900
    assert long.tolist() == pytest.approx([1, 1 / 30])
    assert times == 1


def test_yarn_by_hand() -> None:
    given = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "beta_fast": 2, "beta_slow": 1}
    angles, times = frequencies(given, rotated=8, own_length=64, length=1)
    # 64 / 2 pi = 10.2 turns of the first rotation, 1.02 of the second, 0.1 of the third: the borders
    # 8 ln(10.2 / 2) / (2 ln 1e4) = 0.71 and 1.01 are widened to 0 and 2.
    assert angles.tolist() == pytest.approx([1, 0.1 * (0.5 + 0.125), 0.01 / 4, 0.001 / 4])
    assert times == pytest.approx(0.1 * math.log(4) + 1)
    weighed = frequencies(
        {**given, "mscale": 2, "mscale_all_dim": 1}, rotated=8, own_length=64, length=1
    )
    assert weighed[1] == pytest.approx((0.2 * math.log(4) + 1) / (0.1 * math.log(4) + 1))


def test_llama3_by_hand() -> None:
    given = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0}
    borders = {"low_freq_factor": 1, "high_freq_factor": 4}
    angles, _ = frequencies(given | borders, rotated=8, own_length=128, length=1)
    # turns within 128 tokens: 20.4, 2.037, 0.2, 0.02
    part = (12.8 / (2 * math.pi) - 1) / 3
    assert angles.tolist() == pytest.approx([1, 0.1 * (part + (1 - part) / 8), 0.01 / 8, 0.001 / 8])


# Lengths.


def test_what_was_raised_by_the_factor_is_not_raised_twice(tmp_path: Path) -> None:
    build_llama().save_pretrained(tmp_path / "base")
    once = load(tmp_path / "base", rope_scaling=asked("linear"))
    once.save_pretrained(tmp_path / "once")
    assert (
        load(tmp_path / "once", rope_scaling=asked("linear")).config.max_position_embeddings == 2048
    )
    more = load(tmp_path / "once", rope_scaling=asked("linear", factor=8))
    assert more.config.max_position_embeddings == 4096
    config = once.config
    del config.original_max_position_embeddings
    with pytest.raises(ModelError, match="does not say what its own length was"):
        stretch(config, asked("linear", factor=8), source="m")
    stretch(config, asked("linear", factor=8, original_max_position_embeddings=512), source="m")
    assert config.max_position_embeddings == 4096


@pytest.mark.parametrize("model_type", ["llama", "gptj", "mpt"])
def test_longer_sequences_raise_the_length_of_rotary_and_alibi_models(
    model_type: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(model_type)
    key = "max_seq_len" if model_type == "mpt" else "max_position_embeddings"
    setattr(config, key, 32)
    tiny_model(config).save_pretrained(tmp_path)
    model = load(tmp_path, sequence_len=96)
    assert getattr(model.config, key) == 96
    assert "sequence_len 96 is longer than the 32 tokens" in capsys.readouterr().err
    assert logits(model, 96).isfinite().all()
    assert torch.equal(logits(load(tmp_path), 32), logits(model, 32))


@pytest.mark.parametrize("model_type", ["gpt2", "opt"])
def test_learnt_positions_are_as_many_as_were_learnt(model_type: str, tmp_path: Path) -> None:
    config = tiny_config(model_type)
    config.max_position_embeddings = 32
    tiny_model(config).save_pretrained(tmp_path)
    load(tmp_path, sequence_len=32)
    with pytest.raises(ModelError, match=r"longer than the 32 positions of .* was learnt"):
        load(tmp_path, sequence_len=33)


def test_a_length_beyond_keeps_the_formula() -> None:
    config = build_llama(max_position_embeddings=64).config
    stretch(config, asked("dynamic"), source="m")
    fit_length(config, 256, source="m", shapes=lambda _: {})
    assert (config.max_position_embeddings, reach(config)) == (64, 128)
    phi = tiny_config("phi3")
    stretch(phi, asked("longrope"), source="m")
    phi.rope_parameters.pop("factor")
    limit = reach(phi)
    assert limit
    fit_length(phi, 2 * limit, source="m", shapes=lambda _: {})
    assert phi.rope_parameters["factor"] == 4
    assert reach(phi) == 2 * limit


# Rows of several documents.


def positions(*lengths: int) -> torch.Tensor:
    return torch.cat([torch.arange(n) for n in lengths])[None]


def test_lengths_of_documents() -> None:
    row = torch.tensor([[0, 1, 2, 0, 1, 5, 6, 0]])
    assert document_lengths(row).tolist() == [[3, 3, 3, 2, 2, 7, 7, 1]]


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
@pytest.mark.parametrize("model_type", ["llama", "gemma3_text", "gpt_neox", "deepseek_v2"])
def test_each_document_is_turned_by_its_own_length(model_type: str, kind: str) -> None:
    """Bit for bit as by the library's own code, alone and in a fresh model."""
    config = tiny_config(model_type)
    config.max_position_embeddings = 16
    stretch(config, asked(kind, tiny_model(config)), source="m")
    model = tiny_model_of(config)
    assert turn_each_alone(model)
    (module,) = rotary_modules(model)
    more: Any = {"layer_type": "full_attention"} if model_type == "gemma3_text" else {}
    x = torch.zeros(1, 1, 1)
    for lengths in [(40, 5, 16, 23, 17), (9, 9, 9), (23,), (40,), (7,)]:
        cos, sin = parts_of(module(x, positions(*lengths), **more))
        want = [
            parts_of(next(rotary_modules(tiny_model_of(config)))(x, positions(n), **more))
            for n in lengths
        ]
        assert torch.equal(cos, torch.cat([c for c, _ in want], dim=1))
        assert torch.equal(sin, torch.cat([s for _, s in want], dim=1))


def tiny_model_of(config: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def test_the_library_still_lets_rows_depend_on_each_other() -> None:
    """What `turn_each_alone` is for; when this fails, it may go."""
    config = build_llama(max_position_embeddings=16).config
    stretch(config, asked("dynamic"), source="m")
    (module,) = rotary_modules(tiny_model_of(config))
    x = torch.zeros(1, 1, 1)
    before = module(x, positions(20))[0]
    module(x, positions(40))
    assert not torch.equal(module(x, positions(20))[0], before)
    (fresh,) = rotary_modules(tiny_model_of(config))
    assert not torch.equal(fresh(x, positions(40, 20))[0][:, 40:], before)


# Adapters.


def test_an_adapter_brings_its_stretching_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from axolotl.config.adapter import AdapterSection

    build_llama().save_pretrained(tmp_path / "base")
    adapter = AdapterSection(adapter="lora", lora_target_linear=True)
    trained = attach_new(load(tmp_path / "base", rope_scaling=asked("yarn")), adapter)
    save_adapter(trained, tmp_path / "a")
    write_positions(trained, tmp_path / "a")
    saved = json.loads((tmp_path / "a" / POSITIONS_FILE).read_text("utf-8"))
    assert saved["max_position_embeddings"] == 2048
    again = load(tmp_path / "base", adapter=tmp_path / "a")
    assert again.config.rope_parameters == trained.config.rope_parameters
    assert "stretched as the adapter" in capsys.readouterr().err
    assert settled(asked("yarn"), tmp_path / "a")[0] is None
    with pytest.raises(ModelError, match="trained with rope scaling yarn 4, and the file asks for"):
        settled(asked("linear"), tmp_path / "a")
    assert settled(asked("linear"), tmp_path)[0] == asked("linear")
    (tmp_path / "a" / POSITIONS_FILE).write_text("[")
    with pytest.raises(ModelError, match="cannot be read"):
        settled(None, tmp_path / "a")


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn"])
def test_a_file_that_names_the_own_length_goes_with_what_it_trained(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = asked(kind, original_max_position_embeddings=256)
    config = build_llama().config
    stretch(config, named, source="m")
    say_left_aside(config, named, kind)
    stretch(config, named, source=kind)
    assert "left aside" not in (shown := capsys.readouterr().err)
    assert "has this rope_scaling already" in shown
    kept = {key: getattr(config, key) for key in ("rope_parameters", "max_position_embeddings")}
    (tmp_path / POSITIONS_FILE).write_text(json.dumps(kept))
    assert settled(named, tmp_path) == (None, kept)
    other = asked(kind, original_max_position_embeddings=128)
    if kind != "linear":  # whose formula knows no length
        with pytest.raises(ModelError, match="was trained with"):
            settled(other, tmp_path)


def test_an_adapter_of_an_unstretched_base_has_nothing_to_say(tmp_path: Path) -> None:
    from axolotl.config.adapter import AdapterSection

    build_llama().save_pretrained(tmp_path / "base")
    adapter = AdapterSection(adapter="lora", lora_target_linear=True)
    write_positions(attach_new(load(tmp_path / "base"), adapter), tmp_path)
    assert not (tmp_path / POSITIONS_FILE).exists()
    config = build_llama().config
    set_saved(config, {"max_position_embeddings": 7})
    assert config.max_position_embeddings == 7
