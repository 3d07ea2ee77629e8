"""Nemotron 3 and 4."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Nemotron",
    model_types=("nemotron",),
    linear=("down_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("nvidia/Minitron-4B-Base",),
)
