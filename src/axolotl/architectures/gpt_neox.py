"""GPT-NeoX, and what has its code: Pythia, RedPajama, StableLM alpha, Dolly."""

from types import MappingProxyType

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="GPT-NeoX",
    model_types=("gpt_neox",),
    linear=("dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"),
    embeddings=("embed_in", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=(
        "EleutherAI/pythia-1.4b",
        "togethercomputer/RedPajama-INCITE-Base-3B-v1",
        "stabilityai/stablelm-base-alpha-7b",
    ),
    kinds=MappingProxyType({"serial": {"use_parallel_residual": False}}),
)
