"""`process_gpu` where no GPU is: the function for the CPU, and what is refused."""

import logging
from typing import Any

import polars as pl
import pytest
from contexts import context
from kernel_compilers import nvrtc
from polars.testing import assert_frame_equal

from arrowstream import Builder, ErrorHandler, Pipeline, Settings, Source, pipeline
from arrowstream.core.batch import Batch
from arrowstream.errors import MissingExtra, PlanError, SchemaError
from arrowstream.gpu import GpuProcessor
from arrowstream.gpu.custom import place
from arrowstream.operators import process_gpu
from arrowstream.operators.process_gpu import ProcessGpu
from arrowstream.testing import TestSink, check_cut_independence

ABSENT = "this machine has no NVIDIA GPU"

SOURCE = """
extern "C" __global__ void ratio(const long long* x, const double* y, double* z, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) z[i] = x[i] / y[i];
}
"""

FRAME = pl.DataFrame({"text": ["a", "b", None, "d"], "x": [1, 2, None, 4], "y": [0.5, None, 1.5, 0.0]})
RATIO = pl.col("x") / pl.col("y")


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "missing", lambda: ABSENT)
    monkeypatch.setattr(pipeline, "missing", lambda: ABSENT)


def kernel(outputs: Any = None) -> GpuProcessor:
    return GpuProcessor().kernel(SOURCE, "ratio", inputs=["x", "y"], outputs=outputs or {"z": pl.Float64})


def on_cpu(frame: pl.DataFrame) -> pl.DataFrame:
    assert frame.columns == ["x", "y"]
    return frame.select(z=RATIO)


def nothing(frame: pl.DataFrame) -> None: ...


def begin(data: Any = FRAME) -> Builder:
    return Pipeline.builder().source(Source.from_frame(data, batch_rows=2))


def test_the_function_for_the_cpu_computes_where_no_gpu_is(caplog: pytest.LogCaptureFixture) -> None:
    sink = TestSink()
    pipeline = begin().process_gpu(kernel().on_cpu(on_cpu)).sink(sink).build()
    assert f"process_gpu(ratio(x, y) -> z)\n    runs on the CPU: {ABSENT}\n" in pipeline.explain()
    assert [node.remark for node in pipeline.outline().nodes][1] == f"runs on the CPU: {ABSENT}"
    with caplog.at_level(logging.INFO):
        report = pipeline.run_sync()
    assert_frame_equal(sink.frame(), FRAME.with_columns(z=RATIO))
    assert [str(note) for note in report.notes] == [
        f"4 rows of process_gpu computed on the CPU, as {ABSENT}, first in frame rows 0-2"
    ]
    assert f"process_gpu runs on the CPU: {ABSENT}" in caplog.text


def test_explain_says_why_steps_of_a_pipeline_that_asks_for_a_gpu_run_on_the_cpu() -> None:
    steps = begin().filter(pl.col("x") > 1).select("x", "y")
    line = f"gpu: not used: {ABSENT}"
    assert "gpu" not in steps.explain()
    assert steps.process_gpu(kernel().on_cpu(on_cpu)).explain().count(line) == 1
    branch = steps.split("x").branch("1", lambda rows: rows.process_gpu(kernel().on_cpu(on_cpu)).select("x"))
    assert branch.otherwise(lambda rows: rows.select("x")).merge().explain().count(line) == 3
    ended = steps.sink(TestSink())
    for settings in (Settings(gpu_batch_size=100), Settings(gpu_memory_pool_mb=0)):
        asked = ended.build(settings=settings)
        assert f"    backend: auto: arrow below ~45,000 rows, polars above\n    {line}\n" in asked.explain()
        assert asked.outline().nodes[1].backend == f"auto: arrow below ~45,000 rows, polars above; {line}"
    assert "gpu" not in ended.build(settings=Settings(max_retries=1)).explain()
    pinned = begin().select("x").backend("polars").sink(TestSink()).build(settings=Settings(gpu_batch_size=1))
    assert "gpu" not in pinned.explain()


def test_an_output_may_take_the_place_of_a_column() -> None:
    processor = kernel({"x": pl.Float64}).on_cpu(lambda frame: frame.select(x=RATIO))
    assert_frame_equal(begin().process_gpu(processor).collect_sync(), FRAME.with_columns(x=RATIO))


def test_results_do_not_depend_on_cuts() -> None:
    check_cut_independence(lambda rows: rows.process_gpu(kernel().on_cpu(on_cpu)), FRAME)


def test_a_run_without_rows_has_no_note() -> None:
    sink = TestSink()
    report = begin(FRAME.clear()).process_gpu(kernel().on_cpu(on_cpu)).sink(sink).build().run_sync()
    assert report.notes == () and sink.frame().is_empty()


def test_any_frame_will_do_and_narrower_types_are_widened() -> None:
    twin = kernel().on_cpu(lambda frame: frame.select(z=pl.col("x").cast(pl.Float32)).to_arrow())
    found = begin().process_gpu(twin).collect_sync()
    assert_frame_equal(found, FRAME.with_columns(z=pl.col("x").cast(pl.Float64)))


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (lambda frame: frame, "z: Float64 missing"),
        (lambda frame: frame.select(z=pl.lit("a")), "z: String instead of Float64"),
        (lambda frame: frame.select(z=RATIO).head(1), "expected: 2 rows"),
        (lambda frame: 3, "found: int"),
        (lambda frame: frame["x"], "found: polars.series.series.Series"),
        (
            nothing,
            "the function nothing for the CPU of process_gpu() returned no frame (stage process_gpu)\n"
            "  expected: a frame of z: Float64\n  found: None\n  hint: a function without `return` returns None",
        ),
    ],
)
def test_a_function_for_the_cpu_that_returns_something_else(fn: Any, said: str) -> None:
    with pytest.raises(SchemaError) as caught:
        begin().process_gpu(kernel().on_cpu(fn)).collect_sync()
    assert said in str(caught.value) and caught.value.stage == "process_gpu"


def test_rows_that_fail_are_left_out_by_handlers() -> None:
    def fragile(frame: pl.DataFrame) -> pl.DataFrame:
        if frame["x"].null_count():
            raise ValueError("a null")
        return on_cpu(frame)

    steps = begin().process_gpu(kernel().on_cpu(fragile)).on_error(ErrorHandler.skip())
    sink = TestSink()
    report = steps.sink(sink).build().run_sync()
    assert_frame_equal(sink.frame(), FRAME.with_columns(z=RATIO).filter(pl.col("x").is_not_null()))
    # A row counts once, however many parts of its batch were tried.
    (note,) = [note for note in report.notes if "process_gpu" in note.what]
    assert (note.what, note.count) == (f"rows of process_gpu computed on the CPU, as {ABSENT}", 3)


def test_neither_a_gpu_nor_a_function_for_the_cpu() -> None:
    with pytest.raises(PlanError) as caught:
        begin().process_gpu(kernel()).sink(TestSink()).build()
    assert f"found: {ABSENT}" in str(caught.value) and "on_cpu(fn)" in str(caught.value)
    assert caught.value.stage == "process_gpu"


def test_no_memory_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "missing", lambda: None)
    with pytest.raises(PlanError, match="the setting 'gpu_memory_pool_mb' is 0"):
        begin().process_gpu(kernel()).sink(TestSink()).build(settings=Settings(gpu_memory_pool_mb=0))


def test_the_source_is_wrong_with_and_without_a_function_for_the_cpu() -> None:
    nvrtc()
    wrong = GpuProcessor().kernel(
        SOURCE.replace("x[i]", "w[i]"), "ratio", inputs=["x", "y"], outputs={"z": float}
    )
    for processor in (wrong, wrong.on_cpu(on_cpu)):
        with pytest.raises(PlanError, match='line 4: identifier "w" is undefined'):
            begin().process_gpu(processor).sink(TestSink()).build()


def test_without_a_compiler_the_function_for_the_cpu_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any) -> None:
        raise MissingExtra("NVRTC is not installed, which compiles kernels")

    monkeypatch.setattr(process_gpu, "compile_kernels", missing)
    assert begin().process_gpu(kernel().on_cpu(on_cpu)).collect_sync().width == 4
    with pytest.raises(PlanError, match="finds no GPU"):
        begin().process_gpu(kernel()).collect_sync()
    monkeypatch.setattr(process_gpu, "place", lambda number, memory_mb: place.Place(None, None, (9, 0)))
    with pytest.raises(MissingExtra):
        begin().process_gpu(kernel().on_cpu(on_cpu)).collect_sync()


@pytest.mark.parametrize(
    ("processor", "said"),
    [(GpuProcessor(), "has no kernel"), (SOURCE, "needs a processor"), (None, "NoneType")],
)
def test_what_is_no_processor_with_a_kernel(processor: Any, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        begin().process_gpu(processor)


def test_a_column_that_is_missing() -> None:
    with pytest.raises(SchemaError, match="reads a column that is not there"):
        begin(FRAME.drop("y")).process_gpu(kernel().on_cpu(on_cpu)).collect_sync()


def test_it_holds_nothing_between_batches() -> None:
    step = ProcessGpu(kernel().on_cpu(on_cpu))
    assert step.passes_rows_on and step.repeatable and not step.at_hand
    process: Any = step.start(FRAME.schema, context())
    assert list(process.snapshot()) == [] and list(process.finish()) == [] and process.notes == ()
    process.restore(iter(()))
    (found,) = process.process(Batch(FRAME))
    assert_frame_equal(found.polars(), FRAME.with_columns(z=RATIO))
    assert "first in the first batch" in str(process.notes[0])
