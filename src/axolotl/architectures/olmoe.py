"""OLMoE: OLMo with experts."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="OLMoE",
    model_types=("olmoe",),
    linear=("k_proj", "o_proj", "q_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("allenai/OLMoE-1B-7B-0924",),
)
