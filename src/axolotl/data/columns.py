"""Between NumPy and Arrow without a copy.

`pa.array` and `to_numpy` look for pandas first, and importing it takes half a second.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

_TYPES: dict[str, Any] = {"int8": pa.int8(), "int32": pa.int32()}


def as_arrow(values: np.ndarray) -> Any:
    """An Arrow array of a NumPy array of int8 or int32, shape (N,).

    >>> as_arrow(np.array([3, 4], np.int32)).to_pylist()
    [3, 4]
    """
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(_TYPES[values.dtype.name], values.size, [None, buffer])


def as_numpy(array: Any) -> np.ndarray:
    """A NumPy array of an Arrow array of int8 or int32 without nulls; it cannot be written to.

    >>> as_numpy(as_arrow(np.array([3, 4, 5], np.int32))[1:]).tolist()
    [4, 5]
    """
    assert array.null_count == 0, "nulls in a column of numbers"
    dtype = np.dtype(str(array.type))
    values = np.frombuffer(array.buffers()[1] or b"", dtype)
    return values[array.offset : array.offset + len(array)]
