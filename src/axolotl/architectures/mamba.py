"""Mamba 1 and 2: no attention."""

from types import MappingProxyType

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="Mamba",
    model_types=("mamba", "mamba2"),
    linear=("dt_proj", "in_proj", "out_proj", "x_proj"),
    embeddings=("embeddings", "lm_head"),
    read_past=("dt_proj", "out_proj", "x_proj"),
    isolation="none",
    rope="it has no rotary positions: its state is carried from token to token",
    refuses=MappingProxyType(
        {"sample_packing": "a state runs through the row, from one document into the next"}
    ),
    checkpoints=("state-spaces/mamba-2.8b-hf", "mistralai/Mamba-Codestral-7B-v0.1"),
)
