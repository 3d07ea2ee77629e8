"""The garbage collector and what is loaded once: libraries are some million objects, and no garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_is_left_alone = False


def leave_loaded_alone() -> None:
    """Have the garbage collector pass over all that is there, from now on and in processes forked from this."""
    global _is_left_alone
    gc.collect()
    gc.freeze()
    _is_left_alone = True


@contextmanager
def loaded_left_alone() -> Iterator[None]:
    """Have it pass over all that is there while the body runs.

    Where the caller has seen to it already, it stays as it is.
    """
    # What is frozen is counted one by one, which takes longer than reading a small file.
    if _is_left_alone or gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
