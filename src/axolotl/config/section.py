"""What all sections of options have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Section(BaseModel):
    """A group of options: frozen, and no key that it does not know.

    Every field has a description; it is what the reference and the messages say of the option.
    `json_schema_extra={"later": [...]}` lists values that are known but not supported yet (`a list`
    and `a mapping` stand for all of these), so that the message can say so.
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
