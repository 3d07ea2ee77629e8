"""Full fine-tuning of some weights only: those whose names the file gives."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from torch import nn

from axolotl.core.console import note
from axolotl.errors import ModelError

_WHERE = "unfrozen_parameters"


def freeze_others(model: nn.Module, patterns: Sequence[str]) -> None:
    """Let only the weights learn whose names one of `patterns` matches from their beginning.

    Args:
        model: A model without adapter.
        patterns: Regular expressions, such as `model.layers.1[0-9].` or `lm_head.weight`.

    Raises:
        ModelError: a pattern is none, or matches no weight; names near ones.
    """
    # A tied weight is there under both of its names.
    weights = dict(model.named_parameters(remove_duplicate=False))
    trained: dict[str, nn.Parameter] = {}
    for pattern in patterns:
        matches = _compiled(pattern)
        found = {name: weight for name, weight in weights.items() if matches.match(name)}
        if not found:
            raise _nothing(pattern, list(weights))
        trained |= found
    chosen = {id(weight) for weight in trained.values()}
    for weight in weights.values():
        weight.requires_grad_(id(weight) in chosen)
    tied = [n for n, weight in weights.items() if id(weight) in chosen and n not in trained]
    if tied:
        note(f"{_WHERE}: {', '.join(tied)} is trained too, being tied to what is named")


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ModelError(
            f"'{pattern}' is no regular expression: {error}",
            where=_WHERE,
            hint="write the beginning of a weight's name, such as model.layers.0.",
        ) from error


def _nothing(pattern: str, names: list[str]) -> ModelError:
    if re.search(r"\[\d*:\d*\]$", pattern):
        return ModelError(
            f"'{pattern}' names some rows of a weight, and only whole weights can be trained so",
            where=_WHERE,
            hint="leave out the range; single tokens are trained with an adapter and "
            "peft_trainable_token_indices",
        )
    plain = pattern.strip("^$").replace("\\", "")
    close = difflib.get_close_matches(plain, names, n=3, cutoff=0.4)
    within = [name for name in names if plain in name][:3]
    if within:
        hint = f"names are compared from their beginning: {', '.join(within)}"
    else:
        hint = f"the nearest are {', '.join(close or names[:3])}"
    return ModelError(f"no weight of the model is called '{pattern}'", where=_WHERE, hint=hint)
