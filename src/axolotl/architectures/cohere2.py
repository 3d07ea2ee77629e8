"""Command R7B and A: layers with a window, and layers without positions."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Cohere 2",
    model_types=("cohere2",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("CohereLabs/c4ai-command-r7b-12-2024",),
)
