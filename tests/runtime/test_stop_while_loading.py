"""A gentle stop while the tables of joins are being loaded: it ends the loads, and nothing is lost."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from arrowstream import Builder, Pipeline, RunReport, Sink, Source, channel
from arrowstream.pipeline import Pipeline as Built
from arrowstream.testing import TestSink

FLIGHTS = pl.DataFrame({"carrier": ["AA", "XX"], "flight": [1, 2]})
AIRLINES = pl.DataFrame({"carrier": ["AA", "UA"], "airline": ["American", "United"]})


class Slow:
    """A table whose rows come at once, and whose end comes once `goes_on` is set, maybe never."""

    def __init__(self) -> None:
        self.rows = AIRLINES
        self.begun = threading.Event()
        self.waits = threading.Event()
        self.goes_on = threading.Event()
        self.loads = 0

    def source(self) -> Any:
        async def rows() -> AsyncIterator[pl.DataFrame]:
            self.loads += 1
            yield self.rows
            self.begun.set()
            while True:
                if self.goes_on.is_set():
                    return
                self.waits.set()
                await asyncio.sleep(0.01)

        return Source.from_fn(rows, schema=self.rows.schema)

    @property
    def builder(self) -> Builder:
        return Pipeline.builder().source(self.source())


def stream() -> Builder:
    return Pipeline.builder("flights").source(Source.from_frame(FLIGHTS))


async def until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 60)


def stopped(pipeline: Built, begun: threading.Event, **options: Any) -> RunReport:
    """Run a pipeline and stop it once an event has come."""

    async def run() -> RunReport:
        running = asyncio.create_task(pipeline.run(**options))
        await until(begun)
        pipeline.stop()
        return await running

    return asyncio.run(run())


def joined(builder: Builder, table: Any) -> Builder:
    return builder.join(table, on="carrier", how="left")


def as_of(builder: Builder, table: Any) -> Builder:
    table.rows = AIRLINES.with_columns(flight=1)
    return builder.join_asof(table.source(), on="flight", by="carrier")


KINDS: dict[str, Callable[[Slow], Builder]] = {
    "source": lambda table: joined(stream(), table.source()),
    "pipeline": lambda table: joined(stream(), table.builder.filter(pl.col("airline") > "A")),
    "merged": lambda table: joined(stream(), table.builder.merge(table.builder)),
    "second": lambda table: joined(joined(stream(), AIRLINES).drop("airline"), table.builder),
    "table of a table": lambda table: joined(
        stream(),
        joined(Pipeline.builder().source(Source.from_frame(AIRLINES.select("carrier"))), table.builder),
    ),
    "as of": lambda table: as_of(stream(), table),
    "refreshed": lambda table: stream().join(table.builder, on="carrier", refresh="1h"),
    "in a branch": lambda table: (
        stream()
        .split(pl.when(pl.col("flight") > 0).then(pl.lit("a")))
        .branch("a", lambda branch: joined(branch, table.builder))
        .merge()
    ),
    "of another stream": lambda table: (
        stream().with_columns(airline=pl.lit(None, pl.String)).merge(joined(stream(), table.builder))
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stop_does_not_wait_for_a_table(kind: str) -> None:
    table, sink = Slow(), TestSink()
    report = stopped(KINDS[kind](table).sink(sink).build(), table.begun)
    assert report.stopped == "stop"
    assert report.rows_in == report.rows_out == 0 == sink.frame().height
    assert report.losses is not None
    assert report.losses.startswith(
        "noted: 1 table of joins not loaded, as the run was stopped before, first in "
    )
    assert "ended early (stop)" in str(report) and "not loaded" in str(report)


@pytest.mark.parametrize("before", ["nothing", "a run that was stopped", "a run that has ended"])
def test_with_checkpoints_the_next_run_joins_every_row_once(before: str, tmp_path: Path) -> None:
    def job(table: Slow) -> Built:
        builder = joined(
            Pipeline.builder("flights").source(Source.from_file(tmp_path / "in/*.csv")), table.source()
        )
        totals = builder.reduce(by=["airline"], flights=pl.len())
        return totals.sink(Sink.to_file(f"{tmp_path}/out/", format="ndjson")).build()

    state = {"checkpoint": tmp_path / "state"}
    (tmp_path / "in").mkdir()
    FLIGHTS.write_csv(tmp_path / "in/1.csv")
    loaded = Slow()
    loaded.goes_on.set()
    if before == "a run that has ended":
        job(loaded).run_sync(**state)
    for _ in range(2 if before == "a run that was stopped" else 1):
        table = Slow()
        report = stopped(job(table), table.begun, **state)
        assert (report.stopped, report.rows_in) == ("stop", 0) and "not loaded" in str(report)
    FLIGHTS.write_csv(tmp_path / "in/2.csv")
    job(loaded).run_sync(**state)
    out = pl.concat(pl.read_ndjson(file) for file in sorted((tmp_path / "out").glob("*.ndjson")))
    # A run that has ended has given its totals out, and the next one begins with empty ones.
    count = [[1, 1], [1, 1]] if before == "a run that has ended" else [[2], [2]]
    assert (
        out.group_by("airline").agg("flights").sort("airline", nulls_last=True)["flights"].to_list() == count
    )


def test_rows_that_were_read_to_learn_their_columns_wait_for_the_table() -> None:
    table, sink = Slow(), TestSink()
    tx, rx = channel()

    async def run() -> RunReport:
        await tx.send(FLIGHTS)
        pipeline = (
            joined(Pipeline.builder().source(Source.from_channel(rx)), table.source()).sink(sink).build()
        )
        running = asyncio.create_task(pipeline.run())
        await until(table.begun)
        pipeline.stop()
        table.goes_on.set()
        return await running

    report = asyncio.run(run())
    assert (report.stopped, report.rows_in, report.losses) == ("stop", 2, None)
    assert sink.frame()["airline"].to_list() == ["American", None]


def test_a_stop_ends_a_load_that_is_made_again() -> None:
    table, came = Slow(), threading.Event()
    table.goes_on.set()

    async def run() -> RunReport:
        tx, rx = channel()
        rows = Pipeline.builder().source(Source.from_channel(rx, schema=FLIGHTS.schema))
        pipeline = (
            rows.join(table.source(), on="carrier", how="left", refresh="1ms")
            .sink(Sink.to_fn(lambda _: came.set()))
            .build()
        )
        running = asyncio.create_task(pipeline.run())
        await tx.send(FLIGHTS)
        # The first load has ended: the one that waits is another.
        await until(came)
        table.goes_on.clear()
        await until(table.waits)
        pipeline.stop()
        return await running

    report = asyncio.run(run())
    assert table.loads > 1 and (report.stopped, report.rows_out, report.losses) == ("stop", 2, None)


def test_a_time_limit_ends_a_load_too() -> None:
    report = joined(stream(), Slow().source()).sink(TestSink()).build().run_sync(duration="20ms")
    assert (report.stopped, report.rows_in) == ("duration", 0)


def test_a_run_that_is_stopped_before_it_begins_loads_nothing() -> None:
    table = Slow()
    assert joined(stream(), table.source()).collect_sync(limit=0).height == table.loads == 0


def test_a_load_that_fails_ends_the_others() -> None:
    def failing() -> Any:
        async def rows() -> AsyncIterator[pl.DataFrame]:
            yield AIRLINES
            await until(waits.begun)
            raise OSError("no route to the table")

        return Source.from_fn(rows, schema=AIRLINES.schema)

    waits = Slow()
    builder = joined(joined(stream(), waits.source()).drop("airline"), failing())
    with pytest.raises(Exception, match="no route to the table"):
        builder.collect_sync()
