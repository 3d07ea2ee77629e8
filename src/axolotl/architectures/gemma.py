"""Gemma 1."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Gemma",
    model_types=("gemma",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("google/gemma-7b",),
)
