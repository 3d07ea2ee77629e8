"""Bloom and BloomZ."""

from axolotl.architectures import Architecture

FACTS = Architecture(
    title="Bloom",
    model_types=("bloom",),
    linear=("dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"),
    embeddings=("word_embeddings", "lm_head"),
    isolation="patched",
    rope="it has no rotary positions: ALiBi takes the distance from the scores",
    checkpoints=("bigscience/bloom-560m",),
)
