"""Qwen 1.5 and 2 with experts."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Qwen 2 MoE",
    model_types=("qwen2_moe",),
    linear=(
        "down_proj",
        "gate_proj",
        "k_proj",
        "o_proj",
        "q_proj",
        "shared_expert_gate",
        "up_proj",
        "v_proj",
    ),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("Qwen/Qwen1.5-MoE-A2.7B",),
)
