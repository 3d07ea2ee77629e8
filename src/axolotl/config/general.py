"""How the file itself is treated."""

from __future__ import annotations

from pydantic import Field

from axolotl.config.section import Section


class GeneralSection(Section):
    """How the file itself is treated."""

    strict: bool = Field(
        default=False,
        description="Let `--key value` change only keys that are written in the file; others are "
        "ignored with a warning.",
    )
    debug: bool = Field(
        default=False,
        description="Print some samples after preparing, token by token with their labels.",
    )
