"""Falcon: with rotary positions, with ALiBi (Falcon-RW), and with groups of heads (40B, 180B)."""

from types import MappingProxyType

from axolotl.architectures import STRETCHES, Architecture, Rope

FACTS = Architecture(
    title="Falcon",
    model_types=("falcon",),
    linear=("dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"),
    embeddings=("word_embeddings", "lm_head"),
    isolation="patched",
    rope=Rope(STRETCHES),
    checkpoints=("tiiuae/falcon-7b", "tiiuae/falcon-rw-1b", "tiiuae/falcon-40b"),
    kinds=MappingProxyType(
        {
            "alibi": {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True},
            "grouped": {"new_decoder_architecture": True, "num_kv_heads": 8},
        }
    ),
)
