"""A merged model gives the logits of base + adapter, or is not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners import lora
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from axolotl import api
from axolotl.artifacts import merge_check, shards
from axolotl.artifacts.merge_target import check_target
from axolotl.artifacts.merged_weights import MergedWeights
from axolotl.errors import ConfigError, EnvironmentFault, ModelError
from axolotl.inference import opening
from axolotl.models.tiny import tiny_model as tiny_model_of
from tests.artifacts.made import random_adapter
from tests.conftest import build_llama, build_tokenizer

Options = Callable[..., dict[str, Any]]
IDS = torch.arange(3, 43)[None]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(IDS).logits.float()


def base_and_adapter(base: Path, adapter: Path) -> torch.Tensor:
    from peft import PeftModel

    return logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter))


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_the_merged_folder_is_base_and_adapter_in_one_plain_model(
    options: Options, adapter: Path, tiny_model: Path
) -> None:
    report = api.merge(options())
    merged = AutoModelForCausalLM.from_pretrained(adapter / "merged")
    assert report.folder == adapter / "merged"
    want = base_and_adapter(tiny_model, adapter)
    assert torch.allclose(logits(merged), want, atol=1e-5)
    assert (logits(AutoModelForCausalLM.from_pretrained(tiny_model)) - want).abs().max() > 0.01
    assert type(merged).__name__ == "LlamaForCausalLM"
    assert merged.dtype == torch.float32
    assert merged.config.use_cache is True
    assert not list(report.folder.glob("adapter*"))
    assert len({file.stat().st_mode for file in report.folder.iterdir()}) == 1
    assert AutoTokenizer.from_pretrained(report.folder).get_vocab() == build_tokenizer().get_vocab()


def test_the_report_has_the_measured_difference(options: Options, adapter: Path) -> None:
    report = api.merge(options())
    written = json.loads((report.folder / "merge.json").read_text())
    assert written["difference"]["largest"] == report.difference.largest < 1e-5
    assert report.difference.relative < 1e-5
    assert report.difference.agreeing == report.difference.positions > 50
    assert report.rows == "4 held-out rows"
    assert report.dtype == "float32"
    card = (report.folder / "README.md").read_text("utf-8")
    assert "library_name: transformers" in card
    assert "merged into the model" in card
    # merge.json itself, and its folder's other files
    assert report.size_bytes < sum(f.stat().st_size for f in report.folder.iterdir())


@pytest.mark.parametrize(("dtype", "rounding"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_half_precision_differs_by_its_rounding(
    options: Options, adapter: Path, dtype: str, rounding: float
) -> None:
    report = api.merge(options(), dtype=dtype)
    assert AutoModelForCausalLM.from_pretrained(report.folder).dtype == getattr(torch, dtype)
    assert 1e-5 < report.difference.relative < rounding
    assert report.merge_difference.relative < 1e-5, "the merge itself is computed in fp32"


def test_the_dtype_is_that_of_the_training_unless_asked(options: Options, adapter: Path) -> None:
    assert api.merge(options(bfloat16=True)).dtype == "bfloat16"
    assert api.merge(options(bf16=True)).dtype == "bfloat16", "as the base was held in training"
    with pytest.raises(ConfigError, match="no dtype 'int8'"):
        api.merge(options(), dtype="int8")


def test_another_folder_and_lora_model_dir(
    options: Options, adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    settings = options(lora_model_dir=str(adapter), output_dir=str(tmp_path / "unused"))
    report = api.merge(settings, out=tmp_path / "deep" / "model")
    assert report.folder == tmp_path / "deep" / "model"
    assert not (tmp_path / "unused").exists()
    merged = AutoModelForCausalLM.from_pretrained(report.folder)
    assert torch.allclose(logits(merged), base_and_adapter(tiny_model, adapter), atol=1e-5)


def test_without_its_data_a_merge_is_compared_on_fixed_tokens(
    options: Options, adapter: Path, tmp_path: Path
) -> None:
    settings = options(datasets=[{"path": str(tmp_path / "gone.jsonl"), "type": "alpaca"}])
    report = api.merge(settings)
    assert report.rows == "fixed token ids"
    assert report.difference.positions == 4 * 64


@pytest.mark.parametrize("settings", [{}, {"ensure_weight_tying": True}], ids=["apart", "tied"])
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
def test_trained_embeddings_and_head_of_a_tied_model_are_merged(
    options: Options, tiny_model: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    names = ["embed_tokens"] if settings else ["embed_tokens", "lm_head"]
    adapted = random_adapter(
        AutoModelForCausalLM.from_pretrained(tiny_model),
        tmp_path / "out",
        modules_to_save=names,
        **settings,
    )
    want = logits(adapted)
    report = api.merge(options())
    merged: Any = AutoModelForCausalLM.from_pretrained(report.folder)
    assert torch.allclose(logits(merged), want, atol=1e-5)
    weights = merged.get_input_embeddings().weight, merged.get_output_embeddings().weight
    assert torch.equal(*weights) is bool(settings)
    assert merged.config.tie_word_embeddings is bool(settings)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
def test_added_tokens_are_in_the_merged_model(
    options: Options, tiny_model: Path, tmp_path: Path
) -> None:
    tokenizer = build_tokenizer()
    new = [f"<tool{i}>" for i in range(200)]
    tokenizer.add_tokens(new)
    tokenizer.add_special_tokens({"eos_token": "<|end|>"})
    tokenizer.chat_template = "{{ messages[0].content }}"
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.resize_token_embeddings(len(tokenizer))
    adapted = random_adapter(model, tmp_path / "out", modules_to_save=["embed_tokens", "lm_head"])
    tokenizer.save_pretrained(tmp_path / "out")
    report = api.merge(
        options(
            tokens=new,
            special_tokens={"eos_token": "<|end|>"},
            lora_modules_to_save=["embed_tokens", "lm_head"],
        )
    )
    merged = AutoModelForCausalLM.from_pretrained(report.folder)
    assert merged.config.vocab_size == len(tokenizer) > 512
    assert torch.allclose(logits(merged), logits(adapted), atol=1e-5)
    saved = AutoTokenizer.from_pretrained(report.folder)
    assert saved.convert_tokens_to_ids("<tool7>") == tokenizer.convert_tokens_to_ids("<tool7>")
    assert saved.chat_template == tokenizer.chat_template
    assert merged.generation_config.eos_token_id == [tokenizer.eos_token_id, 2]


def test_a_gpt2_with_transposed_weights_is_merged(options: Options, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": 512,
        "n_positions": 256,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 2,
    }
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=1, eos_token_id=2)).eval()
    model.save_pretrained(tmp_path / "gpt2")
    build_tokenizer().save_pretrained(tmp_path / "gpt2")
    adapted = random_adapter(
        model, tmp_path / "out", target_modules=["c_attn", "c_proj"], fan_in_fan_out=True
    )
    want = logits(adapted)
    report = api.merge(options(base_model=str(tmp_path / "gpt2")))
    merged = AutoModelForCausalLM.from_pretrained(report.folder)
    assert torch.allclose(logits(merged), want, atol=1e-5)


def test_what_the_model_keeps_in_fp32_is_not_rounded(options: Options, tmp_path: Path) -> None:
    model = tiny_model_of("btlm", seed=0)
    with torch.no_grad():
        model.transformer.relative_pe.slopes.mul_(1.001)
    model.save_pretrained(tmp_path / "btlm")
    build_tokenizer().save_pretrained(tmp_path / "btlm")
    random_adapter(model, tmp_path / "out", target_modules=["c_attn"], fan_in_fan_out=True)
    report = api.merge(options(base_model=str(tmp_path / "btlm")), dtype="bfloat16")
    before = load_file(tmp_path / "btlm" / "model.safetensors")
    after = load_file(report.folder / "model.safetensors")
    name = "transformer.relative_pe.slopes"
    assert torch.equal(after[name], before[name])
    assert after[name].dtype == torch.float32
    assert {after[key].dtype for key in after.keys() - {name}} == {torch.bfloat16}


def test_a_token_that_rounding_sends_to_another_expert_is_no_fault(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model_of("mixtral")
    model.save_pretrained(tmp_path / "mixtral")
    build_tokenizer().save_pretrained(tmp_path / "mixtral")
    random_adapter(model, tmp_path / "out", target_modules=["q_proj", "v_proj"])
    given = options(base_model=str(tmp_path / "mixtral"))
    apart = api.merge(given, dtype="bfloat16").difference
    assert apart.relative > merge_check.LIMITS[torch.bfloat16] > 4 * apart.typical
    assert api.merge(given, dtype="float32").difference.relative < 1e-5

    otherwise_read(monkeypatch)
    with pytest.raises(ModelError, match="bfloat16, loaded again"):
        api.merge(given, dtype="bfloat16")


def spoilt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one weight written as another."""
    put = shards.ShardFiles.put

    def wrong(self: Any, name: str, tensor: torch.Tensor, first: int = 0) -> None:
        factor = 1.2 if name == "model.layers.0.mlp.down_proj.weight" else 1
        put(self, name, tensor * factor, first)

    monkeypatch.setattr(shards.ShardFiles, "put", wrong)


def otherwise_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the weights written as they are, and a configuration by which they say something else."""
    write = MergedWeights.write_settings

    def wrong(self: Any, folder: Path) -> None:
        write(self, folder)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        (folder / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1000.0}))

    monkeypatch.setattr(MergedWeights, "write_settings", wrong)


def test_a_merge_that_is_killed_while_saving_leaves_no_folder(
    options: Options, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shards.ShardFiles, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            api.merge(options())
    assert not (adapter / "merged").exists()
    assert hidden(adapter) == []
    (adapter / ".merged.abcd1234").mkdir()
    (adapter / ".merged.mine").mkdir()
    api.merge(options())
    assert hidden(adapter) == [".merged.mine"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (spoilt, r"down_proj\.weight' was not written as base \+ adapter"),
        (otherwise_read, r"float32, loaded again\) differs from base \+ adapter"),
    ],
    ids=["weight", "configuration"],
)
def test_a_folder_that_came_out_wrong_is_not_left_behind(
    options: Options,
    adapter: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[pytest.MonkeyPatch], None],
    said: str,
) -> None:
    api.merge(options())
    before = (adapter / "merged" / "model.safetensors").read_bytes()
    fault(monkeypatch)
    with pytest.raises(ModelError, match=said):
        api.merge(options())
    assert (adapter / "merged" / "model.safetensors").read_bytes() == before
    assert hidden(adapter) == []


def test_a_merge_that_came_out_wrong_is_not_written(
    options: Options, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The base without the adapter: what a merge that did nothing would give.
    monkeypatch.setattr(lora.Linear, "merge", lambda self, safe_merge: _off(self))
    with pytest.raises(ModelError, match=r"float32, in memory\) differs"):
        api.merge(options(), dtype="bfloat16")
    assert not (adapter / "merged").exists()


def _off(layer: Any) -> None:
    layer.merged_adapters.append(layer.active_adapter[0])


def test_numbers_that_are_none_are_refused(
    options: Options, tiny_model: Path, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    adapted = random_adapter(model, tmp_path / "out")
    with torch.no_grad():
        next(p for n, p in adapted.named_parameters() if "lora_B" in n).fill_(torch.nan)
    adapted.save_pretrained(tmp_path / "out")
    with pytest.raises(ModelError, match="cannot be merged: NaNs detected"):
        api.merge(options())


def test_float16_that_overflows_is_refused_with_the_way_out(
    options: Options, tmp_path: Path
) -> None:
    model = build_llama()
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(1e8)
    model.save_pretrained(tmp_path / "big")
    build_tokenizer().save_pretrained(tmp_path / "big")
    random_adapter(model, tmp_path / "out", target_modules=["q_proj"])
    settings = options(base_model=str(tmp_path / "big"))
    with pytest.raises(ModelError, match="use --dtype bfloat16"):
        api.merge(settings, dtype="float16")
    assert not (tmp_path / "out" / "merged").exists()
    api.merge(settings, dtype="bfloat16")


def test_an_adapter_of_another_base_does_not_fit(
    options: Options, adapter: Path, tmp_path: Path
) -> None:
    build_llama(hidden_size=32, intermediate_size=64).save_pretrained(tmp_path / "small")
    with pytest.raises(ModelError, match="does not fit the base model"):
        api.merge(options(base_model=str(tmp_path / "small")))
    assert not (adapter / "merged").exists()


def test_without_an_adapter_there_is_nothing_to_merge(
    options: Options, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="no adapter in") as missing:
        api.merge(options())
    assert "axolotl train" in str(missing.value)
    with pytest.raises(ModelError, match="nothing to merge"):
        api.merge(options(adapter=None, output_dir=str(tiny_model)))


def test_an_adapter_that_changes_no_weights_cannot_be_merged(
    options: Options, tiny_model: Path, tmp_path: Path
) -> None:
    from peft import PromptTuningConfig, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    get_peft_model(model, config).save_pretrained(str(tmp_path / "out"))
    with pytest.raises(ModelError, match="PROMPT_TUNING cannot be merged"):
        api.merge(options())


def test_nothing_the_user_would_miss_is_replaced(
    options: Options, adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("all of it")
    for out, reason in (
        (adapter, "would be replaced as a whole"),
        (tiny_model.parent, "would be replaced as a whole"),
        (precious, "no earlier merge made it"),
        (precious / "thesis.txt", "no earlier merge made it"),
    ):
        with pytest.raises(ConfigError, match=reason):
            api.merge(options(), out=out)
    assert (precious / "thesis.txt").read_text() == "all of it"
    assert (adapter / "adapter_model.safetensors").is_file()


def test_what_was_put_beside_an_earlier_merge_is_not_replaced(
    options: Options, adapter: Path
) -> None:
    api.merge(options())
    own = adapter / "merged" / "notes" / "mine.txt"
    own.parent.mkdir()
    own.write_text("all of it")
    with pytest.raises(ConfigError, match=r"earlier result: notes/mine\.txt"):
        api.merge(options())
    assert own.read_text() == "all of it"
    own.unlink()
    assert api.merge(options()).folder == adapter / "merged"


@pytest.mark.parametrize("sign", [b"{", b"[1]", b"\xff\xfe", b'{"written": 3}'])
def test_a_sign_that_cannot_be_read_is_none(sign: bytes, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    out.mkdir()
    (out / "merge.json").write_bytes(sign)
    with pytest.raises(ConfigError, match="is there already, and no earlier merge made it"):
        check_target(out, never=[])
    assert (out / "merge.json").read_bytes() == sign


def test_a_disk_without_room_is_found_before_writing(
    options: Options, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(EnvironmentFault, match="are free"):
        api.merge(options())
    assert not (adapter / "merged").exists()


def test_generation_options_that_the_library_refuses_to_save_are_mended(
    options: Options, tmp_path: Path
) -> None:
    model = build_llama(eos_token_id=5)
    model.save_pretrained(tmp_path / "base")
    build_tokenizer().save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "generation_config.json").write_text(
        '{"temperature": 0.6, "top_p": 0.9, "do_sample": false, "eos_token_id": 5}'
    )
    random_adapter(model, tmp_path / "out")
    report = api.merge(options(base_model=str(tmp_path / "base")))
    saved = AutoModelForCausalLM.from_pretrained(report.folder).generation_config
    assert (saved.temperature, saved.do_sample, saved.eos_token_id) == (0.6, True, [2, 5])


def test_a_merge_of_an_older_adapter_does_not_answer(options: Options, adapter: Path) -> None:
    api.merge(options())
    opened = opening.open_generator(api.resolved(options()), merged=True)
    assert opened.answer("Name a colour.") is not None
    file = adapter / "adapter_model.safetensors"
    weights = {name: value + 0.01 for name, value in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="older than the adapter beside it"):
        opening.open_generator(api.resolved(options()), merged=True)
    api.merge(options())
    opening.open_generator(api.resolved(options()), merged=True)
