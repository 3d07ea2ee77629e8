"""The configurations that a release of October 2023 came with: as they were, and in today's form.

`tests/fixtures/examples_2023` has them rebuilt in the form of their time, `examples` what `migrate`
makes of them. Both mean the same, and what that is stands in a table here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from axolotl.config import load_config
from axolotl.resolve import Resolved, examine
from axolotl.resolve.machine import Machine

ROOT = Path(__file__).resolve().parents[1]
OLD = ROOT / "tests" / "fixtures" / "examples_2023"
CPU = Machine(gpu=False, bf16=False)
OLD_GPU = Machine(gpu=True, bf16=False)
GPU = Machine(gpu=True, bf16=True)


class Means(NamedTuple):
    """What a configuration comes to.

    Args:
        base: Base model.
        method: What is trained, and the form of the frozen weights.
        targets: Layers that the adapter is put on.
        tokens: `sequence_len`, and whether rows are packed.
        batch: `micro_batch_size` and `gradient_accumulation_steps`.
        epochs: Passes over the data.
        optimizer: Its name.
        rate: Highest learning rate.
        steps: `eval_steps` and `save_steps`.
    """

    base: str
    method: str
    targets: str
    tokens: tuple[int, bool]
    batch: tuple[int, int]
    epochs: int
    optimizer: str
    rate: float
    steps: tuple[float | None, float | None]


LINEAR, SEVEN = "all linear", "gate_proj,down_proj,up_proj,q_proj,v_proj,k_proj,o_proj"
TORCH, BNB = "adamw_torch", "adamw_bnb_8bit"
PAGED, PAGED_8BIT = "paged_adamw_32bit", "paged_adamw_8bit"
MEANS = {
    "cerebras/btlm-ft": Means("cerebras/btlm-3b-8k-base", "full", "", (2048, False), (1, 1), 1, TORCH, 8.5e-5, (None, None)),
    "cerebras/qlora": Means("cerebras/Cerebras-GPT-1.3B", "qlora 4bit", "c_fc,c_attn,c_proj", (2048, True), (4, 1), 2, PAGED_8BIT, 2e-4, (20, None)),
    **{
        f"code-llama/{size}/{name}": Means(f"codellama/CodeLlama-{size}-hf", method, LINEAR, (4096, True), (2, 4), 3, optimizer, 2e-4, (20, None))
        for size in ("7b", "13b", "34b")
        for name, method, optimizer in (("lora", "lora 8bit", BNB), ("qlora", "qlora 4bit", PAGED))
    },
    "falcon/config-7b": Means("tiiuae/falcon-7b", "full", "", (2048, False), (1, 2), 4, BNB, 3e-5, (5, 43)),
    "falcon/config-7b-lora": Means("tiiuae/falcon-7b", "lora 8bit", LINEAR, (2048, False), (1, 2), 4, BNB, 3e-5, (5, 43)),
    "falcon/config-7b-qlora": Means("tiiuae/falcon-7b", "qlora 4bit", LINEAR, (2048, False), (1, 2), 3, PAGED, 2e-4, (5, 10)),
    "gptj/qlora": Means("EleutherAI/gpt-j-6b", "qlora 4bit", LINEAR, (2048, False), (2, 2), 2, PAGED_8BIT, 1e-4, (20, None)),
    "jeopardy-bot/config": Means("huggyllama/llama-7b", "full", "", (512, False), (1, 1), 3, BNB, 3e-5, (110, 660)),
    "llama-2/gptq-lora": Means("TheBloke/Llama-2-7B-GPTQ", "lora gptq", "k_proj,o_proj,q_proj,v_proj", (4096, False), (1, 1), 3, TORCH, 1.7e-5, (None, None)),
    "llama-2/lora": Means("NousResearch/Llama-2-7b-hf", "lora 8bit", LINEAR, (4096, True), (2, 4), 3, BNB, 2e-4, (20, None)),
    "llama-2/qlora": Means("NousResearch/Llama-2-7b-hf", "qlora 4bit", LINEAR, (4096, True), (2, 4), 3, PAGED, 2e-4, (20, None)),
    "llama-2/relora": Means("NousResearch/Llama-2-7b-hf", "relora 150 qlora 4bit", LINEAR, (4096, True), (4, 4), 3, BNB, 2e-4, (20, 50)),
    "llama-2/tiny-llama": Means("PY007/TinyLlama-1.1B-step-50K-105b", "lora 8bit", LINEAR, (4096, True), (2, 4), 3, BNB, 2e-4, (20, None)),
    "mistral/config": Means("mistralai/Mistral-7B-v0.1", "full", "", (8192, True), (2, 4), 3, BNB, 5e-6, (20, None)),
    "mistral/qlora": Means("mistralai/Mistral-7B-v0.1", "qlora 4bit", f"{LINEAR} {SEVEN}", (8192, True), (2, 4), 1, BNB, 2e-4, (20, None)),
    "mpt-7b/config": Means("mosaicml/mpt-7b", "full", "", (2048, False), (1, 1), 3, BNB, 2e-7, (110, 660)),
    "openllama-3b/config": Means("openlm-research/open_llama_3b_v2", "full", "", (1024, True), (1, 1), 4, BNB, 3e-6, (0.05, None)),
    "openllama-3b/lora": Means("openlm-research/open_llama_3b_v2", "lora 8bit", SEVEN, (1024, True), (2, 1), 4, BNB, 2e-4, (0.05, None)),
    "openllama-3b/qlora": Means("openlm-research/open_llama_3b_v2", "qlora 4bit", LINEAR, (1024, True), (2, 1), 4, PAGED, 2e-4, (0.05, None)),
    "phi/phi-ft": Means("microsoft/phi-1_5", "full", "", (2048, True), (1, 1), 4, TORCH, 3e-6, (0.05, None)),
    "phi/phi-qlora": Means("microsoft/phi-1_5", "qlora 4bit", LINEAR, (1024, False), (1, 1), 4, TORCH, 3e-6, (0.05, None)),
    "pythia-12b/config": Means("EleutherAI/pythia-12b-deduped", "full", "", (2048, True), (1, 1), 5, BNB, 3e-5, (None, None)),
    "pythia/lora": Means("EleutherAI/pythia-1.4b-deduped", "lora 8bit", "query_key_value", (512, False), (4, 1), 3, TORCH, 1e-5, (20, None)),
    "redpajama/config-3b": Means("togethercomputer/RedPajama-INCITE-Chat-3B-v1", "full", "", (2048, False), (1, 4), 3, BNB, 2e-7, (110, 660)),
    "replit-3b/config-lora": Means("replit/replit-code-v1-3b", "lora", "Wqkv,mlp_up,mlp_down", (2048, False), (1, 8), 3, TORCH, 1e-5, (50, None)),
    "xgen-7b/xgen-7b-8k-qlora": Means("Salesforce/xgen-7b-8k-base", "qlora 4bit", LINEAR, (8192, False), (1, 1), 3, PAGED, 2e-5, (50, 50)),
}  # fmt: skip

TOKENS_AS_MAPPING = {"jeopardy-bot/config", "mpt-7b/config", "redpajama/config-3b"}
IN_HALF_PRECISION = {"llama-2/gptq-lora", "pythia-12b/config"} | {
    f"openllama-3b/{name}" for name in ("config", "lora", "qlora")
}
FALCON = {f"falcon/config-7b{name}" for name in ("", "-lora", "-qlora")}
REMOTE_CODE = FALCON | {
    "cerebras/btlm-ft",
    "mpt-7b/config",
    "phi/phi-ft",
    "phi/phi-qlora",
    "replit-3b/config-lora",
    "xgen-7b/xgen-7b-8k-qlora",
}
SAID_OF_THE_OLD = {
    "batch-size": {"cerebras/qlora", "falcon/config-7b", "falcon/config-7b-lora", "redpajama/config-3b", "replit-3b/config-lora"},
    "lora-in-8bit": {"replit-3b/config-lora"},
    "old-attention-names": {"pythia-12b/config"},
    "packing-once": {"cerebras/qlora", "pythia-12b/config"},
    "pure-float16": {"openllama-3b/config", "pythia-12b/config"},
    "remote-code": REMOTE_CODE,
    "renamed": {"phi/phi-ft"},
    "tokens-as-mapping": TOKENS_AS_MAPPING,
}  # fmt: skip
"""Rule → the old files of which it says something, on a GPU with bfloat16."""


@cache
def examined(file: Path, machine: Machine = GPU) -> Resolved:
    return examine(load_config(file), machine=machine)


def old(name: str) -> Path:
    return OLD / f"{name}.yml"


def meaning(resolved: Resolved) -> Means:
    adapter, quantised = resolved.adapter, resolved.quantization
    training, relora = resolved.training, resolved.relora.relora_steps
    method = [
        f"relora {relora}" if relora else "",
        adapter.adapter or "full",
        "8bit" if quantised.load_in_8bit else "",
        "4bit" if quantised.load_in_4bit else "",
        "gptq" if quantised.gptq else "",
    ]
    targets = [
        LINEAR if adapter.lora_target_linear else "",
        ",".join(adapter.lora_target_modules or []),
    ]
    assert resolved.schedule.lr_scheduler == "cosine"
    return Means(
        resolved.model.base_model,
        _words(method),
        _words(targets) if adapter.adapter else "",
        (resolved.sequence.sequence_len, resolved.sequence.sample_packing),
        (training.micro_batch_size, training.gradient_accumulation_steps),
        int(training.num_epochs),
        resolved.optimizer.optimizer,
        resolved.optimizer.learning_rate,
        (resolved.evaluation.eval_steps, resolved.saving.save_steps),
    )


def _words(words: Iterable[str]) -> str:
    return " ".join(filter(None, words))


def test_all_are_there() -> None:
    found = {file.relative_to(OLD).with_suffix("").as_posix() for file in OLD.rglob("*.yml")}
    assert found == set(MEANS)
    assert len(MEANS) == 31


@pytest.mark.parametrize("name", MEANS)
def test_an_old_file_means_what_it_meant(name: str) -> None:
    resolved = examined(old(name))
    assert resolved.errors == ()
    assert meaning(resolved) == MEANS[name]


@pytest.mark.parametrize("rule", SAID_OF_THE_OLD)
def test_what_is_said_of_the_old_files(rule: str) -> None:
    said = {name for name in MEANS if any(f.rule == rule for f in examined(old(name)).findings)}
    assert said == SAID_OF_THE_OLD[rule]


def test_nothing_else_is_said_of_the_old_files() -> None:
    said = {f.rule for name in MEANS for f in examined(old(name)).findings if f.level != "info"}
    assert said - {"no-effect", "not-yet"} <= SAID_OF_THE_OLD.keys()


def test_only_bfloat16_is_too_much_for_an_older_gpu() -> None:
    refused = {name: examined(old(name), OLD_GPU).errors for name in MEANS}
    assert {name for name, errors in refused.items() if errors} == set(MEANS) - IN_HALF_PRECISION
    assert {f.key for errors in refused.values() for f in errors} == {"bf16"}


@pytest.mark.parametrize("name", TOKENS_AS_MAPPING)
def test_tokens_as_a_mapping_are_special_tokens(name: str) -> None:
    model = examined(old(name)).model
    assert model.tokens == []
    assert model.special_tokens["eos_token"] in ("</s>", "<|endoftext|>")
