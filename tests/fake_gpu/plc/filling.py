"""Columns of constants and sequences."""

from typing import Any

import numpy as np
import pyarrow as pa
from pylibcudf import traits

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.scalar import Scalar
from fake_gpu.plc.table import Table
from fake_gpu.types import NUMPY
from fake_gpu.values import array_of


@call
def sequence(size: int, init: Scalar, step: Scalar, stream: Any = None) -> Column:
    """Numbers `init + i * step` (cpp/src/filling/sequence.cu)."""
    dtype = init.type()
    if dtype != step.type():
        raise TypeError("CUDF failure: init and step must be of the same type.")
    if size < 0:
        raise RuntimeError("CUDF failure: size must be >= 0")
    if not traits.is_numeric_not_bool(dtype):
        raise TypeError("CUDF failure: Unsupported sequence scalar type")
    kind = np.dtype(NUMPY[dtype.id()]).type
    with np.errstate(all="ignore"):
        values = kind(init.value.as_py()) + np.arange(size).astype(kind) * kind(step.value.as_py())
    return made(array_of(values, None, dtype), dtype, stream)


@call
def repeat(input_table: Table, count: Column | int, stream: Any = None) -> Table:
    """Repeat each row `count` times."""
    times = count if isinstance(count, int) else count.array().to_numpy(zero_copy_only=False)
    indices = pa.array(np.repeat(np.arange(input_table.num_rows()), times))
    return Table(
        [made(column.array().take(indices), column.type(), stream) for column in input_table.columns()]
    )
