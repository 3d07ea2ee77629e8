"""What was read of a tensor, kept while that tensor is in work.

Each layer of a model gets the same positions or the same mask. Reading numbers out of it waits for
the GPU, so it is done for the first layer only.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Found = TypeVar("Found")


class LastRead(Generic[Found]):
    """Reads tensors by a function, and remembers the result of the last one.

    Args:
        read: Maps a tensor to what is wanted of it.
    """

    def __init__(self, read: Callable[[Any], Found]) -> None:
        self._read = read
        self._last: tuple[Any, int, Found] | None = None

    def __call__(self, tensor: Any) -> Found:
        """What `read` gives for a tensor, read anew only for another one, or where it was changed."""
        if tensor.is_inference():  # such tensors do not tell whether they were changed
            return self._read(tensor)
        version, last = tensor._version, self._last
        if last is not None and last[0]() is tensor and last[1] == version:
            return last[2]
        found = self._read(tensor)
        self._last = weakref.ref(tensor), version, found
        return found
