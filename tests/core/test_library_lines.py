"""Useless lines of libraries are left out, and nothing else that they say."""

from __future__ import annotations

import logging

import pytest

from axolotl.core.library_lines import USELESS, leave_out_useless_lines


class Written(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.mark.parametrize("name", USELESS)
def test_only_lines_of_that_beginning_are_left_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger, written = logging.getLogger(name), Written()
    monkeypatch.setattr(logger, "filters", [])
    monkeypatch.setattr(logger, "handlers", [written])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "disabled", False)
    leave_out_useless_lines()
    leave_out_useless_lines()
    assert len(logger.filters) == 1
    for beginning in USELESS[name]:
        logger.error("%s and so on", beginning)
    logger.error("the weights are damaged")
    assert written.lines == ["the weights are damaged"]


def test_what_uses_the_libraries_has_said_so_before_it_imports_them() -> None:
    import axolotl.models
    import axolotl.training  # noqa: F401

    assert all(logging.getLogger(name).filters for name in USELESS)
