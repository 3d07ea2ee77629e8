"""Mixtral: Mistral with experts."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Mixtral",
    model_types=("mixtral",),
    linear=("k_proj", "o_proj", "q_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("mistralai/Mixtral-8x7B-v0.1",),
)
