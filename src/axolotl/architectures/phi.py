"""Phi 1, 1.5 and 2."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Phi",
    model_types=("phi",),
    linear=("dense", "fc1", "fc2", "k_proj", "q_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("microsoft/phi-1_5", "microsoft/phi-2"),
)
