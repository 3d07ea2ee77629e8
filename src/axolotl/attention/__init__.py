"""Attention backends: one file each, named as in `attn_implementation`.

A backend file holds

    why_not(need: Need) -> str | None    the reason why it cannot serve this model, None if it can
    register() -> None                   makes the name known to transformers; may do nothing

`ORDER` is the order of preference where the file names none. What a class says of itself decides
only what is tried: whether the documents of a row stay apart is seen on the loaded model
(`axolotl.models.isolation`).
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
        chunked: Whether some of its layers see no further than a fixed chunk of the row.
    """

    model_type: str
    interface: bool
    sdpa: bool
    softcap: bool = False
    chunked: bool = False


@dataclass(frozen=True, slots=True)
class Candidates:
    """The backends that may be tried on a model.

    Args:
        names: Best first; never empty.
        reasons: Why better ones are not among them, such as `sdpa: …`.
    """

    names: tuple[str, ...]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The backend taken.

    Args:
        name: Its name.
        leak: Why documents may not share a row with it; None if they may.
        reason: Why a better one was not taken; empty where none was.
    """

    name: str
    leak: str | None = None
    reason: str = ""

    @property
    def isolates(self) -> bool:
        """Whether several documents may share a row."""
        return self.leak is None


def candidates(requested: str | None, need: Need, *, where: str | None = None) -> Candidates:
    """The backend that the file names, else those of `ORDER` that may serve the model.

    All of them are registered with transformers.

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
            hint = f"leave it out: {candidates(None, need).names[0]} is tried by itself"
            raise ConfigError("attn_implementation", reason, where=where, hint=hint)
        backend.register()
        return Candidates((requested,))
    names: list[str] = []
    reasons: list[str] = []
    for name in ORDER:
        backend = load(package, name)
        reason = backend.why_not(need)
        if reason is None:
            backend.register()
            names.append(name)
        elif not names:
            reasons.append(f"{name}: {reason}")
    return Candidates(tuple(names), tuple(reasons))
