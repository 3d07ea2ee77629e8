"""Block by block, a model in half precision is computed and merged as it would be in fp32."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from axolotl.artifacts.computing import computing_in_fp32
from axolotl.artifacts.fold import blocks, in_fp32, plain_weights, tied_after
from axolotl.artifacts.logits import compare, logits_of
from axolotl.artifacts.merged_weights import MergedWeights
from axolotl.artifacts.shards import ShardFiles
from axolotl.models.quiet import no_library_bars
from axolotl.models.tiny import tiny_model
from tests.artifacts.made import random_adapter
from tests.conftest import build_llama

ROWS = [list(range(5, 25)), list(range(40, 47))]
KINDS = ["llama", "gpt2", "bloom", "btlm", "falcon", "gemma3_text", "gpt_neox", "mixtral", "mpt"]


def in_bf16(kind: str, folder: Path) -> Any:
    """A tiny model as it is loaded in bf16: what its code computes in fp32 is not rounded."""
    with no_library_bars():
        tiny_model(kind, seed=0).save_pretrained(folder)
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)


@pytest.mark.parametrize("kind", KINDS)
def test_held_in_bf16_it_is_merged_as_in_fp32(kind: str, tmp_path: Path) -> None:
    adapted = random_adapter(in_bf16(kind, tmp_path / "base"), tmp_path / "adapter")
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    base = adapted.get_base_model()
    before = {name: value.clone() for name, value in plain_weights(base)}
    with computing_in_fp32(base, merged=False):
        reference = list(logits_of(adapted, ROWS))
    with computing_in_fp32(base, merged=True):
        assert compare(reference, logits_of(adapted, ROWS)).relative < 1e-5
    weights = MergedWeights(base, torch.float32)
    (tmp_path / "merged").mkdir()
    with no_library_bars():
        weights.write_settings(tmp_path / "merged")
        files = ShardFiles(tmp_path / "merged", weights.entries, max_bytes=50_000)
        for name, first, rows in weights:
            files.put(name, rows, first)
        files.finish()
        again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    assert compare(reference, logits_of(again.eval(), ROWS)).relative < 1e-5
    after = dict(plain_weights(base))
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {value.dtype for name, value in after.items()} == {v.dtype for v in before.values()}


def test_every_weight_is_in_one_block() -> None:
    model = build_llama(tie_word_embeddings=False)
    adapted = get_peft_model(
        model, LoraConfig(target_modules="all-linear", modules_to_save=["norm"])
    )
    names = [n for path, block in blocks(model) for n, _ in plain_weights(block, path)]
    assert sorted(names) == sorted(build_llama(tie_word_embeddings=False).state_dict())
    layers = [path for path, _ in blocks(model) if "layers" in path]
    assert layers == ["model.layers.0", "model.layers.1"]
    assert adapted.get_base_model() is model


def test_a_fault_in_a_block_leaves_its_weights_as_they_were() -> None:
    model = build_llama()
    adapted: Any = get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
    block = adapted.get_base_model().model.layers[0]
    weight = block.self_attn.q_proj.base_layer.weight
    before = weight.clone()
    torch.nn.init.ones_(block.self_attn.q_proj.lora_B["default"].weight)
    with pytest.raises(KeyboardInterrupt), in_fp32(block, merged=True):
        assert not torch.equal(weight, before)
        raise KeyboardInterrupt
    assert torch.equal(weight, before)
    assert block.self_attn.q_proj.merged_adapters == []


def test_an_adapter_on_one_of_two_tied_matrices_parts_them(tmp_path: Path) -> None:
    model = build_llama(tie_word_embeddings=True)
    with pytest.warns(UserWarning, match="tie_word_embeddings"):
        adapted = get_peft_model(model, LoraConfig(target_modules=["embed_tokens"]))
    base: Any = adapted.get_base_model()
    assert tied_after(base) == {"lm_head.weight": "model.embed_tokens.weight"}, (
        "it does nothing yet"
    )
    layer: Any = base.get_submodule("model.embed_tokens")
    torch.nn.init.ones_(layer.lora_embedding_A["default"])
    torch.nn.init.ones_(layer.lora_embedding_B["default"])
    assert tied_after(base) == {}
    weights = MergedWeights(base, torch.float32)
    written = {name: value.clone() for name, _, value in weights}
    assert base.config.tie_word_embeddings is False
    apart = written["model.embed_tokens.weight"] - written["lm_head.weight"]
    assert apart.abs().min() > 0


MEASURED = """
import sys
from pathlib import Path
from axolotl import api

def kib(name):
    return next(int(x.split()[1]) for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(name))

tiny, large = sys.argv[1:]
api.merge(tiny)  # what libraries import and keep is no part of the model
Path("/proc/self/clear_refs").write_text("5")
before = kib("VmRSS")
report = api.merge(large)
print((kib("VmHWM") - before) * 1024 / report.size_bytes)
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux measures it")
def test_a_merge_takes_little_more_memory_than_the_model(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    """Of a model of 400 MB in a process of its own; some 90 MB are to work in, whatever its size."""
    import yaml

    bf16 = dtype == torch.bfloat16
    sizes = {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 26 if bf16 else 9}
    big = build_llama(**sizes, vocab=50_000, tie_word_embeddings=True).to(dtype)
    files: list[str] = []
    for name, model in (("tiny", build_llama()), ("big", big)):
        folder = tmp_path / name
        model.save_pretrained(folder / "base")
        from tests.conftest import build_tokenizer

        build_tokenizer().save_pretrained(folder / "base")
        random_adapter(model, folder / "out", scale=0.001)
        content = {
            "base_model": str(folder / "base"),
            "adapter": "lora",
            "datasets": [{"path": str(folder / "none.jsonl"), "type": "alpaca"}],
            "output_dir": str(folder / "out"),
            "bfloat16": bf16,
        }
        (folder / "a.yml").write_text(yaml.safe_dump(content))
        files.append(str(folder / "a.yml"))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *files],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert 0.5 < float(done.stdout.split()[-1]) < 1.3
