"""Every kind of adapter: trained, resumed, opened by plain peft, merged, trained further."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from axolotl import api
from axolotl.errors import ModelError
from axolotl.training.run import run_training
from tests.conftest import build_llama, build_tokenizer
from tests.flows.conftest import write_rows
from tests.flows.test_training import assert_same_metrics

IDS = torch.arange(3, 43)[None]
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dora": {"peft_use_dora": True},
    "rslora": {"peft_use_rslora": True, "lora_rank_pattern": {"q_proj": 2}},
    "gaussian": {"peft_init_lora_weights": "gaussian"},
    "orthogonal": {"peft_init_lora_weights": "orthogonal"},
    "random": {"peft_init_lora_weights": False},
    "mica": {"peft_init_lora_weights": "mica"},
    "pissa": {"peft_init_lora_weights": "pissa"},
    "pissa, fast": {"peft_init_lora_weights": "pissa_niter_4"},
    "pissa and dora": {"peft_init_lora_weights": "pissa", "peft_use_dora": True},
    "pissa, rslora, patterns": {
        "peft_init_lora_weights": "pissa",
        "peft_use_rslora": True,
        "lora_rank_pattern": {"q_proj": 2, "v_proj": 8},
        "lora_alpha_pattern": {"k_proj": 5.0},
    },
    "olora": {"peft_init_lora_weights": "olora", "lora_modules_to_save": ["lm_head"]},
    "loftq": {
        "peft_init_lora_weights": "loftq",
        "peft": {"loftq_config": {"loftq_bits": 4, "loftq_iter": 2}},
    },
    "loftq, 8 bits": {
        "peft_init_lora_weights": "loftq",
        "peft": {"loftq_config": {"loftq_bits": 8}},
        "peft_trainable_token_indices": [5],
    },
    "some layers": {"peft_layers_to_transform": [1], "peft_layers_pattern": "layers"},
    "stacked layers": {"peft_layer_replication": [[0, 2], [1, 2]]},
    "tokens": {"peft_trainable_token_indices": [5, 6, 7]},
    "tokens of a module": {"peft_trainable_token_indices": {"embed_tokens": [5, 300]}},
    "prompts": {"adapter": "llama-adapter", "peft_adapter": {"layers": 1, "len": 4}},
}
QUICK = (
    *("dora", "pissa and dora", "pissa, rslora, patterns", "olora", "loftq", "stacked layers"),
    *("tokens", "prompts"),
)
"""Those that are tried every time; the others differ from them in one point each."""
TRIED = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS]
OWN_BASE = {name for name in VARIANTS if name.startswith("loftq")}


@dataclass
class Run:
    """A training that ended, and its model as it was then."""

    name: str
    options: dict[str, Any]
    folder: Path
    base: Path
    model: Any

    def again(self, folder: Path, **changes: Any) -> Run:
        """The same options with changes, trained into another folder."""
        options = self.options | {"output_dir": str(folder)} | changes
        return train(self.name, options, self.base)


def train(name: str, options: dict[str, Any], base: Path) -> Run:
    trained = run_training(api.resolved(options, purpose="train"), on_start=lambda: None)
    folder = Path(options["output_dir"])
    trained.save(folder)
    return Run(name, options, folder, base, trained.model.eval())


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def plain_peft(base: Path, adapter: Path) -> Any:
    """As any other program would load it."""
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter))


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


@pytest.fixture(scope="module", params=TRIED)
def run(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    folder = tmp_path_factory.mktemp("run")
    lora = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True, "lora_dropout": 0.1}
    variant = VARIANTS[request.param]
    if variant.get("adapter") == "llama-adapter":
        lora = {}
    options = {
        "base_model": str(tiny_model),
        "datasets": [{"path": str(write_rows(folder / "rows.jsonl", 24)), "type": "alpaca"}],
        "dataset_prepared_path": str(folder / "store"),
        "val_set_size": 4,
        "sequence_len": 128,
        "sample_packing": True,
        "micro_batch_size": 2,
        "max_steps": 4,
        "learning_rate": 0.02,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": 2,
        "output_dir": str(folder / "out"),
        **lora,
        **variant,
    }
    return train(request.param, options, tiny_model)


def test_plain_peft_gives_the_logits_of_the_training(run: Run) -> None:
    settings = json.loads((run.folder / "adapter_config.json").read_text())
    base = Path(settings["base_model_name_or_path"])
    assert (base != run.base) == (run.name in OWN_BASE)
    got = logits(plain_peft(base, run.folder))
    assert apart(got, logits(run.model)) < 1e-5
    assert apart(logits(AutoModelForCausalLM.from_pretrained(run.base)), got) > 1e-3
    step_2 = logits(plain_peft(base, run.folder / "checkpoint-2"))
    assert apart(step_2, got) > 1e-4, "a checkpoint is that of its step"


def test_a_resumed_training_ends_with_equal_bits(run: Run, tmp_path: Path) -> None:
    folder = shutil.copytree(run.folder, tmp_path / "out")
    for later in ("checkpoint-4", "adapter_model.safetensors", "loftq_base"):
        path = folder / later
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
    resumed = run.again(folder, resume_from_checkpoint=True)
    for place in (".", "checkpoint-4"):
        one = load_file(run.folder / place / "adapter_model.safetensors")
        other = load_file(resumed.folder / place / "adapter_model.safetensors")
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(logits(run.model), logits(resumed.model)), "the base too"
    assert_same_metrics(run.folder, resumed.folder)


def test_it_is_reopened_from_the_run_and_from_a_checkpoint(run: Run) -> None:
    model = api.load_model(run.options | {"lora_model_dir": str(run.folder)})
    assert apart(logits(model), logits(run.model)) < 1e-5
    checkpoint = str(run.folder / "checkpoint-4")
    evaluated = api.evaluate(run.options | {"lora_model_dir": checkpoint}).loss
    assert evaluated == pytest.approx(api.evaluate(run.options).loss, rel=1e-5)


def test_it_is_trained_further(run: Run, tmp_path: Path) -> None:
    further = run.again(tmp_path / "further", lora_model_dir=str(run.folder), max_steps=1)
    base = Path(
        json.loads((further.folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    )
    got = logits(plain_peft(base, further.folder))
    assert apart(got, logits(further.model)) < 1e-5
    assert apart(got, logits(run.model)) > 1e-4


def test_it_is_merged_into_one_plain_model(run: Run, tmp_path: Path) -> None:
    if run.name == "prompts":
        with pytest.raises(ModelError, match="cannot be merged"):
            api.merge(run.options, out=tmp_path / "merged")
        return
    report = api.merge(run.options, out=tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(report.folder)
    assert apart(logits(merged), logits(run.model)) < 1e-4
    assert merged.config.num_hidden_layers == (3 if run.name == "stacked layers" else 2)


def test_unfrozen_parameters_alone_are_trained_and_saved_in_a_full_model(
    tiny_options: Callable[..., dict[str, Any]], tiny_model: Path, tmp_path: Path
) -> None:
    options = tiny_options(
        unfrozen_parameters=[r"model\.layers\.1\.mlp", "model.norm"],
        max_steps=4,
        save_strategy="steps",
        save_steps=2,
    )
    api.train(options)
    before = load_file(tiny_model / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        *(f"model.layers.1.mlp.{name}_proj.weight" for name in ("gate", "up", "down")),
        "model.norm.weight",
    }
    folder = shutil.copytree(tmp_path / "out", tmp_path / "resumed")
    shutil.rmtree(folder / "checkpoint-4")
    again = options | {"output_dir": str(folder), "resume_from_checkpoint": True}
    api.train(again)
    resumed = load_file(folder / "model.safetensors")
    assert all(torch.equal(after[name], resumed[name]) for name in after)
    shutil.rmtree(folder / "checkpoint-4")
    with pytest.raises(ModelError, match="unfrozen_parameters: then"):
        api.train(again | {"unfrozen_parameters": ["model.norm"]})


@pytest.mark.parametrize(
    "changes",
    [
        {"peft_use_dora": True},
        {"peft_use_rslora": True},
        {"peft_init_lora_weights": "pissa"},
        {"peft_layers_to_transform": [0]},
        {"peft_trainable_token_indices": [4]},
        {"lora_alpha_pattern": {"q_proj": 3.0}},
    ],
    ids=str,
)
def test_a_resume_with_another_adapter_is_refused(
    changes: dict[str, Any], tiny_options: Callable[..., dict[str, Any]]
) -> None:
    options = tiny_options(
        adapter="lora", lora_target_linear=True, max_steps=2, save_strategy="steps", save_steps=1
    )
    api.train(options)
    with pytest.raises(ModelError, match=f"{next(iter(changes))}: then null, now"):
        api.train(options | changes | {"resume_from_checkpoint": True})


@pytest.mark.parametrize(
    "trained", [[500, 7], {"embed_tokens": [500], "lm_head": [500]}], ids=["list", "mapping"]
)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "apart"])
def test_a_new_token_learns_with_its_rows_alone(
    trained: Any,
    tied: bool,
    tiny_options: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    base = tmp_path / "base"
    build_llama(vocab=500, tie_word_embeddings=tied).save_pretrained(base)
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([f"<{i}>" for i in range(500 - len(tokenizer))])
    tokenizer.save_pretrained(base)
    options = tiny_options(
        base_model=str(base),
        adapter="lora",
        lora_target_linear=True,
        tokens=["<tool>"],
        peft_trainable_token_indices=trained,
        max_steps=2,
    )
    if not tied and isinstance(trained, list):
        with pytest.raises(ModelError, match="embeddings of the new tokens <tool>") as caught:
            api.train(options)
        assert "peft_trainable_token_indices: {embed_tokens: [500], lm_head: [500]}" in str(
            caught.value.hint
        )
        return
    run = train("new token", options, base)
    plain = AutoModelForCausalLM.from_pretrained(base)
    plain.resize_token_embeddings(501, mean_resizing=False)
    got = PeftModel.from_pretrained(plain, str(run.folder)).eval()
    assert apart(logits(got), logits(run.model)) < 1e-5
    largest = max(t.numel() for t in load_file(run.folder / "adapter_model.safetensors").values())
    assert largest < 500 * 64, "no embeddings as a whole"
    report = api.merge(options, out=tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(report.folder)
    assert apart(logits(merged), logits(run.model)) < 1e-4
    assert merged.config.tie_word_embeddings == tied


@pytest.mark.parametrize("start", ["pissa", "loftq"])
def test_weights_that_are_stored_transposed(
    start: str, tiny_options: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    ends: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2}
    model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=512, **ends))
    model.save_pretrained(tmp_path / "gpt2")
    build_tokenizer().save_pretrained(tmp_path / "gpt2")
    options = tiny_options(
        base_model=str(tmp_path / "gpt2"),
        adapter="lora",
        lora_target_linear=True,
        peft_init_lora_weights=start,
        max_steps=2,
        learning_rate=0.02,
    )
    run = train(start, options, tmp_path / "gpt2")
    settings = json.loads((run.folder / "adapter_config.json").read_text())
    assert settings["fan_in_fan_out"] is True
    got = logits(plain_peft(Path(settings["base_model_name_or_path"]), run.folder))
    assert apart(got, logits(run.model)) < 1e-5
    report = api.merge(options, out=tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(report.folder)
    assert apart(logits(merged), logits(run.model)) < 1e-4


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"adapter": "llama-adapter", "peft_adapter": {"len": 7}}, "prompts of 7 tokens"),
        ({"unfrozen_parameters": ["model.norm"]}, "only weights named model.norm"),
        (
            {"adapter": "lora", "peft_use_dora": True, "peft_init_lora_weights": "pissa"},
            "lora r 8, alpha 16, DoRA, pissa",
        ),
    ],
    ids=["prompts", "some weights", "variants"],
)
def test_the_table_before_the_start_says_what_is_trained(
    method: dict[str, Any],
    said: str,
    tiny_options: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    api.train(tiny_options(**method, max_steps=1))
    assert said in capsys.readouterr().err
