"""OLMo 1 and 2."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="OLMo",
    model_types=("olmo", "olmo2"),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("allenai/OLMo-2-1124-7B",),
)
