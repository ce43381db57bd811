"""Stages that a device may run: one upload and one download a residence, and no row lost or changed."""

from collections.abc import Iterator

import polars as pl
import pytest
from devices import NO_WAY_BACK, ROOM, DeviceBackend, device

from arrowstream import ErrorHandler, Pipeline, Settings, Sink, Source
from arrowstream.backends.registry import register_backend, unregister_backend
from arrowstream.errors import StageError
from arrowstream.pipeline import Builder
from arrowstream.plan.physical import SegmentStage
from arrowstream.plan.placement.device_choice import DevicePlacement
from arrowstream.testing import TestSink, check_cut_independence

Log = list[tuple[str, int]]
FRAME = pl.DataFrame({"x": range(3_000), "y": [0.5] * 3_000})
EXPECTED = (
    FRAME.with_columns(z=pl.col("x") + 1).filter(pl.col("z") % 2 == 0).with_columns(w=pl.col("z") * 2.0)
)


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    with device() as entries:
        yield entries


def instead(backend: DeviceBackend) -> None:
    """Let another device take the place of the one of the fixture."""
    unregister_backend("device")
    register_backend(backend)


def start(batch_rows: int = 3_000) -> Builder:
    return Pipeline.builder().source(Source.from_frame(FRAME, batch_rows=batch_rows))


def three(builder: Builder, *pins: str) -> Builder:
    """Three stages, each with a pin: a step with a time limit is a stage alone."""
    first, second, third = pins
    return (
        builder.with_columns(z=pl.col("x") + 1)
        .timeout("60s")
        .backend(first)
        .filter(pl.col("z") % 2 == 0)
        .timeout("60s")
        .backend(second)
        .with_columns(w=pl.col("z") * 2.0)
        .timeout("60s")
        .backend(third)
    )


def test_neighbours_on_the_device_take_one_upload_and_one_download(log: Log) -> None:
    assert three(start(1_500), "device", "device", "device").collect_sync().equals(EXPECTED)
    assert [kind for kind, _ in log].count("upload") == [kind for kind, _ in log].count("download") == 2
    assert sum(rows for kind, rows in log if kind == "upload") == 3_000
    assert sum(rows for kind, rows in log if kind == "download") == 1_500
    assert sum(rows for kind, rows in log if kind == "compute") == 3_000 + 3_000 + 1_500


def test_a_stage_of_the_host_between_two_of_the_device_takes_the_rows_back(log: Log) -> None:
    assert three(start(), "device", "polars", "device").collect_sync().equals(EXPECTED)
    assert log == [
        ("upload", 3_000),
        ("compute", 3_000),
        ("download", 3_000),
        ("upload", 1_500),
        ("compute", 1_500),
        ("download", 1_500),
    ]


def test_an_operator_after_the_device_gets_rows_of_the_host(log: Log) -> None:
    steps = start().with_columns(z=pl.col("x") + 1).backend("device").batch(rows=100)
    pipeline = steps.sink(TestSink()).build()
    report = pipeline.run_sync()
    assert report.rows_out == 3_000
    assert log == [("upload", 3_000), ("compute", 3_000), ("download", 3_000)]


def test_the_sink_that_takes_arrow_finds_it_there(log: Log) -> None:
    rows = []
    sink = Sink.to_fn(lambda batch: rows.append(batch.num_rows))
    start().with_columns(z=pl.col("x") + 1).backend("device").sink(sink).build().run_sync()
    assert rows == [3_000]
    assert [kind for kind, _ in log] == ["upload", "compute", "download"]


def test_without_a_pin_the_cheapest_path_by_assumed_costs_is_taken(log: Log) -> None:
    instead(DeviceBackend(start=(0.001, 1e-7)))
    steps = three(start(), "auto", "auto", "auto")
    assert steps.collect_sync().equals(EXPECTED)
    assert [kind for kind, _ in log] == ["upload", "compute", "compute", "compute", "download"]
    stays = "with_columns to with_columns-dde4 stay on device: one upload, one download"
    already = "device: pays from ~65 rows a batch before with_columns (the rows are there already)"
    said = [line.strip() for line in steps.explain().splitlines() if "device" in line]
    assert said == [
        "device: pays from ~65 rows a batch (upload included)",
        stays,
        already,
        stays,
        already,
        stays,
    ]
    outline = steps.sink(TestSink()).build().outline()
    (first, *_) = [node for node in outline.nodes if node.backend]
    assert first.backend == f"auto: arrow below ~45,000 rows, polars above; {said[0]}; {stays}"


def test_batches_below_its_least_rows_never_go_to_the_device(log: Log) -> None:
    instead(DeviceBackend(start=(0.001, 1e-7), least_rows=3_001))
    assert three(start(), "auto", "auto", "auto").collect_sync().equals(EXPECTED)
    assert log == []


def test_least_rows_can_be_a_setting(log: Log) -> None:
    instead(DeviceBackend(start=(0.001, 1e-7), follows_settings=True))
    for least, uploads in ((3_001, 0), (3_000, 1)):
        log.clear()
        steps = start().with_columns(z=pl.col("x") + 1)
        steps.sink(TestSink()).build(settings=Settings(gpu_batch_size=least)).run_sync()
        assert [kind for kind, _ in log].count("upload") == uploads


def test_long_work_leaves_the_loop(log: Log) -> None:
    instead(DeviceBackend(start=(5_000.0, 1e-7)))
    steps = start().with_columns(z=pl.col("x") + 1).backend("device")
    assert steps.collect_sync().equals(FRAME.with_columns(z=pl.col("x") + 1))
    assert [kind for kind, _ in log] == ["upload", "compute", "download"]


def test_a_device_without_room_leaves_the_batch_to_its_evaluator(log: Log) -> None:
    ROOM.extend([0, 0])
    steps = start().with_columns(z=pl.col("x") + 1).backend("device")
    pipeline = steps.sink(TestSink()).build()
    assert pipeline.run_sync().rows_out == 3_000
    assert log == [("no room", 3_000), ("no room", 3_000), ("host", 3_000)]
    assert "transfers" not in pipeline.explain()


def test_a_host_without_room_for_the_way_back_is_a_failure() -> None:
    NO_WAY_BACK.append(MemoryError("no memory"))
    steps = start().with_columns(z=pl.col("x") + 1).backend("device")
    with pytest.raises(StageError, match="no memory"):
        steps.collect_sync()


@pytest.mark.parametrize("fixed_us", [1.0, 5_000.0])
def test_a_failure_on_the_device_names_the_step_and_the_rows(fixed_us: float) -> None:
    instead(DeviceBackend(start=(fixed_us, 1e-7)))
    frame = pl.DataFrame({"x": [1, 300]})
    steps = (
        Pipeline.builder()
        .source(Source.from_frame(frame))
        .with_columns(y=pl.col("x") + 1)
        .with_columns(z=pl.col("y").cast(pl.Int8))
        .backend("device")
    )
    with pytest.raises(StageError, match="301") as raised:
        steps.backend("device").collect_sync()
    assert "with_columns" in (raised.value.stage or "")


def test_a_failure_on_the_host_names_the_step_where_a_device_costs_more(log: Log) -> None:
    instead(DeviceBackend(start=(1e6, 1.0)))
    frame = pl.DataFrame({"x": [*range(100), 300]})
    steps = Pipeline.builder().source(Source.from_frame(frame)).with_columns(y=pl.col("x") + 1)
    with pytest.raises(StageError, match="301") as raised:
        steps.with_columns(z=pl.col("y").cast(pl.Int8)).collect_sync()
    assert "with_columns" in (raised.value.stage or "") and log == []


def test_rows_that_fail_on_the_device_are_found_by_halving() -> None:
    frame = pl.DataFrame({"x": [1, 300, 2]})
    steps = (
        Pipeline.builder()
        .source(Source.from_frame(frame))
        .with_columns(z=pl.col("x").cast(pl.Int8))
        .on_error(ErrorHandler.skip())
        .backend("device")
    )
    assert steps.collect_sync()["x"].to_list() == [1, 2]


@pytest.mark.untraced
def test_results_do_not_depend_on_cuts() -> None:
    instead(DeviceBackend(start=(0.001, 1e-7)))

    def plan(builder):
        return builder.with_columns(z=pl.col("x") + 1).timeout("60s").filter(pl.col("z") % 2 == 0)

    check_cut_independence(plan, FRAME.head(50))


def test_what_the_device_refuses_stays_with_the_host(log: Log) -> None:
    steps = start().with_columns(s=pl.lit("a")).timeout("60s").with_columns(t=pl.col("s"))
    assert "never" not in steps.explain()
    pinned = steps.backend("device")
    with pytest.raises(Exception, match="the device backend cannot run this step"):
        pinned.collect_sync()


WIDE = FRAME.with_columns(a=pl.col("x") * 10, unread=pl.lit(1.5))


def chain_of_readers() -> Builder:
    """The first stage reads x, the second a and what the first one made, the third y."""
    source = Source.from_frame(WIDE, batch_rows=3_000)
    return (
        Pipeline.builder()
        .source(source)
        .with_columns(z=pl.col("x") + 1)
        .timeout("60s")
        .backend("device")
        .with_columns(b=pl.col("a") + pl.col("z"))
        .timeout("60s")
        .backend("device")
        .with_columns(y=pl.col("y") * 2.0)
        .timeout("60s")
        .backend("device")
    )


EXPECTED_WIDE = WIDE.with_columns(z=pl.col("x") + 1).with_columns(
    b=pl.col("a") + pl.col("z"), y=pl.col("y") * 2.0
)


def test_one_upload_brings_what_all_stages_of_a_residence_read(log: Log) -> None:
    instead(DeviceBackend(selective=True))
    assert chain_of_readers().collect_sync().equals(EXPECTED_WIDE.select([*WIDE.columns, "z", "b"]))
    computed = [("compute", 3_000)] * 3
    assert log == [("upload a,x,y", 3_000), *computed, ("download", 3_000)]


def test_transfers_are_of_the_columns_that_cross(log: Log) -> None:
    instead(DeviceBackend(selective=True))
    pipeline = chain_of_readers().sink(TestSink()).build()
    pipeline.run_sync()
    assert pipeline._plan is not None
    links = [stage.placement.link for stage in pipeline._plan.stages]
    assert [link.entrance.upload_width for link in links] == pytest.approx([24, 24, 8])
    # All rows on the device before the first stage were made there; after it, what was made since.
    assert [link.entrance.returned for link in links] == [tuple(WIDE.columns), ("z",), ("z", "b")]
    assert links[-1].exit.returned == ("y", "z", "b")
    assert links[-1].exit.download_width == pytest.approx(24)
    assert [link.entrance.uploads["device"].line.samples for link in links] == [1, 1, 1]


def test_a_selective_device_without_room_leaves_the_batch_to_its_evaluator(log: Log) -> None:
    instead(DeviceBackend(selective=True))
    ROOM.extend([0, 0])
    pipeline = start().with_columns(z=pl.col("x") + 1).backend("device").sink(TestSink()).build()
    assert pipeline.run_sync().rows_out == 3_000
    assert log == [("no room", 3_000), ("no room", 3_000), ("host", 3_000)]
    assert "transfers" not in pipeline.explain()


def test_few_rows_that_are_left_on_the_device_go_on_in_host_memory(log: Log) -> None:
    steps = (
        start()
        .filter(pl.col("x") < 10)
        .timeout("60s")
        .backend("device")
        .with_columns(z=pl.col("x") + 1)
        .timeout("60s")
    )
    pipeline = steps.sink(TestSink()).build()
    report = pipeline.run_sync()
    assert report.rows_out == 10
    assert log == [("upload", 3_000), ("compute", 3_000), ("download", 10)]
    assert pipeline._plan is not None
    _, second = pipeline._plan.stages
    assert isinstance(second, SegmentStage) and isinstance(second.placement, DevicePlacement)
    assert second.placement.link.entrance.downloads["device"].line.samples == 1
    assert list(second.placement.measured) == ["arrow"]


def test_rows_leave_the_device_before_streams_meet(log: Log) -> None:
    steps = start().with_columns(z=pl.col("x") + 1).backend("device")
    other = Pipeline.builder("other").source(Source.from_frame(FRAME.with_columns(z=pl.col("x")).head(2)))
    assert steps.merge(other).collect_sync().height == 3_002
    assert [kind for kind, _ in log] == ["upload", "compute", "download"]
