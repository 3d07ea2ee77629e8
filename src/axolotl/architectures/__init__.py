"""Facts about model families: one file each, named after the family.

A family file holds one record:

    FACTS = Architecture(…)

A model is of the family that names its `model_type`; one that no file names goes by the general
rules: what its class says of itself, and what is seen of the loaded model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from axolotl.registry import available, load

_PACKAGE = "axolotl.architectures"


@dataclass(frozen=True, slots=True)
class Rope:
    """How the rotary positions of a family can be stretched.

    Args:
        types: Those of transformers' `rope_type` that take effect.
        per_layer_kind: Whether the settings stand under each kind of attention layer
            (`rope_parameters: {full_attention: …, sliding_attention: …}`).
    """

    types: frozenset[str]
    per_layer_kind: bool = False


STRETCHES = frozenset({"linear", "dynamic", "yarn", "longrope", "llama3"})
"""The ways of stretching that code has which leaves its rotary positions to the library."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is known of a family.

    Args:
        title: Its name in the support table.
        model_types: `model_type` of the configurations that belong to it.
        linear: Last name parts of the linear layers that `lora_target_linear` finds in any of its
            models; experts that are one tensor of three dimensions are none.
        embeddings: Names of the input embeddings and of the output head.
        isolation: Why the documents of a row stay apart: the library's masks follow `position_ids`,
            a patch of `axolotl.models.patches` makes them, or they cannot.
        rope: How rotary positions can be stretched; a sentence where they cannot.
        read_past: Linear layers whose weight the code of the library takes without calling them.
            They get no adapter, which would have no effect, and stay whole in a quantised model.
        refuses: Method or option → why it cannot be used with this family.
        checkpoints: Published models of the family, the best known first.
        kinds: Models of the same `model_type` whose code takes other ways: name → what their
            configuration says otherwise than its class.
    """

    title: str
    model_types: tuple[str, ...]
    linear: tuple[str, ...]
    embeddings: tuple[str, str]
    isolation: Literal["positions", "patched", "none"] = "positions"
    rope: Rope | str = ""
    read_past: tuple[str, ...] = ()
    refuses: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    checkpoints: tuple[str, ...] = ()
    kinds: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))


@cache
def families() -> Mapping[str, Architecture]:
    """All families, by the names of their files."""
    return MappingProxyType({name: load(_PACKAGE, name).FACTS for name in available(_PACKAGE)})


def facts_of(model_type: str) -> Architecture | None:
    """The family of a `model_type`; None where no file names it.

    >>> facts_of("llama").title
    'Llama'
    """
    return next((one for one in families().values() if model_type in one.model_types), None)
