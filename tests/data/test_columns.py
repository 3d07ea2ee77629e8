"""Columns of numbers go to Arrow and back without a copy and without pandas."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from axolotl.data.columns import as_arrow, as_numpy

ALONE = """
import sys
import numpy as np
from axolotl.data.columns import as_arrow, as_numpy
as_numpy(as_arrow(np.arange(3, dtype=np.int32)))
sys.exit("pandas" in sys.modules)
"""


@pytest.mark.parametrize("dtype", [np.int8, np.int32])
@pytest.mark.parametrize("size", [0, 1, 5])
def test_there_and_back(dtype: type, size: int) -> None:
    values = np.arange(size, dtype=dtype)
    array = as_arrow(values)
    assert array.type == pa.array(values).type
    assert array.to_pylist() == values.tolist()
    again = as_numpy(array)
    assert again.dtype == dtype
    assert again.tolist() == values.tolist()
    assert as_numpy(array[1:3]).tolist() == values[1:3].tolist()


def test_what_was_strided_is_laid_out_anew() -> None:
    assert as_arrow(np.arange(10, dtype=np.int32)[::3]).to_pylist() == [0, 3, 6, 9]


def test_pandas_is_not_asked_for() -> None:
    assert subprocess.run([sys.executable, "-c", ALONE], check=False).returncode == 0
