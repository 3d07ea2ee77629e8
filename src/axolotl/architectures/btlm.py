"""BTLM: blocks of GPT-2 with a gated MLP, ALiBi and maximal update scalars; built in `models.native`."""

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="BTLM",
    model_types=("btlm",),
    linear=("c_attn", "c_fc", "c_fc2", "c_proj"),
    embeddings=("wte", "lm_head"),
    rope="it has no rotary positions: ALiBi takes the distance from the scores",
    checkpoints=("cerebras/btlm-3b-8k-base",),
)
