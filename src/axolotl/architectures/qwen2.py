"""Qwen 2 and 2.5."""

from types import MappingProxyType

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Qwen 2",
    model_types=("qwen2",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("Qwen/Qwen2.5-7B", "Qwen/Qwen2-7B"),
    kinds=MappingProxyType(
        {"window": {"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 0}}
    ),
)
