"""Gemma 2: scores and logits capped, every second layer with a window."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Gemma 2",
    model_types=("gemma2",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("google/gemma-2-9b",),
)
