"""Courses of the learning rate: one file each, named as in `lr_scheduler`. Pure Python.

A schedule says by what `learning_rate` is multiplied at a step. It knows nothing of optimizers.

What can be set of it stands in its `Options`. A field that is named as an option of the file, such as
`lr_div_factor` or `learning_rate`, has that option's value; `lr_scheduler_kwargs` holds the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from axolotl.errors import ConfigError, ConfigErrors
from axolotl.registry import nearest


class Schedule(Protocol):
    """What a file of this folder contains.

    Attributes:
        Options: Frozen pydantic model of what can be set; refuses keys that it does not know.
    """

    __name__: str
    Options: type[BaseModel]

    def default_warmup(self, total_steps: int) -> int:
        """Steps of rising learning rate where the file says nothing of them.

        Args:
            total_steps: Optimizer steps of the whole training.
        """
        ...

    def factor(self, step: int, total_steps: int, warmup_steps: int, options: Any) -> float:
        """What `learning_rate` is multiplied by.

        Args:
            step: Optimizer steps done, from 0.
            total_steps: Optimizer steps of the whole training.
            warmup_steps: Steps of rising learning rate.
            options: The schedule's `Options`.
        """
        ...


def short_warmup(total_steps: int) -> int:
    """The usual warm-up: 3 % of all steps, at most 100.

    >>> short_warmup(1000), short_warmup(100_000)
    (30, 100)
    """
    return min(int(0.03 * total_steps), 100)


def fill_options(
    schedule: Schedule, *, kwargs: Mapping[str, Any], file: Mapping[str, Any]
) -> BaseModel:
    """The options of a schedule.

    Args:
        schedule: The file of this folder.
        kwargs: What `lr_scheduler_kwargs` says.
        file: Options of the file by their names; one that is None is left to the schedule.

    Raises:
        ConfigErrors: what is unknown or out of bounds, by its key.
    """
    fields = schedule.Options.model_fields
    own = {name: file[name] for name in fields if file.get(name) is not None}
    twice = [
        ConfigError(
            f"{_KWARGS}.{name}",
            f"{_KWARGS}.{name} has no effect: {name} is an option of the file",
            hint=f"write `{name}: {kwargs[name]}`",
        )
        for name in kwargs
        if name in fields and name in file
    ]
    if twice:
        raise ConfigErrors(twice)
    try:
        return schedule.Options(**{**kwargs, **own})
    except ValidationError as error:
        raise ConfigErrors(list(_problems(schedule, error, file))) from None


_KWARGS = "lr_scheduler_kwargs"


def _problems(
    schedule: Schedule, error: ValidationError, file: Mapping[str, Any]
) -> Iterator[ConfigError]:
    fields = schedule.Options.model_fields
    known = [name for name in fields if name not in file]
    there_are = f"it has: {', '.join(known)}" if known else "it has no options"
    for detail in error.errors(include_url=False):
        name = ".".join(map(str, detail["loc"]))
        key = name if name in fields and name in file else f"{_KWARGS}.{name}"
        if detail["type"] == "extra_forbidden":
            guess = nearest(name, known)
            yield ConfigError(
                key,
                f"{key}: {schedule.__name__.rpartition('.')[2]} has no option '{name}'",
                hint=f"did you mean '{guess}'?" if guess else there_are,
            )
        else:
            message = detail["msg"].removeprefix("Value error, ")
            yield ConfigError(key, f"{key}: {message}, got {detail['input']!r}")
