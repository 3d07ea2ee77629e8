"""SmolLM 3: some layers have no positions."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="SmolLM 3",
    model_types=("smollm3",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("HuggingFaceTB/SmolLM3-3B",),
)
