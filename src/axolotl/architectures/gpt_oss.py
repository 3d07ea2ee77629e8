"""GPT-OSS: sinks beside the scores, windows, experts."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="GPT-OSS",
    model_types=("gpt_oss",),
    linear=("k_proj", "o_proj", "q_proj", "v_proj"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("openai/gpt-oss-20b",),
)
