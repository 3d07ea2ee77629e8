"""Granite 3."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Granite",
    model_types=("granite",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("ibm-granite/granite-3.1-8b-base",),
)
