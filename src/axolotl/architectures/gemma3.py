"""Gemma 3, text only."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Gemma 3",
    model_types=("gemma3_text",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES, per_layer_kind=True),
    checkpoints=("google/gemma-3-1b-pt",),
)
