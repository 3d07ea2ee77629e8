"""Chat templates."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.config.sources import DatasetSource
from axolotl.resolve.case import Case, Found, Table

TYPE = "chat_template"
_TEMPLATE = ("chat_template", "chat_template_jinja")


def chat_template_for_nothing(case: Case) -> Iterator[Found]:
    """What is said of chat templates has a data set that it is for."""
    data = case.config.data
    entries = [one for one in (*data.datasets, *data.test_datasets) if _is_chat(one)]
    for key in case.asked(*_TEMPLATE, "chat_template_kwargs"):
        if not entries:
            yield Found(
                "warning",
                key,
                f"{key} has no effect: no data set has `type: {TYPE}`",
                f"remove it, or write `type: {TYPE}`",
            )
        elif key in _TEMPLATE and all(_has_its_own(entry) for entry in entries):
            yield Found(
                "warning",
                key,
                f"{key} has no effect: every data set with `type: {TYPE}` has a template of its own",
                "remove it, or those of the data sets",
            )


def _is_chat(entry: DatasetSource) -> bool:
    return entry.type == TYPE


def _has_its_own(entry: DatasetSource) -> bool:
    return any(getattr(entry, name) is not None for name in _TEMPLATE)


TABLE: Table = [
    (
        chat_template_for_nothing,
        "chat_template chat_template_jinja chat_template_kwargs datasets test_datasets",
    ),
]
