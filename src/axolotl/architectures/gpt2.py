"""GPT-2, and what has its code: Cerebras-GPT."""

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="GPT-2",
    model_types=("gpt2",),
    linear=("c_attn", "c_fc", "c_proj"),
    embeddings=("wte", "lm_head"),
    rope="it has no rotary positions: each position has a learnt vector",
    checkpoints=("gpt2", "cerebras/Cerebras-GPT-1.3B"),
)
