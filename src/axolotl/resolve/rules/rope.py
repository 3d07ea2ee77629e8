"""Stretching rotary positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from axolotl.architectures import facts_of
from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.local_settings import local_settings

_KEY = "rope_scaling"


@dataclass(frozen=True, slots=True)
class _Kind:
    """Parameters of a kind of scaling.

    Args:
        needs: Name → what to write where it is missing.
        may: Those that have a default.
    """

    needs: Mapping[str, str]
    may: tuple[str, ...] = ("original_max_position_embeddings",)


_FACTOR = {"factor": "`factor: 2` for twice the model's own length"}
_LIST = "the numbers that a search for this model has found, one for each rotation"
KINDS: Mapping[str, _Kind] = {
    "linear": _Kind(_FACTOR),
    "dynamic": _Kind(_FACTOR),
    "yarn": _Kind(
        _FACTOR,
        (
            *("original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow"),
            *("mscale", "mscale_all_dim", "truncate"),
        ),
    ),
    "llama3": _Kind(
        {
            **_FACTOR,
            "low_freq_factor": "`low_freq_factor: 1`, as Llama 3.1 has it",
            "high_freq_factor": "`high_freq_factor: 4`, as Llama 3.1 has it",
        }
    ),
    "longrope": _Kind(
        {**_FACTOR, "short_factor": _LIST, "long_factor": _LIST},
        ("original_max_position_embeddings", "attention_factor"),
    ),
}
"""Kind of scaling → its parameters."""


def rope_parameters(case: Case) -> Iterator[Found]:
    """Each kind of scaling has its own parameters, and needs some of them."""
    if (asked := case.config.attention.rope_scaling) is None:
        return
    kind, given = KINDS[asked.type], asked.model_dump(exclude={"type"}, exclude_none=True)
    for name, example in kind.needs.items():
        if name not in given:
            yield Found(
                "error",
                _KEY,
                f"rope_scaling: `type: {asked.type}` needs {name}",
                f"add {example}",
            )
    for name in given:
        if name in kind.needs or name in kind.may:
            continue
        having = [other for other, its in KINDS.items() if name in its.needs or name in its.may]
        yield Found(
            "error",
            f"{_KEY}.{name}",
            f"rope_scaling.{name}: `type: {asked.type}` has no such parameter",
            f"remove it, or write `type: {' or '.join(having)}`",
            (Edit("remove", f"{_KEY}.{name}"),),
        )


def rope_borders(case: Case) -> Iterator[Found]:
    """Of two borders, one is the lower; of two weights that belong together, both are there."""
    if (asked := case.config.attention.rope_scaling) is None:
        return
    low, high = asked.low_freq_factor, asked.high_freq_factor
    if low is not None and high is not None and low >= high:
        yield Found(
            "error",
            f"{_KEY}.low_freq_factor",
            f"rope_scaling.low_freq_factor: {low:g} is not less than high_freq_factor {high:g}",
            "write 1 and 4, as Llama 3.1 has them",
        )
    slow, fast = asked.beta_slow or 1.0, asked.beta_fast or 32.0
    if slow >= fast:
        key = "beta_slow" if asked.beta_slow is not None else "beta_fast"
        yield Found(
            "error",
            f"{_KEY}.{key}",
            f"rope_scaling.{key}: beta_slow {slow:g} is not less than beta_fast {fast:g}",
            "leave both out: they are 1 and 32 then",
        )
    pair = ("mscale", "mscale_all_dim")
    for one, other in (pair, pair[::-1]):
        if getattr(asked, one) is not None and getattr(asked, other) is None:
            yield Found(
                "error",
                f"{_KEY}.{one}",
                f"rope_scaling.{one}: has no effect without {other}",
                f"add {other}, or write attention_factor in place of both",
            )


def rope_of_the_model(case: Case) -> Iterator[Found]:
    """Not every model has rotary positions, and not every one can be stretched in every way."""
    asked = case.config.attention.rope_scaling
    settings = local_settings(case.config.model)
    if asked is None or settings is None:
        return
    name, model_type = case.config.model.base_model, str(settings.get("model_type"))
    facts = facts_of(model_type)
    attn = settings.get("attn_config")
    alibi = settings.get("alibi") or (isinstance(attn, dict) and cast(Any, attn).get("alibi"))
    if alibi or (facts is not None and isinstance(facts.rope, str) and facts.rope):
        why = "it has ALiBi" if alibi else str(facts.rope if facts else "")
        yield Found(
            "error",
            _KEY,
            f"rope_scaling: '{name}' ({model_type}) cannot be stretched: {why}",
            "remove it, and set sequence_len to what the model was made for",
        )
    elif (
        facts is not None and not isinstance(facts.rope, str) and asked.type not in facts.rope.types
    ):
        yield Found(
            "error",
            f"{_KEY}.type",
            f"rope_scaling.type: {facts.title} models cannot be stretched by '{asked.type}'",
            f"write `type: {' or '.join(sorted(facts.rope.types))}`",
        )


def longer_than_the_model(case: Case) -> Iterator[Found]:
    """Samples longer than what the model was made for, with what stretches it."""
    sequence, asked = case.config.sequence.sequence_len, case.config.attention.rope_scaling
    settings = local_settings(case.config.model)
    if settings is None or not case.trains:
        return
    limit = settings.get("max_position_embeddings") or settings.get("n_positions")
    if not isinstance(limit, int) or limit <= 0 or settings.get("rope_scaling"):
        return  # stretched already, by some formula: told when it is loaded
    stretched = limit
    if asked is not None:
        stretched = (asked.original_max_position_embeddings or limit) * (asked.factor or 1)
    if sequence > stretched:
        what = "the model is made for" if asked is None else "it is stretched to"
        yield Found(
            "warning",
            "sequence_len",
            f"sequence_len: {sequence} is longer than the {stretched:g} tokens that {what}",
            "lower it; or stretch rotary positions with a rope_scaling whose factor is at least "
            f"{sequence / limit:.3g}",
        )


TABLE: Table = [
    (rope_parameters, "rope_scaling"),
    (rope_borders, "rope_scaling"),
    (rope_of_the_model, "rope_scaling base_model base_model_config"),
    (longer_than_the_model, "sequence_len rope_scaling base_model base_model_config"),
]
