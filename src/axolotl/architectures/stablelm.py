"""StableLM 2 and 3B."""

from types import MappingProxyType

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="StableLM",
    model_types=("stablelm",),
    linear=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("stabilityai/stablelm-3b-4e1t", "stabilityai/stablelm-2-1_6b"),
    kinds=MappingProxyType({"parallel": {"use_parallel_residual": True, "qk_layernorm": True}}),
)
