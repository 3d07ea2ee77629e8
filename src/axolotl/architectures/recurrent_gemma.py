"""RecurrentGemma: two layers of a recurrence to one of attention."""

from types import MappingProxyType

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="RecurrentGemma",
    model_types=("recurrent_gemma",),
    linear=(
        "down_proj",
        "gate_proj",
        "k_proj",
        "linear_out",
        "linear_x",
        "linear_y",
        "o_proj",
        "q_proj",
        "up_proj",
        "v_proj",
    ),
    embeddings=("embed_tokens", "lm_head"),
    isolation="none",
    rope="its code takes plain rotary positions alone, and refuses to be built with others",
    refuses=MappingProxyType(
        {"sample_packing": "a state runs through the row, from one document into the next"}
    ),
    checkpoints=("google/recurrentgemma-2b",),
)
