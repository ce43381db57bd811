"""Kernels at work on the fake GPU: what they are given, where they run, and what comes back."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
from contexts import context
from kernel_compilers import numba_cuda, nvrtc
from kernel_twins import give
from polars.testing import assert_frame_equal
from strategies import corners

from arrowstream import Builder, ErrorHandler, Pipeline, Settings, Source
from arrowstream.backends.registry import register_backend, unregister_backend
from arrowstream.core.batch import Batch
from arrowstream.core.rows import forms
from arrowstream.errors import PlanError, StageError
from arrowstream.gpu import GpuProcessor
from arrowstream.gpu.custom import place as place_module
from arrowstream.operators.process_gpu import ProcessGpu
from arrowstream.testing import TestSink

pytest.importorskip("pylibcudf", exc_type=ImportError)
from arrowstream.gpu import device as device_module
from arrowstream.gpu.backend import GpuBackend
from arrowstream.gpu.custom.launches import Launches
from arrowstream.gpu.device import Device
from arrowstream.gpu.download import in_host_memory
from arrowstream.gpu.rows import DeviceRows

nvrtc()

RATIO = """
extern "C" __global__ void ratio(const long long* x, const double* y, double* z, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) z[i] = x[i] / y[i];
}
"""
OR_ZERO = """
extern "C" __global__ void or_zero(const double* z, const bool* z_valid, double* w, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) w[i] = z_valid[i] ? z[i] : 0.0;
}
"""
POSITIVE = """
extern "C" __global__ void positive(const long long* x, const double* y, long long* p, bool* p_valid, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n && x[i] > 0 && y[i] > 0.0) { p[i] = x[i]; p_valid[i] = true; }
}
"""

FRAME = pl.DataFrame(
    {
        "text": ["a", None, "c", "", "e", "f"],
        "x": [1, -2, 3, None, 5, 6],
        "y": [0.5, 2.0, None, 1.0, 0.0, -4.0],
    }
)


def ratio(x: Any, y: Any, z: Any) -> None:
    with np.errstate(all="ignore"):
        z[:] = x / y


def or_zero(z: Any, z_valid: Any, w: Any) -> None:
    w[:] = np.where(z_valid, z, 0.0)


def positive(x: Any, y: Any, p: Any, p_valid: Any) -> None:
    chosen = (x > 0) & (y > 0)
    p[chosen], p_valid[chosen] = x[chosen], True


@pytest.fixture
def device(machine: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """The fake GPU as that of this process."""
    found = Device()
    monkeypatch.setattr(place_module, "missing", lambda: None)
    monkeypatch.setattr(device_module, "device_of_process", lambda number: found)
    known, by_type = dict(forms.FORMS), dict(forms._BY_TYPE)
    forms.FORMS.pop("gpu", None)
    forms._BY_TYPE.pop(DeviceRows, None)
    yield found
    found.close()
    for mapping, before in ((forms.FORMS, known), (forms._BY_TYPE, by_type)):
        mapping.clear()
        mapping.update(before)  # type: ignore[arg-type]


def processor(**options: Any) -> GpuProcessor:
    return GpuProcessor(**options).kernel(RATIO, "ratio", inputs=["x", "y"], outputs={"z": pl.Float64})


def begin(data: Any = FRAME, batch_rows: int = 4) -> Builder:
    return Pipeline.builder().source(Source.from_frame(data, batch_rows=batch_rows))


def evaluated(processor: GpuProcessor, frame: pl.DataFrame, memory_mb: int = 64) -> Batch:
    process: Any = ProcessGpu(processor, memory_mb).start(frame.schema, context())
    (found,) = process.process(Batch(frame))
    assert sum(note.count for note in process.notes) == process._evaluate.left_to_host
    return found  # type: ignore[no-any-return]


def of_columns(transfers: Any) -> list[tuple[str, ...]]:
    """Copies of the rows, without those of constants, which are made once."""
    return [each.columns for each in transfers if each.columns != ("",)]


@pytest.mark.usefixtures("device")
def test_rows_go_to_the_gpu_and_come_back(machine: Any) -> None:
    compiled = give(machine, processor(), FRAME.schema, ratio)
    sink = TestSink()
    pipeline = begin().process_gpu(processor().block_size(64)).sink(sink).build()
    assert "runs on GPU 0" in pipeline.explain()
    pipeline.run_sync()
    assert_frame_equal(sink.frame(), FRAME.with_columns(z=pl.col("x") / pl.col("y")))
    assert [(name, grid, block) for name, grid, block, _ in machine.log.launches] == [
        ("ratio", (1,), (64,))
    ] * 2
    assert compiled[0].code  # what was loaded is what the test's compilation gives
    # Only what a kernel reads goes there, and only what it has written comes back.
    assert of_columns(machine.log.uploads) == [("x", "y")] * 2
    assert [each.columns for each in machine.log.downloads] == [("z",)] * 2


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(("rows", "blocks"), [(1, 1), (256, 1), (257, 2), (1_000, 4)])
def test_there_is_a_thread_for_each_row(machine: Any, rows: int, blocks: int) -> None:
    frame = pl.DataFrame({"x": range(rows), "y": [2.0] * rows})
    give(machine, processor(), frame.schema, ratio)
    assert evaluated(processor(), frame).polars()["z"].to_list() == [row / 2 for row in range(rows)]
    (_, grid, block, args) = machine.log.launches[0]
    assert (grid, block, args[-1]) == ((blocks,), (256,), rows)


@pytest.mark.usefixtures("device")
def test_kernels_one_after_another_with_rules_for_nulls_of_their_own(machine: Any) -> None:
    made = (
        processor()
        .kernel(OR_ZERO, "or_zero", inputs="z", outputs={"w": pl.Float64})
        .kernel(POSITIVE, "positive", inputs=["x", "y"], outputs={"p": pl.Int64})
    )
    give(machine, made, FRAME.schema, ratio, or_zero, positive)
    found = evaluated(made, FRAME).polars()
    z = pl.col("x") / pl.col("y")
    expected = FRAME.with_columns(
        z=z,
        w=z.fill_null(0.0),
        p=pl.when((pl.col("x") > 0) & (pl.col("y") > 0)).then("x"),
    )
    assert_frame_equal(found, expected)
    assert of_columns(machine.log.uploads) == [("x", "y")]
    assert len(machine.log.downloads) == 1


TYPES = {
    pl.Boolean: "bool",
    pl.Int8: "signed char",
    pl.Int16: "short",
    pl.Int32: "int",
    pl.Int64: "long long",
    pl.UInt8: "unsigned char",
    pl.UInt16: "unsigned short",
    pl.UInt32: "unsigned",
    pl.UInt64: "unsigned long long",
    pl.Float32: "float",
    pl.Float64: "double",
    pl.Date: "int",
    pl.Datetime("ms"): "long long",
    pl.Datetime("us", "Europe/Berlin"): "long long",
    pl.Datetime("ns"): "long long",
    pl.Duration("us"): "long long",
}


def same(x: Any, x_valid: Any, z: Any, z_valid: Any) -> None:
    z[:], z_valid[:] = x, x_valid


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_goes_there_and_back(machine: Any, dtype: Any) -> None:
    word = TYPES[dtype]
    source = (
        f'extern "C" __global__ void same(const {word}* x, const bool* x_valid, {word}* z, bool* z_valid, long n) {{'
        "long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;"
        "if (i < n) { z[i] = x[i]; z_valid[i] = x_valid[i]; } }"
    )
    made = GpuProcessor().kernel(source, "same", inputs="x", outputs={"z": dtype})
    values = [value for value in corners(dtype) if value is not None]
    column = pl.Series("x", [None, *values, None, *values[:3]], dtype, strict=False)
    give(machine, made, {"x": column.dtype}, same)
    for frame in (
        column.to_frame(),
        column.drop_nulls().to_frame(),
        column.to_frame()[1:-2],
        column.clear().to_frame(),
    ):
        found = evaluated(made, frame)
        assert_frame_equal(found.polars(), frame.with_columns(z=pl.col("x")))
        assert found.arrow().schema.field("z").type == found.arrow().schema.field("x").type


def in_python(x, z):  # type: ignore[no-untyped-def]
    z[0] = x[0]


@pytest.mark.usefixtures("device")
def test_a_python_kernel_gets_arrays(machine: Any) -> None:
    numba_cuda()
    made = GpuProcessor().kernel(in_python, inputs="y", outputs={"z": pl.Float64})

    def twin(y: Any, z: Any) -> None:
        z[:] = y * 2

    give(machine, made, FRAME.schema, twin)
    assert_frame_equal(evaluated(made, FRAME).polars(), FRAME.with_columns(z=pl.col("y") * 2))


@pytest.mark.usefixtures("device")
def test_batches_without_rows_and_of_nulls_only(machine: Any) -> None:
    give(machine, processor(), FRAME.schema, ratio)
    nothing = FRAME.clear()
    assert_frame_equal(evaluated(processor(), nothing).polars(), nothing.with_columns(z=pl.lit(0.0)))
    assert machine.log.launches == []
    nulls = nothing.clear(3)
    assert evaluated(processor(), nulls).polars()["z"].null_count() == 3


@pytest.mark.usefixtures("device")
def test_an_output_takes_the_place_of_an_input(machine: Any) -> None:
    source = RATIO.replace("double* z", "double* out").replace("z[i]", "out[i]")
    made = GpuProcessor().kernel(source, "ratio", inputs=["x", "y"], outputs={"y": pl.Float64})
    give(machine, made, FRAME.schema, ratio)
    found = evaluated(made, FRAME)
    assert_frame_equal(found.polars(), FRAME.with_columns(y=pl.col("x") / pl.col("y")))
    again = evaluated(made, FRAME)  # what came in is as it was
    assert_frame_equal(again.polars(), found.polars())


@pytest.mark.usefixtures("device")
def test_a_later_kernel_writes_a_column_again_in_another_type(machine: Any) -> None:
    source = OR_ZERO.replace("double* w", "int* w")
    made = processor().kernel(source, "or_zero", inputs="z", outputs={"z": pl.Date})
    give(machine, made, FRAME.schema, ratio, or_zero)
    finite = FRAME.filter(pl.col("y") != 0)
    expected = finite.with_columns(z=(pl.col("x") / pl.col("y")).fill_null(0).cast(pl.Int32).cast(pl.Date))
    assert_frame_equal(evaluated(made, finite).polars(), expected)


def test_columns_that_begin_inside_of_their_memory(machine: Any, device: Device) -> None:
    """Parts of rows that are there already, such as halves of them."""
    compiled = give(machine, processor(), FRAME.schema, ratio)
    input, output = (Batch(frame).arrow() for frame in (FRAME, FRAME.with_columns(z=0.0)))
    launches = Launches(device, processor(), compiled, output.schema)
    there = DeviceRows.of(input, device).with_resident(["x", "y"])
    for offset, length in ((0, 2), (2, 3), (5, 1), (1, 5)):
        found = device.run(lambda part=(offset, length): in_host_memory(launches(there.sliced(*part))))
        expected = FRAME[offset : offset + length].with_columns(z=pl.col("x") / pl.col("y"))
        assert_frame_equal(Batch(found).polars(), expected)
    device.run(device.synchronize)


LARGE = pl.DataFrame({"x": range(300_000), "y": [2.0] * 300_000})


@pytest.mark.usefixtures("device")
def test_a_batch_without_room_is_halved(machine: Any) -> None:
    give(machine, processor(), LARGE.schema, ratio)
    found = evaluated(processor(), LARGE, memory_mb=5)  # the whole takes 7
    assert_frame_equal(found.polars(), LARGE.with_columns(z=pl.col("x") / 2))
    assert len(machine.log.launches) > 1


@pytest.mark.usefixtures("device")
def test_without_room_the_cpu_does_it_or_an_error_says_so(machine: Any) -> None:
    give(machine, processor(), FRAME.schema, ratio)
    twin = processor().on_cpu(lambda frame: frame.select(z=pl.col("y") * 0 + 7.0))
    machine.fail_next(1)
    assert evaluated(twin, FRAME).polars()["z"].to_list() == [7.0, 7.0, None, 7.0, 7.0, 7.0]
    machine.fail_next(1)
    with pytest.raises(StageError) as caught:
        evaluated(processor(), FRAME)
    assert "could not compute 6 rows" in str(caught.value) and "found: MemoryError" in str(caught.value)
    assert isinstance(caught.value.__cause__, MemoryError)
    assert_frame_equal(
        evaluated(processor(), FRAME).polars(), FRAME.with_columns(z=pl.col("x") / pl.col("y"))
    )


@pytest.mark.usefixtures("device")
def test_the_report_counts_the_rows_that_the_cpu_has_computed(machine: Any) -> None:
    give(machine, processor(), FRAME.schema, ratio)
    twin = processor().on_cpu(lambda frame: frame.select(z=pl.col("x") / pl.col("y")))
    machine.fail_next(1)
    sink = TestSink()
    report = begin(FRAME, 4).process_gpu(twin).sink(sink).build().run_sync()
    assert_frame_equal(sink.frame(), FRAME.with_columns(z=pl.col("x") / pl.col("y")))
    assert [str(note) for note in report.notes] == [
        "4 rows of process_gpu computed on the CPU, which the GPU could not compute, first in frame rows 0-4"
    ]


def test_rows_that_the_gpu_cannot_give_back_are_computed_by_the_function_for_the_cpu(
    machine: Any, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(machine, processor(), FRAME.schema, ratio)
    frames: list[pl.DataFrame] = []

    def on_cpu(frame: pl.DataFrame) -> pl.DataFrame:
        frames.append(frame)
        return frame.select(z=pl.col("x") / pl.col("y"))

    def fails(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    register_backend(GpuBackend(lambda: device))
    try:
        steps = begin(FRAME, 6).filter(pl.col("y") != 1.0).backend("gpu")
        for twin in (processor().on_cpu(on_cpu), processor()):
            left = steps.process_gpu(twin).filter(pl.col("z") > 0).backend("gpu")
            monkeypatch.setattr(machine.plc.Table, "to_arrow", fails)
            if twin.cpu_twin is None:
                with pytest.raises(StageError, match="no function for the CPU"):
                    left.collect_sync()
                continue
            expected = FRAME.filter(pl.col("y") != 1.0).with_columns(z=pl.col("x") / pl.col("y"))
            assert_frame_equal(left.collect_sync(), expected.filter(pl.col("z") > 0))
            # No row that comes to it is left: the function is not asked.
            none = steps.filter(pl.col("x") > 100).backend("gpu").process_gpu(twin)
            assert none.filter(pl.col("z") > 0).backend("gpu").collect_sync().schema == expected.schema
    finally:
        unregister_backend("gpu")
    assert [frame.height for frame in frames] == [4]


def test_no_row_is_lost_whichever_allocation_fails(machine: Any, device: Device) -> None:
    made = processor().kernel(POSITIVE, "positive", inputs=["x", "y"], outputs={"p": pl.Int64})
    give(machine, made, FRAME.schema, ratio, positive)
    z, p = pl.col("x") / pl.col("y"), pl.when((pl.col("x") > 0) & (pl.col("y") > 0)).then("x")
    twin = made.on_cpu(lambda frame: frame.select(z=z, p=p))
    failed = 0
    for number in range(1, 30):
        machine.fail_next(number)
        assert_frame_equal(evaluated(twin, FRAME).polars(), FRAME.with_columns(z=z, p=p))
        failed += machine._allocations_until_failure is None
        device.breaker.worked()
    assert 5 < failed < 29  # each of them, and then none


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("batch_rows", range(1, 8))
def test_results_do_not_depend_on_cuts(machine: Any, batch_rows: int) -> None:
    made = processor().kernel(OR_ZERO, "or_zero", inputs="z", outputs={"w": pl.Float64})
    give(machine, made, FRAME.schema, ratio, or_zero)
    z = pl.col("x") / pl.col("y")
    expected = FRAME.with_columns(z=z, w=z.fill_null(0.0))
    assert_frame_equal(begin(FRAME, batch_rows).process_gpu(made).collect_sync(), expected)


def test_rows_stay_on_the_gpu_between_steps_that_run_there(machine: Any, device: Device) -> None:
    more = GpuProcessor().kernel(OR_ZERO, "or_zero", inputs="z", outputs={"w": pl.Float64})
    give(machine, processor(), FRAME.schema, ratio)
    give(machine, more, {"z": pl.Float64}, or_zero)
    register_backend(GpuBackend(lambda: device))
    try:
        begun = begin(FRAME, 2).batch(rows=6)  # a step that is not on the GPU
        steps = begun.with_columns(y=pl.col("y") * 2).backend("gpu").process_gpu(processor())
        found = steps.process_gpu(more).filter(pl.col("w") > 0).backend("gpu").collect_sync()
    finally:
        unregister_backend("gpu")
    expected = FRAME.with_columns(pl.col("y") * 2).with_columns(z=pl.col("x") / pl.col("y"))
    expected = expected.with_columns(w=pl.col("z").fill_null(0.0)).filter(pl.col("w") > 0)
    assert_frame_equal(found, expected)
    assert of_columns(machine.log.uploads) == [("x", "y")]
    assert len(machine.log.downloads) == 1


def test_rows_leave_the_gpu_if_the_next_step_is_not_there(machine: Any, device: Device) -> None:
    give(machine, processor(), FRAME.schema, ratio)
    sink = TestSink()
    begin(FRAME, 3).process_gpu(processor()).sink(sink).build().run_sync()
    assert not any(batch.has("gpu") for batch in sink.batches)
    device.run(device.synchronize)
    constants = len(machine.log.uploads) - len(of_columns(machine.log.uploads))
    assert machine.held == constants * 256


def test_rows_of_another_gpu(machine: Any, device: Device) -> None:
    give(machine, processor(), FRAME.schema, ratio)
    step = ProcessGpu(processor())
    assert step.reads_in_place == ("x", "y")
    assert ProcessGpu(processor(device=1)).reads_in_place is None
    device.number = 1  # the fake has one GPU, which is another one for a moment
    process: Any = step.start(FRAME.schema, context())
    (found,) = process.process(Batch(FRAME))
    assert_frame_equal(found.polars(), FRAME.with_columns(z=pl.col("x") / pl.col("y")))


def test_a_device_that_is_given_up(machine: Any, device: Device) -> None:
    give(machine, processor(), FRAME.schema, ratio)
    for _ in range(3):
        device.breaker.failed(RuntimeError("an illegal memory access"))
    steps = begin(FRAME, 6).process_gpu(processor())
    with pytest.raises(StageError, match="an illegal memory access"):
        steps.collect_sync()
    assert steps.on_error(ErrorHandler.skip()).collect_sync().height == 0
    assert machine.log.launches == []


@pytest.mark.usefixtures("device")
def test_a_kernel_that_fails_is_said(machine: Any) -> None:
    def failing(x: Any, y: Any, z: Any) -> None:
        raise RuntimeError("CUDA_ERROR_LAUNCH_FAILED")

    give(machine, processor(), FRAME.schema, failing)
    with pytest.raises(StageError, match="CUDA_ERROR_LAUNCH_FAILED"):
        evaluated(processor(), FRAME)


@pytest.mark.usefixtures("device")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(PlanError) as caught:
        begin().process_gpu(processor(device=3)).sink(TestSink()).build()
    assert "from 0 to 0" in str(caught.value) and "found: 3" in str(caught.value)


def test_a_gpu_that_cannot_be_opened(machine: Any, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> int:
        raise RuntimeError("cudaErrorInsufficientDriver")

    monkeypatch.setattr(machine.cupy.cuda.runtime, "getDeviceCount", broken)
    with pytest.raises(PlanError, match="cannot be opened: cudaErrorInsufficientDriver"):
        begin().process_gpu(processor()).sink(TestSink()).build(settings=Settings(gpu_memory_pool_mb=8))
