"""OPT."""

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="OPT",
    model_types=("opt",),
    linear=("fc1", "fc2", "k_proj", "out_proj", "q_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope="it has no rotary positions: each position has a learnt vector",
    checkpoints=("facebook/opt-1.3b",),
)
