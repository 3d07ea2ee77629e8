"""MPT, and what has its code: Replit's."""

from types import MappingProxyType

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="MPT",
    model_types=("mpt",),
    linear=("Wqkv", "down_proj", "out_proj", "up_proj"),
    embeddings=("wte", "lm_head"),
    isolation="patched",
    rope="it has no rotary positions: ALiBi takes the distance from the scores",
    checkpoints=("mosaicml/mpt-7b", "replit/replit-code-v1-3b"),
    kinds=MappingProxyType({"clipped": {"attn_config": {"clip_qkv": 6.0}}}),
)
