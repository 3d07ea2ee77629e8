"""XGLM."""

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="XGLM",
    model_types=("xglm",),
    linear=("fc1", "fc2", "k_proj", "out_proj", "q_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    isolation="patched",
    rope="it has no rotary positions: each has a fixed vector of sines",
    checkpoints=("facebook/xglm-564M",),
)
