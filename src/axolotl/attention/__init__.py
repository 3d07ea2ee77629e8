"""Attention backends: one file each, named as in `attn_implementation`.

A backend file holds

    why_not(need: Need) -> str | None    the reason why it cannot serve this model, None if it can
    register() -> None                   makes the name known to transformers; may do nothing

and one that does not run everywhere, or is called otherwise in transformers, besides

    why_not_here(place: Place) -> str | None    what the machine lacks for it, None if nothing
    prove_at(head_width: int) -> None           tries it there; needs no more than a moment
    NAME: str                                   its name in transformers

`register` and `prove_at` raise `Unusable` where the package is there and does not work.

`ORDER` is the order of preference where the file names none. Kernels of other packages are not in
it: what happens to be installed does not change what a file computes; it asks for them by name or
by switch. What a class says of itself decides only what is tried: whether the documents of a row
stay apart is seen on the loaded model (`axolotl.models.isolation`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from axolotl.errors import ConfigError
from axolotl.registry import available, load

ORDER = ("per_document", "sdpa", "eager")

KERNEL_PACKAGES = ("flash_attn", "flash_attn_interface", "xformers")
"""What the kernels are in, by the names to import."""

_PACKAGE = "axolotl.attention"
_NEXT = {"flash_attention_3": ("flash_attention_2",)}
"""What is nearest to a backend, where that cannot serve a model."""
_HEAD_WIDTH = 64
"""Width that is tried where a configuration does not say it."""
_LIBRARY = ("sdpa", "eager")
"""Backends that are transformers' own."""


class Unusable(RuntimeError):
    """A kernel that is installed does not do here what it should."""


class Place(Protocol):
    """Where attention is to be computed."""

    @property
    def gpu(self) -> bool:
        """Whether torch finds a GPU."""
        ...

    @property
    def capability(self) -> tuple[int, int] | None:
        """The lowest compute capability of the NVIDIA GPUs; None where it is not known."""
        ...

    @property
    def kernels(self) -> frozenset[str]:
        """Those of `KERNEL_PACKAGES` that are installed."""
        ...


@dataclass(frozen=True, slots=True)
class Need:
    """What a model asks of its attention.

    Args:
        model_type: `model_type` of its configuration, such as `llama`.
        interface: Whether its code calls functions of transformers' `AttentionInterface`.
        sdpa: Whether its code knows torch's scaled-dot-product attention.
        softcap: Whether it caps attention scores by a tanh.
        chunked: Whether some of its layers see no further than a fixed chunk of the row.
        dropout: Whether it drops attention weights while it is trained.
        head_width: Width of a head; 0 where it is not known.
    """

    model_type: str
    interface: bool
    sdpa: bool
    softcap: bool = False
    chunked: bool = False
    dropout: bool = False
    head_width: int = 0


@dataclass(frozen=True, slots=True)
class Candidates:
    """The backends that may be tried on a model.

    Args:
        names: Best first; never empty.
        reasons: Why better ones are not among them, such as `sdpa: …`.
        demanded: Whether the file names the only one, so that nothing may take its place.
        where: Where it names it, for the message.
    """

    names: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    demanded: bool = False
    where: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The backend taken.

    Args:
        name: Its name.
        leak: Why documents may not share a row with it; None if they may.
        reason: Why a better one was not taken; empty where none was.
        one_by_one: Whether its layers take the documents of a row one after another.
    """

    name: str
    leak: str | None = None
    reason: str = ""
    one_by_one: bool = False

    @property
    def isolates(self) -> bool:
        """Whether several documents may share a row."""
        return self.leak is None

    def __str__(self) -> str:
        return f"{self.name}, one document at a time" if self.one_by_one else self.name


def candidates(
    requested: str | None, need: Need, *, where: str | None = None, demanded: bool = True
) -> Candidates:
    """The backend that the file names, else those of `ORDER` that may serve the model.

    All of them are registered with transformers.

    Args:
        requested: Value of `attn_implementation`, or None.
        need: What the model asks.
        where: Where the value was written, for the message.
        demanded: Whether the others may not take its place where it cannot serve the model.

    Raises:
        ConfigError: the named one cannot serve this model.
        UnknownName: there is no backend of that name.
    """
    if requested is not None and demanded:
        if reason := _tried(load(_PACKAGE, requested, where=where), need):
            raise not_served(candidates(None, need).names[0], reason, where)
        return Candidates((requested,), demanded=True, where=where)
    wished = () if requested is None else (requested, *_NEXT.get(requested, ()))
    names: list[str] = []
    reasons: list[str] = []
    for name in (*wished, *(other for other in ORDER if other not in wished)):
        reason = _tried(load(_PACKAGE, name, where=where), need)
        if reason is None:
            names.append(name)
        elif not names:
            reasons.append(f"{name}: {reason}")
    return Candidates(tuple(names), tuple(reasons))


def not_served(instead: str, reason: str, where: str | None) -> ConfigError:
    """The backend that the file names cannot serve the model; another is tried without it."""
    hint = f"leave it out: {instead} is tried by itself"
    return ConfigError("attn_implementation", reason, where=where, hint=hint)


def why_not_here(name: str, place: Place) -> str | None:
    """What a machine lacks for a backend, seen without loading anything; None if nothing.

    Args:
        name: Name of the backend.
        place: The machine.

    Raises:
        UnknownName: there is no backend of that name.
    """
    ask = getattr(load(_PACKAGE, name), "why_not_here", None)
    return ask(place) if ask else None


def registered_name(name: str) -> str:
    """What transformers calls a backend.

    >>> registered_name("sdpa"), registered_name("flash_attention_2")
    ('sdpa', 'per_document_fa2')
    """
    return getattr(load(_PACKAGE, name), "NAME", name)


def own_functions() -> dict[str, Any]:
    """Functions of ours that transformers knows by now, by their names there."""
    from transformers import AttentionInterface

    ours = {registered_name(name) for name in available(_PACKAGE)} - set(_LIBRARY)
    known = AttentionInterface()
    return {name: known[name] for name in known.valid_keys() if name in ours}


def _tried(backend: Any, need: Need) -> str | None:
    """Why a backend cannot serve a model; where it can, it is registered."""
    if reason := backend.why_not(need):
        return reason
    try:
        backend.register()
        if (prove_at := getattr(backend, "prove_at", None)) is not None:
            prove_at(need.head_width or _HEAD_WIDTH)
    except Unusable as error:
        return str(error)
    return None
