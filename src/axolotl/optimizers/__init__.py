"""What is known of every optimizer before anything is loaded. Pure Python; one file for each family.

A file holds `OPTIMIZERS`: name in the YAML file → `Facts`. What builds them has the same name in
`axolotl.training.optimizers`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from axolotl.errors import ConfigError, ConfigErrors, UnknownName
from axolotl.registry import available as files
from axolotl.registry import load, nearest

OLD_OPTIMIZERS = {"adamw_hf": "adamw_torch", "adamw_apex_fused": "adamw_torch_fused"}
"""Names that transformers has dropped → the same method by its present name."""
ADAM = frozenset(["adam_beta1", "adam_beta2", "adam_epsilon"])
_ARGS = "optim_args"
_USUAL = "plain"
_FORMS = 3
"""Of a method that comes in as many forms, all are named to who wrote the bare method."""
_OF_THE_FILE = {
    "lr": "learning_rate",
    "betas": "adam_beta1",
    "beta1": "adam_beta1",
    "beta2": "adam_beta2",
    "beta3": "adam_beta3",
    "eps": "adam_epsilon",
    "eps2": "adam_epsilon2",
}
"""Names that optimizers have for options of the file."""


class OptimizerOptions(BaseModel):
    """What `optim_args` may hold; this one: nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Facts:
    """What is known of an optimizer.

    Args:
        takes: Options of the file that it has a use for, besides rate, decay and clipping.
        options: What `optim_args` may hold.
        package: The module that it needs and that may be missing.
        extra: The extra of the project that brings that.
        refused: Why it cannot be right here; empty for one that trains.
        instead: What to write instead, where it is refused.
        projects: Whether it projects the gradients of `optim_target_modules`.
        averages: Whether the weights that it trains at are not those that are to be used.
        kept: Settings of its groups that are part of its state, and not of the file.
        family: The file that it stands in; filled in.
    """

    takes: frozenset[str] = frozenset()
    options: type[OptimizerOptions] = OptimizerOptions
    package: str = ""
    extra: str = ""
    refused: str = ""
    instead: str = "optimizer: adamw_torch"
    projects: bool = False
    averages: bool = False
    kept: frozenset[str] = frozenset()
    family: str = field(default="", compare=False)


@cache
def all_facts() -> Mapping[str, Facts]:
    """The facts of every optimizer, by its name; refused ones too."""
    return {name: facts for family in files(__name__) for name, facts in _rows(family).items()}


@cache
def _rows(family: str) -> Mapping[str, Facts]:
    rows: Mapping[str, Facts] = load(__name__, family).OPTIMIZERS
    return {name: replace(facts, family=family) for name, facts in rows.items()}


def names() -> list[str]:
    """Optimizers that train, where their packages are, sorted."""
    return sorted(name for name, facts in all_facts().items() if not facts.refused)


def facts_of(name: str) -> Facts:
    """The facts of an optimizer; an old name stands for the present one.

    Raises:
        UnknownName: there is none of that name; names the nearest that trains.
    """
    present = OLD_OPTIMIZERS.get(name, name)
    # The others need not be read for the usual ones.
    for family in (_USUAL, *files(__name__)):
        if facts := _rows(family).get(present):
            return facts
    guesses = " or ".join(f"'{guess}'" for guess in _meant(name))
    hint = f"did you mean {guesses}? " if guesses else ""
    raise UnknownName(
        f"there is no optimizer '{name}'", hint=f"{hint}Available: {', '.join(names())}"
    )


def _meant(name: str) -> list[str]:
    """What an unknown name may have been meant to be; never one that would be refused in turn.

    >>> _meant("lion"), _meant("sgdd"), _meant("xyz")
    (['lion_32bit', 'lion_8bit'], ['sgd'], [])
    """
    forms = [known for known in names() if known.startswith(f"{name}_")]
    if 1 < len(forms) <= _FORMS:
        return forms
    guess = nearest(name, [*names(), *OLD_OPTIMIZERS])
    return [guess] if guess else []


def packages() -> list[str]:
    """The modules that optimizers need and that may be missing."""
    return sorted({facts.package for facts in all_facts().values() if facts.package})


def why_not(name: str, *, missing: Collection[str]) -> str | None:
    """Why an optimizer does not run on a machine; None where it does.

    Args:
        name: The optimizer.
        missing: Modules that are not installed.
    """
    facts = facts_of(name)
    if facts.refused:
        return facts.refused
    if facts.package in missing:
        return f"it needs the package '{facts.package}', which is not installed"
    return None


def available() -> dict[str, str | None]:
    """Every optimizer → None where it runs on this machine, or why it does not.

    >>> available()["adamw_torch"] is None, available()["adamw_torch_xla"] is None
    (True, False)
    """
    missing = [name for name in packages() if find_spec(name) is None]
    return {name: why_not(name, missing=missing) for name in sorted(all_facts())}


def fill_options(name: str, given: str | Mapping[str, Any] | None) -> OptimizerOptions:
    """The further options of an optimizer.

    Args:
        name: The optimizer.
        given: What `optim_args` says: a mapping, or text such as `rank=64,scale=0.5`.

    Raises:
        ConfigErrors: what is unknown or out of bounds, by its key.
        UnknownName: there is no such optimizer.
    """
    facts = facts_of(name)
    values = _parse(given) if isinstance(given, str) else dict(given or {})
    try:
        return facts.options(**values)
    except ValidationError as error:
        raise ConfigErrors([_problem(name, facts, d) for d in _details(error)]) from None


def _details(error: ValidationError) -> list[Any]:
    return list(error.errors(include_url=False))


def _parse(text: str) -> dict[str, Any]:
    """Values of the text form.

    >>> _parse("rank=64, proj=svd")
    {'rank': '64', 'proj': 'svd'}
    """
    values: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip():
            what = f"{_ARGS}: '{part}' is not of the form name=value"
            raise ConfigErrors([ConfigError(_ARGS, what, hint="write `optim_args: {name: value}`")])
        values[key.strip()] = value.strip()
    return values


def _problem(name: str, facts: Facts, detail: Any) -> ConfigError:
    option = ".".join(map(str, detail["loc"]))
    key = f"{_ARGS}.{option}" if option else _ARGS
    known = list(facts.options.model_fields)
    if detail["type"] != "extra_forbidden":
        message = str(detail["msg"]).removeprefix("Value error, ")
        return ConfigError(key, f"{key}: {message}, got {detail['input']!r}")
    guess = nearest(option, known)
    there_are = f"it has: {', '.join(known)}" if known else "it has none besides those of the file"
    of_the_file = _OF_THE_FILE.get(option, option)
    if of_the_file in {*facts.takes, "learning_rate", "weight_decay", "max_grad_norm"}:
        hint = f"write `{of_the_file}: …`, which is an option of the file"
    else:
        hint = f"did you mean '{guess}'?" if guess else there_are
    return ConfigError(key, f"{key}: {name} has no option '{option}'", hint=hint)
