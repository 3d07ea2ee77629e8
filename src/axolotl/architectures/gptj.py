"""GPT-J."""

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="GPT-J",
    model_types=("gptj",),
    linear=("fc_in", "fc_out", "k_proj", "out_proj", "q_proj", "v_proj"),
    embeddings=("wte", "lm_head"),
    rope="its code turns positions by itself and reads no settings for it",
    checkpoints=("EleutherAI/gpt-j-6b",),
)
