"""Command R and R+."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Cohere",
    model_types=("cohere",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("CohereLabs/c4ai-command-r-v01",),
)
