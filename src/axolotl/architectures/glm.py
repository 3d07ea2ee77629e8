"""GLM 4."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="GLM",
    model_types=("glm", "glm4"),
    linear=("down_proj", "gate_up_proj", "k_proj", "o_proj", "q_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("zai-org/glm-4-9b-hf",),
)
