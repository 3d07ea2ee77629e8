"""Useless lines of libraries are left out, and nothing else that they say."""

from __future__ import annotations

import logging

import pytest

from axolotl.core.library_lines import USELESS, leave_out_useless_lines


@pytest.mark.parametrize("name", USELESS)
def test_only_lines_of_that_beginning_are_left_out(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger(name)
    monkeypatch.setattr(logger, "filters", [])
    for upper in ("torch", name):  # torch keeps its lines to handlers of its own
        monkeypatch.setattr(logging.getLogger(upper), "propagate", True)
    leave_out_useless_lines()
    leave_out_useless_lines()
    assert len(logger.filters) == 1
    with caplog.at_level("WARNING", logger=name):
        for beginning in USELESS[name]:
            logger.warning("%s and so on", beginning)
        logger.warning("the weights are damaged")
    assert caplog.messages == ["the weights are damaged"]


def test_what_uses_the_libraries_has_said_so_before_it_imports_them() -> None:
    import axolotl.models
    import axolotl.training  # noqa: F401

    assert all(logging.getLogger(name).filters for name in USELESS)
