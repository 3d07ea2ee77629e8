"""Keep off the screen what libraries say and users can do nothing about: bars, and some warnings."""

from __future__ import annotations

import logging as loggers
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging


@contextmanager
def no_library_bars() -> Iterator[None]:
    """No bars of transformers while the body runs."""
    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Without what peft warns of while adapters are put on, saved or loaded.

    It still reads a name that transformers has renamed, finds out by itself how each layer stores
    its weights, and saves embeddings where it has to. Patterns are checked by ourselves.
    """
    with warnings.catch_warnings():
        for said in (
            "`is_gradient_checkpointing` is deprecated",
            "fan_in_fan_out is set to",
            "Using Rank-Stabilized LoRA with rank_pattern",
            "Setting `save_embedding_layers` to",
            "The following (rank|alpha)_pattern keys did not match",
        ):
            warnings.filterwarnings("ignore", said)
        yield


@contextmanager
def no_library_lines() -> Iterator[None]:
    """No remarks of transformers while the body runs; errors are written."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


@contextmanager
def without_lines(logger: str, beginning: str) -> Iterator[None]:
    """Without the lines of a library that begin so, while the body runs.

    Args:
        logger: Name of what writes them.
        beginning: How they begin.
    """

    def kept(record: loggers.LogRecord) -> bool:
        return not record.getMessage().startswith(beginning)

    source = loggers.getLogger(logger)
    source.addFilter(kept)
    try:
        yield
    finally:
        source.removeFilter(kept)
