"""Persimmon."""

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Persimmon",
    model_types=("persimmon",),
    linear=("dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"),
    embeddings=("embed_tokens", "lm_head"),
    rope=Rope(STRETCHES),
    checkpoints=("adept/persimmon-8b-base",),
)
