"""GPT-Neo: every second layer sees a window."""

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="GPT-Neo",
    model_types=("gpt_neo",),
    linear=("c_fc", "c_proj", "k_proj", "out_proj", "q_proj", "v_proj"),
    embeddings=("wte", "lm_head"),
    rope="it has no rotary positions: each position has a learnt vector",
    checkpoints=("EleutherAI/gpt-neo-1.3B",),
)
