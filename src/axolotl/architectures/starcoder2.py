"""StarCoder 2."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="StarCoder 2",
    model_types=("starcoder2",),
    linear=("c_fc", "c_proj", "k_proj", "o_proj", "q_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("bigcode/starcoder2-3b",),
)
