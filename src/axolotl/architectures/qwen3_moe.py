"""Qwen 3 with experts."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Qwen 3 MoE",
    model_types=("qwen3_moe",),
    linear=("k_proj", "o_proj", "q_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("Qwen/Qwen3-30B-A3B",),
)
