"""`ZeroCopyBuffer`: memory that NumPy writes and Arrow reads, in use as long as anybody looks at it."""

import gc

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from arrowstream import ZeroCopyBuffer
from arrowstream.errors import PlanError


def test_numpy_writes_what_arrow_reads_at_the_same_address() -> None:
    memory = ZeroCopyBuffer(64)
    values = memory.array(np.int32, 4, offset=16)
    values[:] = [1, 2, 3, 4]
    data = memory.arrow(16, 16)
    assert values.ctypes.data == data.address == memory.address + 16
    assert not data.is_mutable
    assert pa.Array.from_buffers(pa.int32(), 4, [None, data]).to_pylist() == [1, 2, 3, 4]
    assert (memory.nbytes, memory.address % 64) == (64, 0)


@pytest.mark.usefixtures("own_garbage")
@pytest.mark.untraced
@pytest.mark.parametrize("holder", ["view of a view", "arrow", "polars"])
def test_in_use_as_long_as_anything_made_from_it_lives(holder: str) -> None:
    memory = ZeroCopyBuffer(64)
    assert not memory.in_use
    made = {
        "view of a view": lambda: memory.array("int64", 8)[1:].reshape(1, 7),
        "arrow": lambda: pa.Array.from_buffers(pa.int64(), 8, [None, memory.arrow(0, 64)]).slice(2),
        "polars": lambda: pl.Series(pa.Array.from_buffers(pa.int64(), 8, [None, memory.arrow(0, 64)])).slice(
            1
        ),
    }[holder]()
    gc.collect()
    assert memory.in_use
    del made
    assert not memory.in_use
    second = memory.array("int8", 1)
    assert memory.in_use
    del second
    assert not memory.in_use


def test_what_was_made_outlives_the_buffer() -> None:
    memory = ZeroCopyBuffer(8)
    memory.array("int64", 1)[0] = 7
    column = pa.Array.from_buffers(pa.int64(), 1, [None, memory.arrow(0, 8)])
    del memory
    assert column.to_pylist() == [7]


@pytest.mark.parametrize(("offset", "nbytes"), [(-1, 1), (0, -1), (1, 8), (9, 0)])
def test_no_byte_outside_is_given(offset: int, nbytes: int) -> None:
    with pytest.raises(ValueError, match="of a buffer of 8"):
        ZeroCopyBuffer(8).arrow(offset, nbytes)


def test_sizes() -> None:
    assert ZeroCopyBuffer(0).array("int64", 0).tolist() == []
    with pytest.raises(ValueError, match="bytes 0 to 16 of a buffer of 8"):
        ZeroCopyBuffer(8).array("int64", 2)
    with pytest.raises(PlanError, match="a whole number, at least 0"):
        ZeroCopyBuffer(-1)
