"""StarCoder 1 and SantaCoder."""

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="GPT BigCode",
    model_types=("gpt_bigcode",),
    linear=("c_attn", "c_fc", "c_proj"),
    embeddings=("wte", "lm_head"),
    rope="it has no rotary positions: each position has a learnt vector",
    checkpoints=("bigcode/starcoderbase-1b",),
)
