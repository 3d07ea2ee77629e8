"""BioGPT."""

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="BioGPT",
    model_types=("biogpt",),
    linear=("fc1", "fc2", "k_proj", "out_proj", "q_proj", "v_proj"),
    embeddings=("embed_tokens", "output_projection"),
    isolation="patched",
    rope="it has no rotary positions: each position has a learnt vector",
    checkpoints=("microsoft/biogpt",),
)
