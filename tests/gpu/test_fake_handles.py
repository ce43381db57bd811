"""Scalars, masks and kernels of the fake GPU, with the traps of the packages that make them."""

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from gpu.fake_machines import Bench

pytestmark = [pytest.mark.once, pytest.mark.untraced, pytest.mark.usefixtures("packages")]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_mask_must_say_how_many_nulls_it_has(bench: Bench) -> None:
    column = bench.column([1, 2, 3])
    mask, nulls = bench.plc.transform.bools_to_mask(bench.column([True, False, None]), stream=bench.compute)
    assert nulls == 2
    assert bench.values(column.with_mask(mask, 2)) == [1, None, None]
    assert bench.values(column.with_mask(mask, 2).with_mask(None, 0)) == [1, 2, 3]
    with pytest.raises(AssertionError, match="null count"):
        column.with_mask(mask, 1)


def test_a_scalar_is_made_of_python_values_on_the_stream(bench: Bench) -> None:
    for value, kind in [(1, "INT8"), (2**63 - 1, "INT64"), (1, "FLOAT32"), (True, "BOOL8"), ("ä", "STRING")]:
        assert bench.scalar(value, kind).to_py(stream=bench.compute) == value
    assert bench.scalar(None, "INT64").is_valid(stream=bench.compute) is False
    for wrong, kind, error in [
        (200, "INT8", OverflowError),
        (-1, "UINT8", ValueError),
        (1.5, "INT64", TypeError),
        (1, "TIMESTAMP_MICROSECONDS", TypeError),
        (True, "INT8", TypeError),
        (None, None, ValueError),
    ]:
        with pytest.raises(error):
            bench.scalar(wrong, kind)


def test_scalars_of_moments_are_as_inexact_as_those_of_pylibcudf(bench: Bench) -> None:
    """pylibcudf/scalar.pyx multiplies a float of seconds, and cuts off."""
    start = dt.datetime(2040, 1, 1)
    moments = [start + dt.timedelta(microseconds=number) for number in range(200)]
    found = [bench.scalar(moment, "TIMESTAMP_MICROSECONDS").to_py(stream=bench.compute) for moment in moments]
    late = {moment - other for moment, other in zip(moments, found, strict=True)}
    assert late == {dt.timedelta(0), dt.timedelta(microseconds=1)}


def test_scalars_of_arrow_are_not_for_streams_of_ones_own(bench: Bench) -> None:
    """pylibcudf/scalar.pyx: the dtype is handed to a function that refuses it; the value is read without a stream."""
    one = pa.scalar(1, pa.int64())
    with pytest.raises(NotImplementedError, match="dtype"):
        bench.plc.Scalar.from_arrow(one, dtype=bench.type("INT64"), stream=bench.compute)
    with pytest.raises(AssertionError, match="default stream"):
        bench.plc.Scalar.from_arrow(one, stream=bench.compute)


def launch(bench: Bench, twin: Any, threads: int = 256) -> Any:
    """Double a column by a kernel, computed by a twin; return what it has written."""
    column = bench.plc.copying.slice(bench.column([1, 2, 3]), [1, 3], stream=bench.compute)[0]
    values = bench.cupy.asarray(column.data()).view(np.int64)[column.offset() : column.offset() + 2]
    bench.machine.kernels["twice"] = twin
    kernel = bench.cupy.RawKernel("...", "twice")
    with bench.cupy.cuda.Stream.from_external(bench.compute):
        out = bench.cupy.empty(2, np.int64)
        kernel((1,), (threads,), (values, out, np.int64(2)))
    return out


def test_a_kernel_is_computed_by_its_twin(bench: Bench) -> None:
    def twice(values: np.ndarray, out: np.ndarray, count: np.int64) -> None:
        out[:count] = 2 * values[:count]

    out = launch(bench, twice)
    column = bench.plc.Column(bench.type("INT64"), 2, bench.plc.gpumemoryview(out), None, 0, 0, [])
    assert bench.values(column) == [4, 6]
    assert [each[:3] for each in bench.machine.log.launches] == [("twice", (1,), (256,))]
    assert bench.machine.violations == []


def test_what_a_kernel_leaves_out_is_anything(bench: Bench) -> None:
    out = launch(bench, lambda values, out, count: None)
    column = bench.plc.Column(bench.type("INT64"), 2, bench.plc.gpumemoryview(out), None, 0, 0, [])
    assert not {0, 1, 2, 3} & set(bench.values(column))


def test_a_kernel_is_launched_as_a_device_allows(bench: Bench) -> None:
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        launch(bench, None, threads=2048)
    with pytest.raises(NotImplementedError, match="twin"):
        launch(bench, None)
    with pytest.raises(AssertionError, match="default stream"):
        bench.cupy.RawKernel("...", "twice")((1,), (1,), ())
