"""The manners of the fake GPU: it notices what a device would answer with wrong values or a crash."""

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


def numbers(count: int = 1000) -> pa.RecordBatch:
    return pa.record_batch({"x": np.arange(count)})


def test_a_call_without_a_stream_is_refused(bench: Bench) -> None:
    column = bench.column([1, 2])
    with pytest.raises(AssertionError, match=r"unary\.is_null was called without a stream"):
        bench.plc.unary.is_null(column)
    assert len(bench.machine.violations) == 1


def test_a_handle_of_another_machine_is_refused(bench: Bench) -> None:
    foreign = Bench().column([1, 2])
    with pytest.raises(ValueError, match="another machine"):
        bench.plc.unary.is_null(foreign, stream=bench.compute)
    with pytest.raises(ValueError, match="another machine"):
        bench.plc.unary.is_null(foreign, stream=bench.compute)
    with pytest.raises(ValueError, match="another machine"):
        bench.cupy.cuda.Stream.from_external(Bench().compute)
    assert len(bench.machine.violations) == 2


def test_a_column_is_used_only_after_a_wait_for_its_stream(bench: Bench) -> None:
    batch = numbers()
    table = bench.upload(batch, bench.copies)
    with pytest.raises(AssertionError, match="race"):
        bench.plc.unary.is_null(table.columns()[0], stream=bench.compute)
    assert len(bench.machine.violations) == 1
    bench.wait(bench.compute, bench.copies)
    bench.plc.unary.is_null(table.columns()[0], stream=bench.compute)
    bench.compute.synchronize()
    assert len(bench.machine.violations) == 1


def test_the_host_may_wait_as_well(bench: Bench) -> None:
    batch = numbers()
    column = bench.upload(batch, bench.copies).columns()[0]
    bench.copies.synchronize()
    assert bench.values(bench.plc.unary.is_null(column, stream=bench.compute)) == [False] * 1000
    assert bench.machine.violations == []


def test_an_event_covers_what_came_before_it_only(bench: Bench) -> None:
    event = bench.cupy.cuda.Event()
    event.record(bench.cupy.cuda.Stream.from_external(bench.copies))
    batch = numbers()
    column = bench.upload(batch, bench.copies).columns()[0]
    bench.cupy.cuda.Stream.from_external(bench.compute).wait_event(event)
    with pytest.raises(AssertionError, match="race"):
        bench.plc.unary.is_null(column, stream=bench.compute)


def test_waits_reach_through_a_third_stream(bench: Bench) -> None:
    batch = numbers()
    column = bench.upload(batch, bench.copies).columns()[0]
    between = bench.stream()
    bench.wait(between, bench.copies)
    bench.wait(bench.compute, between)
    bench.plc.unary.is_null(column, stream=bench.compute)
    bench.compute.synchronize()
    assert bench.machine.violations == []


def test_an_event_that_was_not_recorded_waits_for_nothing(bench: Bench) -> None:
    event = bench.cupy.cuda.Event()
    with pytest.raises(AssertionError, match="never recorded"):
        bench.cupy.cuda.Stream.from_external(bench.compute).wait_event(event)
    with pytest.raises(AssertionError, match="never recorded"):
        event.synchronize()
    with pytest.raises(AssertionError, match="default stream"):
        event.record()


def test_a_call_that_is_refused_is_noted(bench: Bench) -> None:
    """Whoever catches the error and goes on without the device, has hidden a wrong call."""
    with pytest.raises(TypeError):
        bench.binary("ADD", bench.column([1]), bench.column(["a"]), "INT64")
    with pytest.raises(NotImplementedError):
        bench.binary("INT_POW", bench.column([1]), bench.column([1]), "INT64")
    assert [each.partition(": CUDF")[0] for each in bench.machine.violations] == [
        "binaryop.binary_operation: TypeError",
        "binaryop.binary_operation: NotImplementedError: the fake has no INT_POW of INT64",
    ]


def test_want_of_memory_is_no_mistake(bench: Bench) -> None:
    column = bench.column([1])
    bench.machine.fail_next()
    with pytest.raises(MemoryError):
        bench.plc.unary.is_null(column, stream=bench.compute)
    assert bench.machine.violations == []


def changing() -> tuple[np.ndarray, pa.RecordBatch]:
    """Return memory, and a batch over it."""
    memory = np.zeros(100, np.int64)
    array = pa.Array.from_buffers(pa.int64(), 100, [None, pa.py_buffer(memory)])
    return memory, pa.record_batch([array], ["x"])


def test_host_memory_is_read_as_late_as_it_may_be(bench: Bench) -> None:
    memory, batch = changing()
    column = bench.upload(batch).columns()[0]
    memory[:] = 1
    assert set(bench.values(column)) == {1}
    memory[:] = 2
    assert set(bench.values(column)) == {1}


def test_a_synchronised_upload_has_read_host_memory(bench: Bench) -> None:
    memory, batch = changing()
    column = bench.upload(batch, bench.copies).columns()[0]
    bench.compute.synchronize()  # another stream
    memory[:] = 1
    bench.copies.synchronize()
    memory[:] = 2
    assert set(bench.values(column)) == {1}


def test_a_table_of_arrow_is_read_at_once(bench: Bench) -> None:
    memory, batch = changing()
    column = bench.upload(pa.Table.from_batches([batch])).columns()[0]
    memory[:] = 1
    assert set(bench.values(column)) == {0}
    assert bench.machine.violations == []


def test_a_record_must_be_kept_until_its_upload_is_synchronised(bench: Bench) -> None:
    table = bench.upload(numbers(), bench.copies)
    assert [each[:26] for each in bench.machine.violations] == ["a host record was let go b"]
    bench.copies.synchronize()
    assert bench.values(table.columns()[0]) == list(range(1000))


def test_a_record_may_go_once_its_upload_is_done(bench: Bench) -> None:
    batch = numbers()
    column = bench.upload(batch, bench.copies).columns()[0]
    bench.wait(bench.compute, bench.copies)
    bench.plc.unary.is_null(column, stream=bench.compute)
    # Which waited for the copies.
    bench.compute.synchronize()
    del batch
    assert bench.machine.violations == []


def test_memory_must_be_kept_until_other_streams_are_done_with_it(bench: Bench) -> None:
    batch = numbers()
    table = bench.upload(batch, bench.copies)
    bench.wait(bench.compute, bench.copies)
    result = bench.plc.unary.is_null(table.columns()[0], stream=bench.compute)
    del table
    assert [each[:14] for each in bench.machine.violations] == ["use after free"]
    assert bench.values(result) == [False] * 1000


@pytest.mark.parametrize("how", ["synchronised", "waited for", "of one stream"])
def test_memory_may_go_when_nothing_uses_it(bench: Bench, how: str) -> None:
    batch = numbers()
    stream = bench.compute if how == "of one stream" else bench.copies
    table = bench.upload(batch, stream)
    bench.wait(bench.compute, bench.copies)
    bench.plc.unary.is_null(table.columns()[0], stream=bench.compute)
    if how == "synchronised":
        bench.compute.synchronize()
    if how == "waited for":
        bench.wait(bench.copies, bench.compute)
    del table
    bench.compute.synchronize()
    assert bench.machine.violations == []
    assert bench.machine.held == 0


def test_a_view_keeps_the_memory_of_what_it_is_a_view_of(bench: Bench) -> None:
    batch = numbers()
    table = bench.upload(batch)
    (view,) = bench.plc.copying.slice(table, [10, 13], stream=bench.compute)
    held = bench.machine.held
    del table
    assert bench.machine.held == held
    column = view.columns()[0]
    assert (bench.values(column), column.offset(), column.size()) == ([10, 11, 12], 10, 3)
    del view, column
    assert bench.machine.held == 0


def test_the_limit_of_memory_stops_the_call_that_passes_it() -> None:
    bench = Bench(limit=3 * 8_192)
    first = bench.column(np.arange(1024))
    second = bench.column(np.arange(1024))
    third = bench.column(np.arange(1024))
    with pytest.raises(MemoryError, match="Exceeded memory limit"):
        bench.column(np.arange(1))
    assert bench.machine.held == 3 * 8_192
    del first
    fourth = bench.column(np.arange(1))
    # Memory is given in pieces of 256 bytes.
    assert bench.machine.held == 2 * 8_192 + 256
    assert bench.values(fourth) == [0]
    del second, third, fourth
    assert (bench.machine.held, bench.machine.most_held) == (0, 3 * 8_192)
    assert bench.rmm.mr.get_current_device_resource().get_allocated_bytes() == 0


def test_a_failed_call_leaves_nothing_behind() -> None:
    bench = Bench(limit=10_000)
    two = pa.record_batch({"x": np.arange(1024), "y": np.arange(1024)})
    with pytest.raises(MemoryError):
        bench.upload(two)
    assert bench.machine.held == 0
    assert bench.machine.log.uploads == []


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_nth_allocation_can_be_made_to_fail(bench: Bench, n: int) -> None:
    column = bench.column([1])
    bench.machine.fail_next(n)
    worked = []
    for _ in range(4):
        try:
            worked.append(bench.plc.unary.is_null(column, stream=bench.compute))
        except MemoryError:
            worked.append(None)
    assert [each is None for each in worked] == [number == n - 1 for number in range(4)]


def test_the_log_says_what_was_asked_for(bench: Bench) -> None:
    batch = pa.record_batch({"x": np.arange(3), "s": ["a", None, "ab"], "y": [True, False, True]})
    table = bench.upload(batch.select(["x", "s"]))
    found = bench.plc.unary.is_null(table.columns()[1], stream=bench.compute)
    metadata = bench.plc.interop.ColumnMetadata(name="z")
    bench.plc.Table([found]).to_arrow(metadata=[metadata], stream=bench.compute)
    log = bench.machine.log
    assert [each.columns for each in log.uploads] == [("x", "s")]
    assert log.uploads[0].bytes == 2 * 256
    assert [(each.columns, each.bytes) for each in log.downloads] == [(("z",), 3)]
    assert log.calls == ["Table.from_arrow", "unary.is_null", "Table.to_arrow"]
    log.clear()
    assert log.calls == log.uploads == []


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
