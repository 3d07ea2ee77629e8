"""Tiny models of every family and kind that `axolotl.architectures` names."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor

from axolotl.architectures import families
from axolotl.attention import Choice, candidates
from axolotl.models.backend import attention_need, settle_attention
from axolotl.models.tiny import tiny_model

LENGTHS = [5, 11, 17, 7]
"""Lengths in tokens of the documents of a row; two are longer than a tiny model's window."""

CASES = [
    (name, model_type, kind)
    for name, facts in families().items()
    for model_type in facts.model_types
    for kind in ("", *facts.kinds)
    if facts.model_types[0] == model_type or not kind
]
IDS = ["-".join(part for part in case[1:] if part) for case in CASES]
APART = [case for case in CASES if families()[case[0]].isolation != "none"]
APART_IDS = ["-".join(part for part in case[1:] if part) for case in APART]


def changes_of(name: str, kind: str) -> dict[str, Any]:
    return dict(families()[name].kinds[kind]) if kind else {}


@cache
def _plain(name: str, model_type: str, kind: str) -> Any:
    return tiny_model(model_type, changes=changes_of(name, kind))


def plain(name: str, model_type: str, kind: str = "") -> Any:
    """The model as transformers builds it; each call gives one of its own."""
    return copy.deepcopy(_plain(name, model_type, kind))


def settled(name: str, model_type: str, kind: str = "") -> tuple[Any, Choice]:
    """The model as a training would have it."""
    model = plain(name, model_type, kind)
    return model, settle_attention(model, candidates(None, attention_need(model.config)))


def row(lengths: list[int] = LENGTHS, *, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Ids and positions of a row, int64, (1, T)."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(10, 500, (1, sum(lengths)), generator=generator)
    return ids, torch.cat([torch.arange(n) for n in lengths])[None]
