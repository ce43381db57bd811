"""What sources, sinks, reports, metrics, settings and errors show in a cell."""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from shown_html import HOSTILE, text_of

from arrowstream import ErrorHandler, Pipeline, RunReport, Settings, Sink, Source, StageMetrics
from arrowstream.cli.json_output import of_report
from arrowstream.core.notes import ReaderNote
from arrowstream.errors import ArrowstreamError, SchemaError, StageError
from arrowstream.metrics.checkpoints import CheckpointMetrics
from arrowstream.metrics.snapshot import Metrics
from arrowstream.shown import Shown
from arrowstream.testing import TestSink

pytestmark = pytest.mark.once

FRAME = pl.DataFrame({"k": ["a", "b"], "x": [1, 2]})


def said(thing: Shown) -> str:
    return text_of(thing._repr_html_())


def plain(thing: Shown) -> str:
    return thing._repr_mimebundle_()["text/plain"]


def test_a_source_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    FRAME.write_parquet(file)
    source = Source.from_file(file)
    found = said(source)
    assert f"file {file} (parquet, 1 file)" in found and "2 columns" in found and "Int64" in found
    assert "continues after a restart" in found
    assert plain(source) == f"Source: file {file} (parquet, 1 file)"
    timed = source.with_event_time("x", lateness="5s")
    assert "event time: x, 5 s of lateness" in said(timed)
    assert plain(timed) == f"{plain(source)}, event time in x"


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    found = said(Source.from_file(tmp_path / "missing.parquet"))
    assert "SourceError" in found and "missing.parquet" in found


def test_sources_without_columns_yet() -> None:
    async def nothing() -> None:
        return None

    found = said(Source.from_fn(nothing))
    assert "learnt from the first batch" in found and "cannot continue after a restart" in found


def test_sources_that_take_a_connection(tmp_path: Path) -> None:
    database = Source.from_database(f"sqlite:///{tmp_path / 'x.db'}", "SELECT 1 AS x")
    assert "takes a connection" in said(database) and not (tmp_path / "x.db").exists()
    assert plain(database).startswith("Source: database sqlite ")
    pipe = Source.from_file("/dev/stdin", format="csv")
    assert "takes a connection" in said(pipe) and plain(pipe) == "Source: file /dev/stdin"


def test_sources_of_messages() -> None:
    source = Source.from_tcp("127.0.0.1:0", format="ndjson", schema={"id": pl.Int64})
    found = said(source)
    assert "messages: " in found and "id" in found and "value" not in found


def test_sources_of_lakes(tmp_path: Path) -> None:
    pytest.importorskip("deltalake")
    FRAME.write_delta(tmp_path / "t")
    assert "2 columns" in said(Source.from_delta(tmp_path / "t"))
    assert not Source.from_delta("s3://bucket/t").at_hand
    assert not Source.from_iceberg("db.t", catalog=tmp_path / "warehouse").at_hand


def test_sinks() -> None:
    one = Sink.to_fn(print)
    assert said(one).split("\n") == [
        "Sink",
        "fn print",
        "guarantee: at most once: fn is called once a batch, in order",
    ]
    assert plain(one) == "Sink: fn print; at most once: fn is called once a batch, in order"
    bound = one.on_error(ErrorHandler.retry(2, delay="1s")).best_effort(8)
    found = said(bound)
    assert (
        "best effort: misses batches while 8 batches wait" in found and "on error: retry(2, delay=1" in found
    )
    assert plain(bound).startswith("Sink: fn print, best effort, on error: retry(2, delay=1")
    assert plain(one.best_effort()) == "Sink: fn print, best effort"
    both = Sink.fanout([one.on_error(ErrorHandler.skip()), TestSink()])
    assert said(both).count("Sink") == 3 and "fan-out to 2 sinks" in said(both)
    assert plain(both) == "Sink: fan-out to 2 sinks\n  Sink: fn print, on error: skip()\n  Sink: test"


STAGES = (
    StageMetrics("source", 1000, 1000, {"read": 3}, 0.25),
    StageMetrics("window", 1000, 10, {"window": 3}, 0.5, late_rows=7, late_rows_kept=2),
    StageMetrics("sink", 10, 10, {"write": 1}, errors=2),
)


def test_a_report() -> None:
    note = ReaderNote("values left out", 3, "row 3")
    report = RunReport("bids", 1000, 10, 2.0, STAGES, "limit", (note,), CheckpointMetrics(2, 12))
    found = said(report).split("\n")
    assert (
        "Run of" in found and "1,000 rows in, 10 rows out, 2.00 s, 500 rows/s, ended early (limit)" in found
    )
    assert found[found.index("batches") + 1 :][:3] == ["late", "errors", "source"]
    assert "lost: 5 rows came late to window; 3 values left out, first in row 3" in found
    assert any(line.startswith("2 checkpoints") for line in found)
    assert plain(report) == str(report)
    assert "failed" not in found and "dropped" not in found
    noted = RunReport("a: b", 1, 1, 1.0, (), notes=(ReaderNote("rows noted", 1, "row 1", lost=False),))
    assert "noted: 1 row noted, first in row 1" in said(noted)
    assert "1 row in, 1 row out, 1.00 s, 1 rows/s" in said(noted)


def test_metrics_before_and_after_a_run() -> None:
    pipeline = Pipeline.builder(name="m").source(Source.from_frame(FRAME)).sink(TestSink()).build()
    assert "not running, 0 rows in" in said(pipeline.metrics()) and "stage" not in said(
        pipeline.metrics()
    ).split("\n")
    pipeline.run_sync()
    found = said(pipeline.metrics())
    assert "2 rows in, 2 rows out" in found and " ms" in found and "read 1" in found
    assert plain(pipeline.metrics()) == str(pipeline.metrics())
    assert "running, 0 rows in" in said(Metrics.of("m", running=True))


def test_settings_with_their_origins() -> None:
    settings = Settings.load(environ={"ARROWSTREAM_MAX_RETRIES": "7"})
    found = said(settings).split("\n")
    assert "1 value given, all others are defaults" in found
    place = found.index("max_retries")
    assert found[place : place + 3] == ["max_retries", "7", "ARROWSTREAM_MAX_RETRIES"]
    assert "defaults" in said(Settings()).split("\n")
    assert "max_retries           = 7  (ARROWSTREAM_MAX_RETRIES)" in plain(settings).split("\n")
    assert repr(settings).startswith("Settings(default_buffer_size=")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_comes_from_outside_is_text(hostile: str) -> None:
    note = ReaderNote(hostile, 3, hostile)
    stages = StageMetrics(hostile, 1, 1, {hostile: 1}, late_rows=1), StageMetrics("b")
    report = RunReport(hostile, 1, 1, 1.0, stages, hostile, (note,))
    text_of(report._repr_html_())
    text_of(Metrics("m" + hostile, 1.0, True, 1, 1, STAGES[0].latency, 0, {hostile: stages[0]})._repr_html_())
    text_of(StageError(hostile, stage=hostile, position=hostile, hint=hostile)._repr_html_())
    name = hostile.encode(errors="replace").decode().replace("\0", "")
    text_of(Source.from_frame(pl.DataFrame({name: [1]})).with_event_time(name)._repr_html_())
    text_of(Sink.to_file(f"out/{name[:50]}", format="csv")._repr_html_())


def test_an_error_with_its_causes() -> None:
    error = StageError("it failed", stage="map", hint="try again")
    cause = ValueError("because\nof this")
    error.__cause__ = cause
    cause.__cause__ = error  # a circle ends
    assert text_of(error._repr_html_()).split("\n") == [
        *("StageError", " it failed (stage map)", "  hint: try again", "ValueError", " because", "of this")
    ]


@pytest.mark.parametrize("kind", [ArrowstreamError, SchemaError])
def test_errors_say_the_same_as_in_a_terminal(kind: Any) -> None:
    error = kind("no column 'y'", stage="filter", expected="x", found="y", hint="did you mean 'x'?")
    assert text_of(error._repr_html_()).replace("\n", "").replace(" ", "") == (
        f"{kind.__name__}{error}".replace("\n", "").replace(" ", "")
    )


def test_a_sink_that_is_refused(tmp_path: Path) -> None:
    sink = Sink.to_file(tmp_path / "x.pdf")
    reason = "does not tell a file format"
    assert plain(sink).startswith("Sink: a sink that is refused: the name ") and plain(sink).endswith(reason)
    assert "PlanError" in said(sink) and reason in said(sink) and "hint: rename the file" in said(sink)
    both = Sink.fanout([sink.on_error(ErrorHandler.skip()), Sink.to_file(tmp_path / "x.csv")])
    assert reason in said(both) and "x.csv (csv)" in said(both)
    assert reason in plain(both) and "on error: skip" in plain(both)
    builder = Pipeline.builder("p").source(Source.from_frame(FRAME)).sink(sink)
    assert reason in repr(builder)
    assert "Builder" in said(builder) and reason in said(builder) and "hint: rename the file" in said(builder)


def test_steps_that_are_not_finished_say_what_comes_next() -> None:
    builder = Pipeline.builder().source(Source.from_frame(FRAME))
    assert repr(builder.group_by("k")) == (
        "<group_by(...), not finished: .agg(...) comes next, as in .group_by(...).agg(n=pl.len())>"
    )
    assert ".agg(...) comes next" in repr(builder.window(rows=2))
    assert ".merge() comes next" in repr(builder.split("k").branch("a"))


def test_rows_that_a_table_lacks_are_among_the_losses() -> None:
    def refuses_one(rows: pa.RecordBatch) -> pa.RecordBatch:
        if 1 in rows["x"].to_pylist():
            raise ValueError("not this one")
        return rows

    numbers = FRAME.select("x")
    names = Pipeline.builder("names").source(Source.from_frame(numbers))
    table = names.map(refuses_one, schema=numbers.schema).on_error(ErrorHandler.skip())
    joined = Pipeline.builder("rows").source(Source.from_frame(FRAME)).join(table, on="x", how="left")
    report = joined.sink(TestSink()).build().run_sync()
    assert report.losses is not None
    assert report.losses == "lost: 1 row failed in join > map and was skipped"
    assert report.lost_rows == 0 < report.inner["join"].stages["map"].lost_rows
    assert str(report).endswith(report.losses)
    assert report.losses in said(report) and 'class="as-lost"' in report._repr_html_()


def test_the_stages_of_a_table_are_in_every_report() -> None:
    numbers = FRAME.select("x")
    names = Pipeline.builder("codes").source(Source.from_frame(numbers)).filter(pl.col("x") > 0)
    table = Pipeline.builder("names").source(Source.from_frame(numbers)).join(names, on="x")
    builder = Pipeline.builder("rows").source(Source.from_frame(FRAME)).join(table, on="x")
    pipeline = builder.sink(TestSink()).build()
    report = pipeline.run_sync()
    inside = ["join", *(f"join > {name}" for name in ("source", "join"))]
    inside += [*(f"join > join > {name}" for name in ("source", "filter", "sink")), "join > sink"]
    assert [stage.name for stage in report.all_stages] == ["source", *inside, "sink"]
    assert [stage.name for stage in report.stages] == ["source", "join", "sink"]
    assert report.rows_in == FRAME.height and report.inner["join"].rows_in == FRAME.height
    text = str(report).split("\n")
    assert [line.split("  ")[1] for line in text[1:]] == ["source", *inside, "sink"]
    assert [stage["name"] for stage in of_report(report)["tables"]["join"]] == [
        name.removeprefix("join > ") for name in inside[1:]
    ]
    for shown in (report, pipeline.metrics()):
        assert [line for line in said(shown).split("\n") if line in inside] == inside
