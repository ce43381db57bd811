"""What may change between two runs of one job with checkpoints, and what makes another pipeline of it."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context

from arrowstream import Builder, Pipeline, Sink, Source, Tls
from arrowstream.backends.registry import backends
from arrowstream.core.batch import Batch
from arrowstream.errors import CheckpointError
from arrowstream.io.messages.csv import CsvOptions
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec
from arrowstream.operators.base import Operator, TimedProcess
from arrowstream.operators.rebatch import Rebatch
from arrowstream.plan.compile import compile_plan
from arrowstream.plan.identity import identity
from arrowstream.plan.step_ids import state_ids
from arrowstream.testing import TestSink

FRAME = pl.DataFrame(
    {"x": [1, 2, 3], "k": ["a", "b", "a"], "at": [datetime(2026, 1, day) for day in (1, 2, 3)]}
)
Step = Callable[[Builder], Builder]


def doubled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


def lines(step: Step) -> tuple[tuple[str, ...], tuple[str, ...]]:
    builder = step(Pipeline.builder().source(Source.from_frame(FRAME).with_event_time("at")))
    plan = compile_plan(builder.sink(TestSink()).graph, FRAME.schema, backends())
    return identity(plan), state_ids(builder.graph.steps)


def other() -> Builder:
    return Pipeline.builder("other").source(Source.from_frame(FRAME).with_event_time("at"))


SAME: dict[str, tuple[Step, Step]] = {
    "the rate of a throttle": (lambda b: b.throttle(rows=10), lambda b: b.throttle(batches=1, per="1m")),
    "the size of a queue": (lambda b: b.buffer(2), lambda b: b.buffer(50)),
    "the size of batches": (lambda b: b.batch(2), lambda b: b.batch(nbytes=100, max_delay="1s")),
    "workers": (
        lambda b: b.parallel_map(doubled, workers=2),
        lambda b: b.parallel_map(doubled, workers=5, executor="process"),
    ),
    "a backend": (lambda b: b.filter(pl.col("x") > 1), lambda b: b.filter(pl.col("x") > 1).backend("polars")),
    "memory of a reduce": (
        lambda b: b.reduce(by="k", n=pl.len(), max_bytes=1 << 20),
        lambda b: b.reduce(by="k", n=pl.len(), max_bytes=2 << 20, on_full="spill"),
    ),
    "keys of a scan": (
        lambda b: b.scan(by="k", n=pl.col("x").cum_sum(), max_keys=10),
        lambda b: b.scan(by="k", n=pl.col("x").cum_sum()),
    ),
    "memory of a window": (
        lambda b: b.window(size="1h", on="at", by="k", max_bytes=1 << 20).agg(n=pl.len()),
        lambda b: b.window(size="1h", on="at", by="k").agg(n=pl.len()),
    ),
    "memory of a session": (
        lambda b: b.window(session="1h", on="at", by="k", max_bytes=1 << 20).agg(n=pl.len()),
        lambda b: b.window(session="1h", on="at", by="k").agg(n=pl.len()),
    ),
    "how often a table is loaded again": (
        lambda b: b.join(FRAME.select("k"), on="k", refresh="1m"),
        lambda b: b.join(FRAME.select("k"), on="k"),
    ),
    "memory of a join": (
        lambda b: b.join(other(), on="k", within="1h", max_bytes=1 << 20),
        lambda b: b.join(other(), on="k", within="1h"),
    ),
    "how often versions are loaded again": (
        lambda b: b.join_asof(FRAME.select("at"), on="at", refresh="1m"),
        lambda b: b.join_asof(FRAME.select("at"), on="at"),
    ),
    "memory of a join with versions": (
        lambda b: b.join_asof(other(), on="at", max_bytes=1 << 20),
        lambda b: b.join_asof(other(), on="at"),
    ),
    "memory of rows without duplicates": (
        lambda b: b.unique("k", max_bytes=1 << 20, on_full="spill"),
        lambda b: b.unique("k"),
    ),
    "memory of the largest rows": (
        lambda b: b.top_k(3, by="x", max_bytes=1 << 20),
        lambda b: b.top_k(3, by="x"),
    ),
    "memory of a window of rows": (
        lambda b: b.window(rows=2, by="k", max_bytes=1 << 20).agg(n=pl.len()),
        lambda b: b.window(rows=2, by="k").agg(n=pl.len()),
    ),
}

STATELESS = (
    *("workers", "a backend", "how often a table is loaded again", "how often versions are loaded again"),
    *("memory of a join", "memory of a join with versions"),
)
"""Steps without a state, and those whose operators have two inputs."""

OTHER: dict[str, tuple[Step, Step]] = {
    "which keys are evicted": (
        lambda b: b.scan(by="k", n=pl.col("x").cum_sum(), max_keys=10, on_full="evict"),
        lambda b: b.scan(by="k", n=pl.col("x").cum_sum(), max_keys=20, on_full="evict"),
    ),
    "rows of a window": (
        lambda b: b.window(rows=2, by="k").agg(n=pl.len()),
        lambda b: b.window(rows=3, by="k").agg(n=pl.len()),
    ),
    "a second of a session of 30 days": (
        lambda b: b.window(session="30d", on="at").agg(n=pl.len()),
        lambda b: b.window(session="30d1s", on="at").agg(n=pl.len()),
    ),
    "a microsecond of a window of 30 days": (
        lambda b: b.window(size="720h", on="at").agg(n=pl.len()),
        lambda b: b.window(size="720h1us", on="at").agg(n=pl.len()),
    ),
    "a microsecond of the beginning of windows": (
        lambda b: b.window(size="720h", offset="11d", on="at").agg(n=pl.len()),
        lambda b: b.window(size="720h", offset="11d1us", on="at").agg(n=pl.len()),
    ),
    "which rows of a window are late": (
        lambda b: b.window(size="1h", on="at", allowed_lateness="30d").agg(n=pl.len()),
        lambda b: b.window(size="1h", on="at", allowed_lateness="30d1us").agg(n=pl.len()),
    ),
    "which rows of a session are late": (
        lambda b: b.window(session="1h", on="at").agg(n=pl.len()),
        lambda b: b.window(session="1h", on="at", allowed_lateness="1us").agg(n=pl.len()),
    ),
    "a microsecond of a lateness": (
        lambda b: b.with_event_time("at", lateness="30d"),
        lambda b: b.with_event_time("at", lateness="30d1us"),
    ),
    "a microsecond of a pause": (
        lambda b: b.with_event_time("at", idle="30d"),
        lambda b: b.with_event_time("at", idle="30d1us"),
    ),
    "a microsecond of a jump": (
        lambda b: b.with_event_time("at", max_jump="30d"),
        lambda b: b.with_event_time("at", max_jump="30d1us"),
    ),
    "a microsecond between duplicates": (
        lambda b: b.unique("k", within="30d"),
        lambda b: b.unique("k", within="30d1us"),
    ),
    "which duplicate stays": (lambda b: b.unique("k"), lambda b: b.unique("k", keep="last")),
    "a microsecond between a row and its version": (
        lambda b: b.join_asof(other(), on="at", tolerance="30d"),
        lambda b: b.join_asof(other(), on="at", tolerance="30d1us"),
    ),
    "which rows are the largest": (
        lambda b: b.top_k(3, by="x"),
        lambda b: b.top_k(3, by="x", reverse=True),
    ),
    "a filter": (lambda b: b.filter(pl.col("x") > 1), lambda b: b.filter(pl.col("x") > 2)),
    "a function": (lambda b: b.parallel_map(doubled), lambda b: b.map(doubled)),
    "the order of keys": (
        lambda b: b.reduce(by=["k", "x"], n=pl.len()),
        lambda b: b.reduce(by=["x", "k"], n=pl.len()),
    ),
}


@pytest.mark.parametrize("change", [*SAME, *OTHER])
def test_a_change_of_a_step(change: str) -> None:
    before, after = map(lines, (SAME | OTHER)[change])
    assert (before[0] == after[0]) is (change in SAME)
    assert change in OTHER or before[1] == after[1]  # the state is found


def continued(first: Operator, then: Operator) -> list[Any]:
    """The rows that come out of the second operator, which goes on with the state of the first."""

    def started(operator: Operator) -> Any:
        process: Any = operator.start(FRAME.schema, context())
        if isinstance(process, TimedProcess):
            process.set_time(0)
        return process

    before, after = started(first), started(then)
    held = [*before.process(Batch(FRAME[:1]))]
    after.restore(before.snapshot())
    out = [*held, *after.process(Batch(FRAME[1:])), *after.finish()]
    return [row for item in out if isinstance(item, Batch) for row in item.polars().rows()]


@pytest.mark.parametrize("change", [change for change in SAME if change not in STATELESS])
def test_state_is_restored_after_such_a_change(change: str) -> None:
    rows = Pipeline.builder().source(Source.from_frame(FRAME))
    before, after = (step(rows).graph.steps[-1].operator for step in SAME[change])
    assert isinstance(before, Operator) and isinstance(after, Operator)
    expected = continued(before, before)
    assert expected
    for first, then in ((before, after), (after, before), (after, after)):
        assert continued(first, then) == expected


def test_restored_rows_fill_batches_of_the_new_size() -> None:
    for sizes in ({"rows": 2}, {"rows": 2, "max_delay": "1s"}):
        first = Rebatch(rows=9).start(FRAME.schema, context())
        second: Any = Rebatch(**sizes).start(FRAME.schema, context())  # type: ignore[arg-type]
        assert not [*first.process(Batch(pl.concat([FRAME, FRAME[:2]])))]
        second.restore(first.snapshot())
        assert [batch.num_rows for batch in second.process(Batch(FRAME[:2]))] == [2, 2, 2]
        late = second.on_timer(10**9) if "max_delay" in sizes else second.finish()
        assert [batch.num_rows for batch in late] == [1]
    second = Rebatch(rows=2, max_delay="1s").start(FRAME.schema, context())
    second.restore(first.snapshot())
    assert [batch.num_rows for batch in second.on_timer(10**9)] == [2, 2, 1]


ENDS: dict[str, tuple[SourceSpec | SinkSpec, SourceSpec | SinkSpec]] = {
    "the order of files": (Source.from_file(["a.csv", "b.csv"]), Source.from_file(["b.csv", "a.csv"])),
    "the order of topics": (Source.from_kafka("b:1", ["t", "u"]), Source.from_kafka("c:1", ["u", "t"])),
    "the order of partitions": (
        Source.from_kafka("b:1", "t", partitions=[0, 1]),
        Source.from_kafka("b:1", "t", partitions=[1, 0]),
    ),
    "the login of a database, and how often it is asked": (
        Source.from_database("postgresql://me@h/d?a=1", " SELECT 1\n", increasing="id", poll="1s"),
        Source.from_database("postgresql://you:env:P@h/d", "SELECT 1;", increasing="id"),
    ),
    "the order of a key": (
        Sink.to_database("sqlite:///x.db", "t", mode="upsert", key=["a", "b"]),
        Sink.to_database("sqlite:///x.db", "t", mode="upsert", key=["b", "a"], batch_size=5),
    ),
    "the mode of a table that the job has made": (
        Sink.to_database("sqlite:///x.db", "t", mode="create"),
        Sink.to_database("sqlite:///x.db", "t"),
    ),
    "that of a Delta table": (Sink.to_delta("t", mode="error"), Sink.to_delta("t")),
    "how often a Delta table is looked at": (Source.from_delta("t"), Source.from_delta("t", follow="1s")),
    "the mode of an Iceberg table, and the form of a path": (
        Sink.to_iceberg("a.b", catalog="lake", mode="error"),
        Sink.to_iceberg("a.b", catalog="lake"),
    ),
    "how often an Iceberg table is looked at": (
        Source.from_iceberg("a.b", catalog="lake"),
        Source.from_iceberg("a.b", catalog="lake", follow="1s"),
    ),
    "TLS": (Sink.to_tcp("h:1"), Sink.to_tcp("h:1", tls=Tls())),
    "the size of files": (
        Sink.to_file("out/"),
        Sink.to_file("out/", max_rows_per_file=9, compression="zstd"),
    ),
    "options with the values that they have by default": (
        Source.from_file(["a.csv", "b.csv.gz"]),
        Source.from_file(["a.csv", "b.csv.gz"], delimiter=",", encoding="UTF-8", has_header=True),
    ),
    "the form of null values and of an encoding": (
        Source.from_file("a.csv", null_values="NA", encoding="latin1"),
        Source.from_file("a.csv", null_values=["NA", "NA"], encoding="iso8859-1"),
    ),
    "the order of null values": (
        Source.from_file("a.csv", null_values={"x": "-", "y": "NA"}),
        Source.from_file("a.csv", null_values={"y": "NA", "x": "-"}),
    ),
    "the first sheet": (Source.from_file("a.xlsx"), Source.from_file("a.xlsx", sheet=1)),
    "what becomes of bad rows and of files without content": (
        Source.from_file("in/*.csv"),
        Source.from_file("in/*.csv", bad_rows="skip", skip_empty=True, batch_rows=9),
    ),
    "the delimiter of a name": (Sink.to_file("out.tsv"), Sink.to_file("out.tsv", delimiter="\t")),
}
SOURCE_OPTIONS: dict[str, Any] = {
    "delimiter": ";",
    "quote_char": None,
    "has_header": False,
    "null_values": "NA",
    "comment_prefix": "#",
    "skip_lines": 1,
    "encoding": "latin1",
}
SINK_OPTIONS: dict[str, Any] = {
    "delimiter": ";",
    "quote_char": "'",
    "quote_style": "always",
    "has_header": False,
    "null_values": "NA",
    "float_precision": 2,
    "date_format": "%d.%m.%Y",
    "datetime_format": "%d.%m.%Y",
    "time_format": "%H",
}
OTHER_ENDS: dict[str, tuple[SourceSpec | SinkSpec, SourceSpec | SinkSpec]] = {
    "a query": (
        Source.from_database("sqlite:///x.db", "SELECT id FROM t", increasing="id"),
        Source.from_database("sqlite:///x.db", "SELECT id FROM t WHERE x", increasing="id"),
    ),
    "blanks inside a literal of a query": (
        Source.from_database("sqlite:///x.db", "SELECT id FROM t WHERE s = 'a  b'", increasing="id"),
        Source.from_database("sqlite:///x.db", "SELECT id FROM t WHERE s = 'a b'", increasing="id"),
    ),
    "the end of a comment in a query": (
        Source.from_database("sqlite:///x.db", "SELECT id FROM t -- all\nWHERE x", increasing="id"),
        Source.from_database("sqlite:///x.db", "SELECT id FROM t -- all WHERE x", increasing="id"),
    ),
    "a mode that replaces rows": (
        Sink.to_database("sqlite:///x.db", "t", mode="upsert", key="id"),
        Sink.to_database("sqlite:///x.db", "t"),
    ),
    "a version": (Source.from_delta("t", version=1), Source.from_delta("t")),
    "files": (Source.from_file("a.csv"), Source.from_file(["a.csv", "b.csv"])),
    "a sheet": (Source.from_file("a.xlsx"), Source.from_file("a.xlsx", sheet="2026")),
    "the comma of numbers that are read": (
        Source.from_file("a.csv", delimiter=";"),
        Source.from_file("a.csv", delimiter=";", decimal_comma=True),
    ),
    "the comma of numbers that are written": (
        Sink.to_file("a.csv", delimiter=";"),
        Sink.to_file("a.csv", delimiter=";", decimal_comma=True),
    ),
    "the delimiter of messages": (
        Sink.to_tcp("h:1", format="csv"),
        Sink.to_tcp("h:1", format="csv", delimiter=";"),
    ),
    "null values of records": (
        Sink.to_kafka("b:1", "t", format="csv"),
        Sink.to_kafka("b:1", "t", format="csv", format_options=CsvOptions(null_values="NA")),
    ),
    "how objects are written": (
        Sink.to_file("s3://b/out/", format="csv"),
        Sink.to_file("s3://b/out/", format="csv", null_values="NA"),
    ),
    **{
        f"{name} of files that are read": (
            Source.from_file("a.csv"),
            Source.from_file("a.csv", **{name: value}),
        )
        for name, value in SOURCE_OPTIONS.items()
    },
    **{
        f"{name} of files that are written": (Sink.to_file("a.csv"), Sink.to_file("a.csv", **{name: value}))
        for name, value in SINK_OPTIONS.items()
    },
}


@pytest.mark.parametrize("change", [*ENDS, *OTHER_ENDS])
def test_a_change_of_an_end(change: str) -> None:
    before, after = (ENDS | OTHER_ENDS)[change]
    same = change in ENDS
    assert (before.identity == after.identity) is (before.identity_in_full == after.identity_in_full) is same


WAYS = ("{here}/in", "~/in", "./in/")
"""One folder as it may be written, besides ``in``."""


@pytest.mark.untraced
@pytest.mark.once
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pattern", ["/", "/*.csv"])
def test_paths_may_be_written_in_another_way(
    way: str, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files that have been read are not read again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "in").mkdir()
    expected = []
    for number, base in enumerate(("in", way, "in", way)):
        pl.DataFrame({"x": [number]}).write_csv(f"in/{number}.csv")
        folder = base.format(here=tmp_path).rstrip("/")
        target = f"{folder.removesuffix('in')}out/"
        rows = Pipeline.builder().source(Source.from_file(f"{folder}{pattern}"))
        report = rows.sink(Sink.to_file(target, format="csv")).build().run_sync(checkpoint="state")
        expected.append(number)
        assert report.rows_in == 1
        assert pl.read_csv("out/*.csv")["x"].sort().to_list() == expected


def test_the_rest_of_a_file_is_found_under_another_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs/in").mkdir(parents=True)
    for name in ("a", "b"):
        pl.DataFrame({"x": range(6)}).write_parquet(tmp_path / f"jobs/in/{name}.parquet", row_group_size=2)
    whole = str(tmp_path / "jobs/in")
    written = {".": "jobs/in", "jobs": "in", "/": whole, "//": whole[1:], "jobs/in": "../in"}

    def source(cwd: str) -> SourceSpec:
        monkeypatch.chdir(tmp_path / cwd)
        return Source.from_file(f"{written[cwd]}/*.parquet", batch_rows=2)

    def read(source: SourceSpec, resume: Any = None, most: int = 9) -> tuple[list[int], Any]:
        reader: Any = source.open(context(), None, resume)
        found = []
        while len(found) < most and (batch := reader.read()) is not None:
            found += batch.polars()["x"].to_list()
        reader.close()
        return found, json.loads(json.dumps(dict(reader.position())))

    for before in (".", "jobs", "/", "//"):
        head, position = read(source(before), most=8)
        known = source(before).identity_in_full
        assert len(head) == 8
        for after in (".", "jobs", "/", "//"):
            assert source(after).identity_in_full == known
            assert read(source(after), position)[0] == [2, 3, 4, 5]
    # A folder above is not followed, and refused as another pipeline.
    assert source("jobs/in").identity_in_full != known
    # A moved folder is found by relative paths.
    position = read(source("."), most=8)[1]
    (tmp_path / "moved").mkdir()
    (tmp_path / "jobs").rename(tmp_path / "moved/jobs")
    monkeypatch.chdir(tmp_path / "moved")
    assert read(Source.from_file("jobs/in/*.parquet", batch_rows=2), position)[0] == [2, 3, 4, 5]


def test_some_relative_paths_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Source.from_file(["/b.csv", "a.csv"]).identity_in_full == "file /b.csv, a.csv"
    both = Source.from_file(["s3://bucket/b.csv", "a.csv"])
    assert both.identity_in_full == f"file {tmp_path}/a.csv, s3://bucket/b.csv"


def test_another_pipeline_is_refused_whatever_its_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FRAME.select("x").write_csv("in.csv")
    for number, name in enumerate(("out/", f"{tmp_path}/out/", "other/")):
        job = Pipeline.builder().source(Source.from_file("in.csv")).sink(Sink.to_file(name)).build()
        if number < 2:
            job.run_sync(checkpoint="state")
    with pytest.raises(
        CheckpointError, match=r"(?s)another pipeline.*- sink: files .*/out/.*\+ sink: files other/"
    ):
        job.run_sync(checkpoint="state")


def test_rows_of_another_form_are_not_added_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FRAME.select("x").write_csv("in.csv")

    def job(read: dict[str, Any], written: dict[str, Any]) -> Pipeline:
        source = Source.from_file("in.csv", **read)
        return Pipeline.builder().source(source).sink(Sink.to_file("out.csv", **written)).build()

    job({}, {}).run_sync(checkpoint="state")
    with pytest.raises(CheckpointError, match=r"\+ sink: file out.csv \(csv, delimiter=';'\)"):
        job({}, {"delimiter": ";"}).run_sync(checkpoint="state")
    with pytest.raises(CheckpointError, match=r"\+ source: file in.csv \(null_values=\['2'\]\)"):
        job({"null_values": "2"}, {}).run_sync(checkpoint="state")
