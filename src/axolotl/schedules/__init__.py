"""Courses of the learning rate: one file each, named as in `lr_scheduler`. Pure Python.

A schedule says by what `learning_rate` is multiplied at a step. It knows nothing of optimizers.

What can be set of it stands in its `Options`. A field that is named as an option of the file, such as
`lr_div_factor` or `learning_rate`, has that option's value; `lr_scheduler_kwargs` holds the others.

Some follow a loss instead of the steps: they have a `Course` besides, which is told every loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol, cast

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


FollowedLoss = Literal["eval_loss", "loss"]
"""The held-out loss, told after every evaluation, or that of the log lines."""


class Course(Protocol):
    """A learning rate that follows a loss.

    Attributes:
        rate: The learning rate now.
    """

    rate: float

    def told(self, loss: float) -> None:
        """Take note of a loss."""
        ...

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, as JSON can hold it."""
        ...

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        ...


class Following(Schedule, Protocol):
    """What a file of this folder contains whose schedule follows a loss; its `factor` is the warm-up.

    Attributes:
        FOLLOWS: The losses that it can follow, the one that it prefers first.
    """

    FOLLOWS: tuple[FollowedLoss, ...]

    def Course(self, options: Any) -> Course:
        """A new course."""
        ...


def as_following(schedule: Schedule) -> Following | None:
    """The same schedule, if it follows a loss."""
    return cast(Following, schedule) if hasattr(schedule, "FOLLOWS") else None


def followed_loss(schedule: Schedule, *, evaluates: bool) -> FollowedLoss | None:
    """The loss that a schedule follows; None for one that follows the steps alone.

    Args:
        schedule: The file of this folder.
        evaluates: Whether there are evaluations.

    Raises:
        ConfigError: it follows the held-out loss, and there are no evaluations.
    """
    following = as_following(schedule)
    if following is None:
        return None
    if evaluates:
        return following.FOLLOWS[0]
    if "loss" in following.FOLLOWS:
        return "loss"
    raise ConfigError(
        "lr_scheduler",
        f"lr_scheduler: {_name(schedule)} follows the held-out loss, and nothing is evaluated",
        hint="hold rows out and evaluate: `val_set_size: 0.05` and `eval_steps: 50`, or choose "
        "another schedule",
    )


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


def _name(schedule: Schedule) -> str:
    return schedule.__name__.rpartition(".")[2]


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
        if not name:
            message = detail["msg"].removeprefix("Value error, ")
            yield ConfigError(_KWARGS, f"{_KWARGS}: {_name(schedule)} {message}", hint=there_are)
        elif detail["type"] == "extra_forbidden":
            guess = nearest(name, known)
            yield ConfigError(
                key,
                f"{key}: {_name(schedule)} has no option '{name}'",
                hint=f"did you mean '{guess}'?" if guess else there_are,
            )
        else:
            message = detail["msg"].removeprefix("Value error, ")
            yield ConfigError(key, f"{key}: {message}, got {detail['input']!r}")
