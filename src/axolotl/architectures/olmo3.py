"""OLMo 3."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="OLMo 3",
    model_types=("olmo3",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES, per_layer_kind=True),
    checkpoints=("allenai/Olmo-3-1025-7B",),
)
