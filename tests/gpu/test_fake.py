"""The manners of the fake GPU: it notices what a device would answer with wrong values or a crash."""

from concurrent.futures import ThreadPoolExecutor
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


def test_one_thread_may_upload_while_another_computes(bench: Bench) -> None:
    batches = [numbers(count) for count in range(1, 200)]

    def bring(batch: pa.RecordBatch) -> Any:
        table = bench.upload(batch, bench.copies)
        bench.wait(bench.compute, bench.copies)
        return table

    with ThreadPoolExecutor(1) as transport:
        coming = [transport.submit(bring, batch) for batch in batches]
        for batch, table in zip(batches, coming, strict=True):
            column = bench.plc.unary.is_null(table.result().columns()[0], stream=bench.compute)
            assert bench.values(column) == [False] * batch.num_rows
    bench.copies.synchronize()
    del coming, table, column
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
