"""Qwen 3."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Qwen 3",
    model_types=("qwen3",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("Qwen/Qwen3-8B",),
)
