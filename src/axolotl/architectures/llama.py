"""Llama, and what has its code: CodeLlama, OpenLLaMA, TinyLlama, XGen, SmolLM2."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Llama",
    model_types=("llama",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("meta-llama/Llama-2-7b-hf", "codellama/CodeLlama-7b-hf"),
)
