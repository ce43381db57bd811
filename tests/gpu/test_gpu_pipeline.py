"""Whole pipelines with the GPU backend on a fake device: pins, residences, explain(), uploads ahead of the work."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from arrowstream import ErrorHandler, Pipeline, Settings, Source
from arrowstream.backends.registry import register_backend, unregister_backend
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError, StageError
from arrowstream.gpu import backend as gpu_backend
from arrowstream.pipeline import Builder
from arrowstream.plan import compile as compiling
from arrowstream.testing import TestSink

pytest.importorskip("pylibcudf", exc_type=ImportError)
from arrowstream.gpu.segment import DeviceSegment

pytestmark = pytest.mark.once

FRAME = pl.select(
    x=pl.int_range(20_000).cast(pl.Float64),
    n=pl.int_range(20_000) % 7,
    s=pl.int_range(20_000).cast(pl.String),
)


@pytest.fixture(autouse=True)
def registered(backend: Any) -> Iterator[None]:
    register_backend(backend)
    yield
    unregister_backend("gpu")


def begin(batch_rows: int = 5_000) -> Builder:
    return begin_with(FRAME, batch_rows)


def begin_with(frame: pl.DataFrame, batch_rows: int = 5_000) -> Builder:
    return Pipeline.builder().source(Source.from_frame(frame, batch_rows=batch_rows))


def ran(builder: Builder, **settings: Any) -> pl.DataFrame:
    sink = TestSink()
    builder.sink(sink).build(settings=Settings(**settings)).run_sync()
    return sink.frame()


def brought(machine: Any) -> list[tuple[str, ...]]:
    return [upload.columns for upload in machine.log.uploads if upload.columns != ("",)]


def test_a_pinned_step_runs_on_the_device(machine: Any) -> None:
    frame = ran(
        begin().with_columns(y=pl.col("x") * 2.0).backend("gpu").filter(pl.col("y") > 9.0).backend("gpu")
    )
    assert_frame_equal(frame, FRAME.with_columns(y=pl.col("x") * 2.0).filter(pl.col("y") > 9.0))
    assert brought(machine) == [("x",)] * 4
    assert len(machine.log.downloads) == 4


def test_neighbouring_stages_are_one_residence(machine: Any) -> None:
    builder = begin().filter(pl.col("x") > 9.0).backend("gpu").on_error(ErrorHandler.retry(1))
    builder = (
        builder.with_columns(y=pl.col("x") * 2.0 + pl.col("n")).backend("gpu").on_error(ErrorHandler.retry(1))
    )
    frame = ran(builder)
    assert_frame_equal(frame, FRAME.filter(pl.col("x") > 9.0).with_columns(y=pl.col("x") * 2.0 + pl.col("n")))
    assert brought(machine) == [("n", "x")] * 4
    assert len(machine.log.downloads) == 4


def test_explain_says_what_the_gpu_costs() -> None:
    text = begin().filter(pl.col("x") > 9.0).sink(TestSink()).build().explain()
    assert "gpu" in text


def test_explain_says_why_the_gpu_is_not_used() -> None:
    text = begin().with_columns(y=pl.col("x").exp()).explain()
    assert "\n    gpu: not used: " in text and "exp" in text.partition("gpu: not used: ")[2].splitlines()[0]
    off = begin().filter(pl.col("x") > 9.0).sink(TestSink()).build(settings=Settings(gpu_memory_pool_mb=0))
    assert "gpu: not used: the setting gpu_memory_pool_mb is 0: no memory" in off.explain()


def test_what_the_gpu_refuses_is_said_at_build() -> None:
    builder = begin().with_columns(y=pl.col("x").exp()).backend("gpu").sink(TestSink())
    with pytest.raises(PlanError, match="the gpu backend cannot run this step") as raised:
        builder.build()
    assert "exp" in str(raised.value)


def test_the_setting_of_memory_bounds_what_is_held(machine: Any) -> None:
    wide = begin(20_000).with_columns(**{f"c{n}": pl.col("x") * n for n in range(9)}).backend("gpu")
    assert_frame_equal(
        ran(wide, gpu_memory_pool_mb=1), FRAME.with_columns(**{f"c{n}": pl.col("x") * n for n in range(9)})
    )
    assert machine.most_held <= 2**20


def test_without_memory_the_gpu_runs_nothing(machine: Any) -> None:
    frame = ran(begin().filter(pl.col("x") > 9.0), gpu_memory_pool_mb=0)
    assert_frame_equal(frame, FRAME.filter(pl.col("x") > 9.0))
    assert machine.log.calls == []


def test_small_batches_that_wait_are_uploaded_together(machine: Any) -> None:
    """The source is ahead of the stage, so that all its batches wait in the channel before it."""
    builder = begin(100).buffer(400).with_columns(y=pl.col("x") * 2.0).backend("gpu")
    assert_frame_equal(ran(builder, gpu_batch_size=4_096), FRAME.with_columns(y=pl.col("x") * 2.0))
    assert len(brought(machine)) < 200


def test_a_machine_without_a_gpu_has_no_such_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    unregister_backend("gpu")
    try:
        monkeypatch.setattr(gpu_backend, "missing", lambda: "no GPU")
        monkeypatch.setattr(compiling, "missing", lambda: "no GPU")
        gpu_backend.register_if_present()
        with pytest.raises(PlanError, match="the backend 'gpu' is not ready here") as raised:
            begin().filter(pl.col("x") > 9.0).backend("gpu").sink(TestSink()).build()
        assert raised.value.hint == "no GPU"
        monkeypatch.setattr(gpu_backend, "missing", lambda: None)
    finally:
        gpu_backend.register_if_present()


def test_a_split_after_a_stage_on_the_device_takes_its_rows(machine: Any) -> None:
    builder = begin().with_columns(y=pl.col("x") * 2.0).backend("gpu")
    merged = (
        builder.split(pl.when(pl.col("n") > 3).then(pl.lit("high")).otherwise(pl.lit("low")))
        .branch("high", lambda steps: steps.filter(pl.col("y") > 9.0))
        .branch("low", lambda steps: steps)
        .merge()
    )
    expected = FRAME.with_columns(y=pl.col("x") * 2.0).filter((pl.col("n") <= 3) | (pl.col("y") > 9.0))
    assert_frame_equal(ran(merged), expected, check_row_order=False)


def test_the_next_batch_is_brought_while_this_one_is_computed(
    backend: Any, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that takes long is awaited, and the batch that waits next in the channel is brought meanwhile."""
    order: list[str] = []
    bring, call = DeviceSegment.bring, DeviceSegment.__call__

    def noted_bring(segment: DeviceSegment, batch: Batch) -> int:
        order.append(f"bring {batch.position}")
        return bring(segment, batch)

    def noted_call(segment: DeviceSegment, batch: Batch) -> Batch:
        order.append(f"begin {batch.position}")
        try:
            return call(segment, batch)
        finally:
            order.append(f"end {batch.position}")

    monkeypatch.setattr(DeviceSegment, "bring", noted_bring)
    monkeypatch.setattr(DeviceSegment, "__call__", noted_call)
    monkeypatch.setattr(backend, "start_cost", (5_000.0, 1e-4))
    builder = begin(1_000).buffer(32).with_columns(y=pl.col("x") * 2.0).backend("gpu")
    assert_frame_equal(ran(builder, gpu_batch_size=64), FRAME.with_columns(y=pl.col("x") * 2.0))
    assert brought(machine) == [("x",)] * 20
    batches = [entry.removeprefix("begin ") for entry in order if entry.startswith("begin ")]
    early = [
        following
        for this, following in pairwise(batches)
        if order.index(f"bring {following}") < order.index(f"end {this}")
    ]
    assert early, order


def test_a_failing_row_of_a_device_stage_names_the_step() -> None:
    builder = (
        begin(20_000)
        .with_columns(small=pl.col("n").cast(pl.Int8) * 100, y=pl.col("x").cast(pl.Int8))
        .backend("gpu")
    )
    with pytest.raises(StageError, match="with_columns"):
        ran(builder)


@pytest.mark.parametrize("name", ["", "__place__", "place"])
@pytest.mark.parametrize("how", ["inner", "left", "semi", "anti"])
def test_columns_may_have_any_name(how: Any, name: str) -> None:
    frame = FRAME.rename({"x": name})
    table = pl.DataFrame({"n": [1, 2, None], "v": [10, 20, 30]})
    steps = begin_with(frame).with_columns(pl.col(name) * 2.0).backend("gpu").join(table, on="n", how=how)
    expected = frame.with_columns(pl.col(name) * 2.0).join(table, on="n", how=how, maintain_order="left")
    assert_frame_equal(ran(steps), expected)


@pytest.mark.parametrize("name", ["", "__place__", "place"])
def test_keys_may_have_any_name(name: str) -> None:
    frame = FRAME.rename({"n": name}).with_columns(pl.col(name) + 1)
    table = pl.DataFrame({name: [1, 2, None], "v": [10, 20, 30]})
    steps = begin_with(frame).filter(pl.col(name) > 1).backend("gpu").join(table, on=name)
    expected = frame.filter(pl.col(name) > 1).join(table, on=name, maintain_order="left")
    assert_frame_equal(ran(steps), expected)


def test_a_batch_that_is_left_to_the_cpu_counts_for_polars() -> None:
    """Letters that are not ASCII may have another upper case on the device."""
    data = FRAME.with_columns(s=pl.when(pl.col("x") == 7_000).then(pl.lit("straße")).otherwise("s"))
    upper = pl.col("s").str.to_uppercase()
    steps = Pipeline.builder().source(Source.from_frame(data, batch_rows=5_000)).with_columns(upper)
    sink = TestSink()
    report = steps.backend("gpu").sink(sink).build().run_sync()
    assert_frame_equal(sink.frame(), data.with_columns(upper))
    assert [dict(stage.batches) for stage in report.stages[1:-1]] == [{"gpu": 3, "polars": 1}]


def test_a_batch_that_is_halved_without_the_cpu_counts_for_the_gpu(machine: Any) -> None:
    builder = begin(20_000).with_columns(**{f"c{n}": pl.col("x") * n for n in range(9)}).backend("gpu")
    report = builder.sink(TestSink()).build(settings=Settings(gpu_memory_pool_mb=1)).run_sync()
    assert [dict(stage.batches) for stage in report.stages[1:-1]] == [{"gpu": 1}]


def test_a_batch_that_the_gpu_cannot_give_back_is_computed_by_the_cpu_and_counts_for_it(
    machine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    download = machine.plc.Table.to_arrow
    given: list[int] = []

    def fails_once(table: Any, *arguments: Any, **options: Any) -> Any:
        given.append(table.num_rows())
        if len(given) == 2:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return download(table, *arguments, **options)

    monkeypatch.setattr(machine.plc.Table, "to_arrow", fails_once)
    sink = TestSink()
    steps = begin().with_columns(y=pl.col("x") * 2.0).backend("gpu").filter(pl.col("y") > 9.0).backend("gpu")
    report = steps.batch(rows=100_000).sink(sink).build().run_sync()
    assert_frame_equal(sink.frame(), FRAME.with_columns(y=pl.col("x") * 2.0).filter(pl.col("y") > 9.0))
    assert len(given) == 4 and "could not give back 5000 rows" in caplog.text
    stages = {stage.name: dict(stage.batches) for stage in report.stages}
    assert stages["with_columns+filter"] == {"gpu": 3, "polars": 1}


@pytest.mark.parametrize(("on_cpu", "counted"), [(3_000, "polars"), (2_000, "gpu")])
def test_a_batch_of_which_the_cpu_computes_a_part_counts_for_what_computed_more_of_its_rows(
    monkeypatch: pytest.MonkeyPatch, on_cpu: int, counted: str
) -> None:
    call = DeviceSegment.__call__

    def in_parts(segment: DeviceSegment, batch: Batch) -> Batch:
        segment._left.rows += on_cpu
        return call(segment, batch)

    monkeypatch.setattr(DeviceSegment, "__call__", in_parts)
    report = begin().with_columns(y=pl.col("x") * 2.0).backend("gpu").sink(TestSink()).build().run_sync()
    assert [dict(stage.batches) for stage in report.stages[1:-1]] == [{counted: 4}]


def on_loop() -> bool:
    """Return whether the caller is on the thread of an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(lambda rows: rows.filter(pl.col("y") > 9.0).backend("gpu"), id="stages"),
        pytest.param(lambda rows: rows.reduce(pl.len(), most=pl.col("x").max(), by="n"), id="groups"),
        pytest.param(lambda rows: rows.join(pl.DataFrame({"n": [1, 2], "v": [1, 2]}), on="n"), id="lookups"),
        pytest.param(
            lambda rows: (
                rows.with_columns(z=(pl.col("x") / 156).cast(pl.Int8))
                .on_error(ErrorHandler.skip())
                .backend("gpu")
            ),
            id="halves",
        ),
        pytest.param(
            lambda rows: rows.split("n").branch("1", lambda each: each.batch(rows=9)).otherwise().merge(),
            id="split",
        ),
    ],
)
def test_the_loop_never_waits_for_the_device(
    backend: Any, monkeypatch: pytest.MonkeyPatch, steps: Callable[[Builder], Builder]
) -> None:
    device = backend._device()
    calls: list[bool] = []
    run = device.run
    monkeypatch.setattr(device, "run", lambda work: (calls.append(on_loop()), run(work))[1])
    begun = begin(1_000).with_columns(y=pl.col("x") * 2.0, n=pl.col("n") + 1).backend("gpu")
    assert ran(steps(begun)).height
    assert calls and not any(calls)
