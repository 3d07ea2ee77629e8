"""Attention and positions that are rebuilt in a Llama: landmarks and xPos."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.attention.landmark import BLOCK_TOKENS, NAME
from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table


def landmarks_in_the_data(case: Case) -> Iterator[Found]:
    """Landmark attention without landmarks is plain attention."""
    attention, length = case.config.attention, case.config.sequence.sequence_len
    if attention.attn_implementation == NAME and not attention.landmark_attention:
        yield Found(
            "error",
            "attn_implementation",
            f"attn_implementation: {NAME} attention needs landmarks in the data",
            "write `landmark_attention: true`, which adds them",
            (
                Edit("rename", "attn_implementation", "landmark_attention"),
                Edit("set", "landmark_attention", True),
            ),
        )
    if attention.landmark_attention and length <= BLOCK_TOKENS:
        yield Found(
            "error",
            "sequence_len",
            f"sequence_len: a landmark stands behind every {BLOCK_TOKENS} tokens, so in samples of "
            f"{length} there is none that anything is read through",
            f"raise it: `sequence_len: {10 * (BLOCK_TOKENS + 1)}`",
        )


def xpos_and_prompts(case: Case) -> Iterator[Found]:
    """Learnt prompts have no positions that their products with a query could fade by."""
    if case.config.attention.xpos_rope and case.config.adapter.adapter == "llama-adapter":
        yield Found(
            "error",
            "xpos_rope",
            "xpos_rope does not go with `adapter: llama-adapter`, whose prompts have no positions",
            "write `adapter: lora`, or remove xpos_rope",
        )


def read_elsewhere(case: Case) -> Iterator[Found]:
    """Other programs read the result as a plain Llama."""
    attention = case.config.attention
    if attention.landmark_attention:
        yield Found(
            "info",
            "landmark_attention",
            "landmark_attention: this tool answers with landmarks; any other program reads the result "
            "as a plain Llama, without them",
            "keep it, and answer with `axolotl inference`",
        )
    if attention.xpos_rope:
        yield Found(
            "warning",
            "xpos_rope",
            "xpos_rope: only this tool reads the result rightly; any other program takes plain rotary "
            "positions, and the answers are worse without a word",
            "keep it only if you answer with `axolotl inference`",
        )


TABLE: Table = [
    (landmarks_in_the_data, "attn_implementation landmark_attention sequence_len"),
    (xpos_and_prompts, "xpos_rope adapter"),
    (read_elsewhere, "landmark_attention xpos_rope"),
]
