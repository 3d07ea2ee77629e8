"""Attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from axolotl.errors import UnknownName
from axolotl.records import Edit
from axolotl.registry import load
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.later import LATER_ATTENTION, is_later

_ATTENTION = "axolotl.attention"
SWITCHES: Mapping[str, str] = {
    "flash_attention": "flash_attention_2",
    "xformers_attention": "xformers",
    "sdp_attention": "sdpa",
    "flash_optimum": "sdpa",
    "landmark_attention": "landmark",
}
"""Switch → the name in `attn_implementation` that means the same."""


def one_attention(case: Case) -> Iterator[Found]:
    """Attention is computed in one way."""
    asked = {key: SWITCHES[key] for key in case.asked(*SWITCHES)}
    if (name := case.config.attention.attn_implementation) is not None:
        asked["attn_implementation"] = name
    if len(set(asked.values())) > 1:
        key = list(asked)[-1]
        yield Found(
            "error",
            key,
            f"{' and '.join(asked)}: attention can be computed in one way only",
            "keep one of them; none is needed",
        )


def attention_name(case: Case) -> Iterator[Found]:
    """`attn_implementation` is a backend; whether it suits the model is asked of the model later."""
    name = case.config.attention.attn_implementation
    if name is None or is_later(name, LATER_ATTENTION):
        return
    try:
        load(_ATTENTION, name)
    except UnknownName as error:
        what = f"attn_implementation: {error.what}"
        yield Found("error", "attn_implementation", what, error.hint or "")


def old_attention_names(case: Case) -> Iterator[Found]:
    """Switches whose place `attn_implementation` has taken."""
    written = case.config.written
    for key, was in (
        ("flash_optimum", "BetterTransformer is retired; torch's own attention is used"),
        ("sdp_attention", "the old name of torch's own attention"),
    ):
        if not written.get(key):
            continue
        first = "attn_implementation" not in written
        yield Found(
            "warning",
            key,
            f"{key}: {was}",
            "write `attn_implementation: sdpa`",
            (
                Edit("rename", key, "attn_implementation"),
                Edit("set", "attn_implementation", "sdpa"),
            )
            if first
            else (Edit("remove", key),),
        )


def attention_in_its_place(case: Case) -> Iterator[Found]:
    """Kernels that are not to be had are replaced by attention that gives the same."""
    for key in case.asked("flash_attention", "xformers_attention"):
        yield Found(
            "info",
            key,
            f"{key}: attention is computed for each sample alone in plain torch, with the same result",
            "keep it, or leave it out",
        )


TABLE: Table = [
    (one_attention, f"attn_implementation {' '.join(SWITCHES)}"),
    (attention_name, "attn_implementation"),
    (old_attention_names, "flash_optimum sdp_attention"),
    (attention_in_its_place, "flash_attention xformers_attention"),
]
