"""What all sections of options have in common."""

from __future__ import annotations

from typing import Annotated, TypedDict, cast

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Facts(TypedDict, total=False):
    """What there is to say of an option besides its type, default, bounds and description.

    Args:
        needs: What it needs: another option, a package, a device; words behind "needs".
        implied: What an unset value comes to, where that depends on other options or the data.
        choices: Values that it may take where the type does not say, for editors and hints.
    """

    needs: str
    implied: str
    choices: list[str]


def facts(info: FieldInfo) -> Facts:
    """The facts of an option."""
    extra = info.json_schema_extra
    return cast(Facts, extra) if isinstance(extra, dict) else Facts()


class Section(BaseModel):
    """A group of options: frozen, and no key that it does not know.

    Every field has a description; it is what the reference and the messages say of the option.
    `json_schema_extra` may hold what else there is to say of it, as `Facts`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def _check_count_or_share(value: float) -> float:
    if isinstance(value, float) and value >= 1:
        raise ValueError(
            f"must be a whole number, or a share below 1; got {value} "
            "(a count is written without a decimal point)"
        )
    return value


CountOrShare = Annotated[int | float, AfterValidator(_check_count_or_share)]
"""A whole number, or a share below 1 of all there are."""
