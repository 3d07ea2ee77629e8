"""Mistral, with the sliding window of its first version or without."""

from types import MappingProxyType

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Mistral",
    model_types=("mistral",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("mistralai/Mistral-7B-v0.1",),
    kinds=MappingProxyType({"whole": {"sliding_window": None}}),
)
