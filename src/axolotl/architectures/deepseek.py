"""DeepSeek 2 and 3: keys and values from one small vector, experts."""

from types import MappingProxyType

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="DeepSeek",
    model_types=("deepseek_v2", "deepseek_v3"),
    linear=(
        "down_proj",
        "gate_proj",
        "kv_a_proj_with_mqa",
        "kv_b_proj",
        "o_proj",
        "q_a_proj",
        "q_b_proj",
        "q_proj",
        "up_proj",
    ),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("deepseek-ai/DeepSeek-V2-Lite", "deepseek-ai/DeepSeek-V3"),
    kinds=MappingProxyType({"lite": {"q_lora_rank": None}}),
)
