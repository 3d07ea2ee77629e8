"""Phi 3, 3.5 and 4."""

from axolotl.architectures import Architecture, Rope

FACTS = Architecture(
    title="Phi 3",
    model_types=("phi3",),
    linear=("down_proj", "gate_up_proj", "o_proj", "qkv_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(frozenset({"longrope"})),
    checkpoints=("microsoft/Phi-3-mini-4k-instruct",),
)
