"""What each of the configurations of October 2023 comes to, and how today's differ: tables for `test_examples.py`."""

from __future__ import annotations

from typing import NamedTuple


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


class Mend(NamedTuple):
    """A line of a configuration of 2023 that today's does not take over as it is.

    Args:
        was: The line as `axolotl migrate` writes it, without a comment behind it; or a whole comment.
        now: What stands there today, several lines perhaps; nothing where the line is left out.
        options: What has another value because of it.
        why: The reason.
    """

    was: str
    now: str
    options: tuple[str, ...]
    why: str


def _no_code(why: str) -> Mend:
    return Mend("trust_remote_code: true", "", ("trust_remote_code",), why)


def _pinned(commit: str) -> Mend:
    line = "trust_remote_code: true"
    why = "no class here does it, and code that is pinned is the code that was read"
    return Mend(line, f"{line}\nmodel_revision: {commit}", ("model_revision",), why)


def _gone(comment: str) -> Mend:
    return Mend(comment, "", (), "a comment on what is mended")


IN_TRANSFORMERS = _no_code("transformers has classes for it now")
FALCON = [IN_TRANSFORMERS, _gone("# the code lies beside the weights")]
AUTO = Mend("bf16: false", "bf16: auto", ("bf16",), "right on each kind of machine")
SCALED = Mend("fp16: true", "fp16:", ("fp16",), "`bf16: auto` turns it on where it is needed")
MENDS: dict[str, list[Mend]] = {
    "cerebras/btlm-ft": [
        _no_code("axolotl has classes for it"),
        _gone("# BTLM brings its own modelling code; look at it before you let it run."),
    ],
    "falcon/config-7b": FALCON,
    "falcon/config-7b-lora": FALCON,
    "falcon/config-7b-qlora": FALCON,
    "mpt-7b/config": [IN_TRANSFORMERS, _gone("# MPT's classes come with its weights")],
    "phi/phi-ft": [IN_TRANSFORMERS, _gone("# The class is one that understands packed rows.")],
    "phi/phi-qlora": [IN_TRANSFORMERS],
    "replit-3b/config-lora": [
        _pinned("cc0a4f17a8d72b71d62ea53cb0e23e4dac352067"),
        _gone("# LoRA on a model for code; its modelling code comes from the hub."),
    ],
    "xgen-7b/xgen-7b-8k-qlora": [
        _pinned("3987e094377fae577bba039af1b300ee8086f9e1"),
        _gone("# the tokenizer is its own"),
    ],
    "openllama-3b/config": [
        Mend("float16: true", "", ("float16",), "Adam's eps is 0 in float16: losses become no numbers"),
        AUTO,
        Mend("fp16: false", "fp16:", (), "left to `bf16: auto`"),
    ],
    "openllama-3b/lora": [AUTO, SCALED, _gone("# For GPUs without bfloat16.")],
    "openllama-3b/qlora": [
        AUTO,
        SCALED,
        _gone("# For GPUs without bfloat16, and with little memory."),
    ],
    "pythia-12b/config": [
        Mend("float16: true", "bfloat16: true", ("float16", "bfloat16"), "as small, and it trains"),
    ],
}  # fmt: skip
"""Example → what is mended in it; all else is as `migrate` writes it, but for comments that were added."""
