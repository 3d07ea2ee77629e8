"""Attention backends: one file each, named as in `attn_implementation`.

A backend file holds

    why_not(need: Need) -> str | None    the reason why it cannot serve this model, None if it can
    isolates(need: Need) -> bool         whether documents of one flattened row stay apart with it
    register() -> None                   makes the name known to transformers; may do nothing

`ORDER` is the order of preference where the file names none.
"""

from __future__ import annotations

from dataclasses import dataclass

from axolotl.errors import ConfigError
from axolotl.registry import load

ORDER = ("per_document", "sdpa", "eager")


@dataclass(frozen=True, slots=True)
class Need:
    """What a model asks of its attention.

    Args:
        model_type: `model_type` of its configuration, such as `llama`.
        interface: Whether its code calls functions of transformers' `AttentionInterface`.
        sdpa: Whether its code knows torch's scaled-dot-product attention.
        softcap: Whether it caps attention scores by a tanh.
    """

    model_type: str
    interface: bool
    sdpa: bool
    softcap: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The backend taken.

    Args:
        name: Its name.
        isolates: Whether several documents may share a row.
        reason: Why a better one was not taken; empty where none was.
    """

    name: str
    isolates: bool
    reason: str = ""


def choose(requested: str | None, need: Need, *, where: str | None = None) -> Choice:
    """The backend that the file names, else the first of `ORDER` that can serve the model.

    Args:
        requested: Value of `attn_implementation`, or None.
        need: What the model asks.
        where: Where the value was written, for the message.

    Raises:
        ConfigError: the named one cannot serve this model.
        UnknownName: there is no backend of that name.
    """
    package = "axolotl.attention"
    if requested is not None:
        backend = load(package, requested, where=where)
        if reason := backend.why_not(need):
            hint = f"leave it out: {choose(None, need).name} is taken by itself"
            raise ConfigError("attn_implementation", reason, where=where, hint=hint)
        backend.register()
        return Choice(requested, backend.isolates(need))
    reasons: list[str] = []
    for name in ORDER:
        backend = load(package, name)
        reason = backend.why_not(need)
        if reason is None:
            backend.register()
            return Choice(name, backend.isolates(need), "; ".join(reasons))
        reasons.append(f"{name}: {reason}")
    raise ConfigError(
        "attn_implementation", f"no attention serves this model: {'; '.join(reasons)}"
    )
