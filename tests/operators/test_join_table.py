"""`join` with a table: the rows of Polars' `join`, for any cuts of the stream."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream import Builder, Pipeline, Sink, Source, channel
from arrowstream.builder.other_side import BuilderLoad, BuilderTable
from arrowstream.config.settings import Settings
from arrowstream.core.batch import Batch
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.join import TableJoin
from arrowstream.operators.joins import table_index, table_joining
from arrowstream.operators.joins.keys import JoinKeys
from arrowstream.operators.joins.table_index import TableIndex
from arrowstream.operators.joins.tables import FrameTable, JoinTable, TableLoad
from arrowstream.state.memory import StateMemory
from arrowstream.testing import ManualClock, TestSink

HOW = ["inner", "left", "semi", "anti"]

KEYS: dict[str, tuple[pl.DataType, list[Any]]] = {
    "small": (pl.Int64(), [0, 1, 2, 3, None]),
    "far": (pl.Int64(), [-(2**63), 2**63 - 1, 0, 5, None]),
    "unsigned": (pl.UInt64(), [0, 2**64 - 1, 7, None]),
    "float": (pl.Float64(), [0.0, -0.0, math.nan, math.inf, 1.5, None]),
    "text": (pl.String(), ["", "a", "ä", "a longer text than twelve bytes", None]),
    "binary": (pl.Binary(), [b"", b"\0", b"a", None]),
    "truth": (pl.Boolean(), [True, False, None]),
    "date": (pl.Date(), [0, 19_000, -5, None]),
    "enum": (pl.Enum(["x", "y", "z"]), ["x", "y", None]),
    "category": (pl.Categorical(), ["x", "y", None]),
}


def stream(frame: pl.DataFrame, cuts: tuple[int, ...] = ()) -> Builder:
    """Return a builder whose batches end at the given rows."""
    ends = [0, *sorted(cuts), frame.height]
    parts = [frame[a:b] for a, b in pairwise(ends)]
    return Pipeline.builder().source(Source.from_frame(parts, schema=frame.schema))


@st.composite
def sides(draw: Any) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Draw a stream and a table with one to three keys."""
    chosen = draw(st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=3, unique=True))
    frames = []
    for value, most in (("a", 20), ("b", 8)):
        height = draw(st.integers(0, most))
        columns = {
            name: pl.Series(
                draw(st.lists(st.sampled_from(KEYS[name][1]), min_size=height, max_size=height)),
                dtype=KEYS[name][0],
            )
            for name in chosen
        }
        frames.append(
            pl.DataFrame(
                {**columns, value: range(height), "both": [value] * height},
                schema_overrides={value: pl.Int64, "both": pl.String},
            )
        )
    return frames[0], frames[1], chosen


@settings(max_examples=examples(100))
@given(sides(), st.sampled_from(HOW), st.booleans(), st.lists(st.integers(0, 20), max_size=3))
def test_the_rows_are_those_of_polars(
    drawn: tuple[pl.DataFrame, pl.DataFrame, list[str]], how: Any, nulls_equal: bool, cuts: list[int]
) -> None:
    left, right, keys = drawn
    out = stream(left, tuple(min(cut, left.height) for cut in cuts)).join(
        right, keys, how, nulls_equal=nulls_equal
    )
    expected = left.join(right, on=keys, how=how, nulls_equal=nulls_equal, maintain_order="left_right")
    assert out.collect_sync().equals(expected, null_equal=True)
    assert out.schema() == expected.schema


FLIGHTS = pl.DataFrame({"flight": [1, 2, 3, 4], "carrier": ["AA", "XX", None, "UA"]})
AIRLINES = pl.DataFrame({"carrier": ["UA", "AA", None], "airline": ["United", "American", "nobody"]})


@pytest.mark.parametrize("of", ["frame", "lazy", "arrow", "pandas", "path", "source", "builder"])
def test_a_table_may_be_anything_with_rows_that_ends(of: str, tmp_path: Path) -> None:
    AIRLINES.write_parquet(tmp_path / "airlines.parquet")
    tables: dict[str, Any] = {
        "frame": AIRLINES,
        "lazy": AIRLINES.lazy(),
        "arrow": AIRLINES.to_arrow(),
        "pandas": AIRLINES.to_pandas(),
        "path": tmp_path / "airlines.parquet",
        "source": Source.from_file(tmp_path / "*.parquet"),
        "builder": stream(AIRLINES.rename({"carrier": "c"})).rename({"c": "carrier"}),
    }
    out = stream(FLIGHTS, (2,)).join(tables[of], on="carrier", how="left").collect_sync()
    assert out["airline"].to_list() == ["American", None, None, "United"]


def test_columns_are_named_as_polars_names_them() -> None:
    left = pl.DataFrame({"k": [1, 2], "x": ["a", "b"], "y": [True, False]})
    right = pl.DataFrame({"y": [5, 6], "n": [2, 1], "x": ["c", "d"]})
    named: Any = {"left_on": "k", "right_on": "n", "suffix": "_table"}
    assert (
        stream(left)
        .join(right, **named)
        .collect_sync()
        .equals(left.join(right, **named, maintain_order="left"))
    )
    assert stream(left).join(right, **named).collect_sync().columns == ["k", "x", "y", "y_table", "x_table"]
    with pytest.raises(SchemaError, match=r"two columns the same name.*\n.*\n.*found: x_table|x"):
        stream(left).join(right, left_on="k", right_on="n", suffix="").explain()


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pl.Int8(), pl.Int64()),
        (pl.UInt32(), pl.Int16()),
        (pl.String(), pl.Categorical()),
        (pl.Enum(["1", "2"]), pl.String()),
        (pl.Enum(["1", "2"]), pl.Enum(["2", "3"])),
    ],
    ids=str,
)
def test_keys_of_related_types_are_compared_by_value(left: pl.DataType, right: pl.DataType) -> None:
    one, two = (pl.Series(values, dtype=pl.String) for values in (["1", "2"], ["2", "3"]))
    rows = pl.DataFrame({"k": one.cast(left)})
    table = pl.DataFrame({"k": two.cast(right), "v": ["two", "three"]})
    out = stream(rows).join(table, on="k", how="left")
    assert out.collect_sync()["v"].to_list() == [None, "two"]
    assert out.schema() == {"k": left, "v": pl.String()}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pl.Int64(), pl.Float64()),
        (pl.Int64(), pl.UInt64()),
        (pl.Date(), pl.Datetime()),
        (pl.String(), pl.Int64()),
    ],
    ids=str,
)
def test_keys_that_cannot_be_compared_are_refused(left: pl.DataType, right: pl.DataType) -> None:
    table = pl.DataFrame(schema={"k": right})
    with pytest.raises(SchemaError, match=r"cannot compare these keys(.*\n)*.*found: k .* and k "):
        stream(pl.DataFrame(schema={"k": left})).join(table, on="k").explain()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, "takes its keys once"),
        ({"on": "carrier", "left_on": "carrier"}, "takes its keys once"),
        ({"left_on": "carrier"}, "as many keys on one side"),
        ({"left_on": ["carrier", "flight"], "right_on": "carrier"}, "as many keys on one side"),
        ({"on": ["carrier", "carrier"]}, r"join\(on=...\) names a column twice"),
        (
            {"left_on": pl.col("carrier"), "right_on": "carrier"},
            r"join\(left_on=...\) takes names of columns",
        ),
        ({"on": "carrier", "how": "full"}, "for a join with a stream, which needs within="),
        ({"on": "carrier", "on_full": "spill"}, r"join\(on_full=...\) is for a join with a stream"),
        ({"on": "carrier", "late": Sink.to_file("late/")}, "found: late=files late/"),
        ({"on": "carrier", "how": "outer"}, r"join\(how=...\) is unknown"),
        ({"on": "carrier", "validate": "1:1"}, r"join\(validate=...\) is unknown"),
        ({"on": "carrier", "refresh": 0}, r"join\(refresh=...\) is too short"),
        ({"on": "carier"}, "did you mean 'carrier'"),
        ({"left_on": "flight", "right_on": "code"}, "the other side does not have"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(named: dict[str, Any], message: str) -> None:
    with pytest.raises((PlanError, SchemaError), match=message):
        stream(FLIGHTS).join(AIRLINES, **named).explain()


def test_a_table_that_does_not_end_or_has_no_schema_or_has_a_sink_is_refused(tmp_path: Path) -> None:
    AIRLINES.write_csv(tmp_path / "a.csv")
    endless = [
        Source.from_file(tmp_path / "*.csv", watch="1s"),
        Source.from_kafka("localhost:1", "t"),
        Source.from_tcp("127.0.0.1:0", format="ndjson", schema=AIRLINES.schema),
        Source.from_database("sqlite:///a.db", "SELECT * FROM t", increasing="id", poll="1s"),
        Source.from_delta(tmp_path / "t", follow="1s"),
        Source.from_iceberg("n.t", catalog=tmp_path / "c", follow="1s"),
    ]
    for source in endless:
        with pytest.raises(PlanError, match="takes a table, which ends"):
            stream(FLIGHTS).join(source, on="carrier")
    _, receiver = channel(1)
    with pytest.raises(PlanError, match="whose columns are known"):
        stream(FLIGHTS).join(Source.from_channel(receiver), on="carrier").explain()
    with pytest.raises(PlanError, match=r"expected: a builder with a source(.*\n)*.*found: no source"):
        stream(FLIGHTS).join(Pipeline.builder(), on="carrier")


def test_a_key_that_comes_twice_in_the_table_multiplies_rows_or_is_refused() -> None:
    twice = pl.concat([AIRLINES, AIRLINES[:1]])
    out = stream(FLIGHTS).join(twice, on="carrier").collect_sync()
    assert out.rows() == [(1, "AA", "American"), (4, "UA", "United"), (4, "UA", "United")]
    with pytest.raises(StageError, match=r"comes more than once(.*\n)*.*found: \{'carrier': 'UA'\}"):
        stream(FLIGHTS).join(twice, on="carrier", validate="m:1").collect_sync()
    assert stream(FLIGHTS).join(AIRLINES, on="carrier", validate="m:1").collect_sync().height == 2


def test_many_matches_come_out_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_index, "MATCHES_AT_A_TIME", 4)
    table = pl.DataFrame({"k": [1] * 10 + [2] * 3 + [3], "v": range(14)})
    rows = pl.DataFrame({"k": [2, 1, 9, 3, 2, 2, None]})
    pairs = list(TableIndex(table.select("k"), StateMemory()).pairs(rows, unmatched=True))
    assert max(len(ours) for ours, _ in pairs) <= 6
    for how in ("inner", "left"):
        expected = rows.join(table, on="k", how=how, maintain_order="left_right")
        assert stream(rows).join(table, on="k", how=how).collect_sync().equals(expected)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("nulls_equal", [False, True])
def test_rows_of_each_kind_of_join(how: Any, nulls_equal: bool) -> None:
    left = pl.DataFrame({"k": ["a", None, "b", "a"], "n": [1, 1, None, 2], "v": range(4)})
    right = pl.DataFrame({"k": ["a", None, "b", "a", "a"], "n": [1, 1, None, 1, 3], "w": range(5)})
    named: Any = {"on": ["k", "n"], "how": how, "nulls_equal": nulls_equal}
    expected = left.join(right, **named, maintain_order="left_right")
    assert stream(left, (1, 3)).join(right, **named).collect_sync().equals(expected)
    lonely = left.with_columns(k=pl.lit(None, pl.String))
    assert stream(left).join(lonely, on="k", how=how).collect_sync().height == (
        4 if how in ("left", "anti") else 0
    )


def test_a_table_of_keys_alone_adds_no_column() -> None:
    codes = pl.DataFrame({"carrier": ["AA", "UA", "UA"]})
    assert stream(FLIGHTS).join(codes, on="carrier").collect_sync()["flight"].to_list() == [1, 4, 4]


class Load(TableLoad):
    """The next of several loads."""

    def __init__(self, loads: list[pl.DataFrame | Exception]) -> None:
        self.loads = loads

    def rows(self) -> pl.DataFrame:
        load = self.loads.pop(0)
        if isinstance(load, Exception):
            raise load
        return load


class Changing(JoinTable):
    """A table that is another one at each load; an exception stands for a load that fails."""

    def __init__(self, *loads: pl.DataFrame | Exception) -> None:
        self.loads = list(loads)

    @property
    def schema(self) -> pl.Schema:
        return AIRLINES.schema

    def load(self) -> TableLoad:
        return Load(self.loads)

    def describe(self) -> str:
        return "a table that changes"


def test_a_table_is_loaded_again_while_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    newer = AIRLINES.with_columns(airline=pl.lit("newer"))
    other = AIRLINES.rename({"airline": "name"})
    table = Changing(AIRLINES, OSError("no route to the table"), other, newer)

    async def run() -> list[str]:
        clock, budget = ManualClock(), MemoryBudget()
        join = TableJoin(table, JoinKeys(("carrier",), ("carrier",)), refresh="10m")
        process = join.start(FLIGHTS.schema, replace(context("airlines"), clock=clock, memory=budget))
        await process.load()
        await process.open()
        held = budget.held

        async def first() -> str:
            [out] = await process.process(Batch(FLIGHTS))
            return str(out.polars()["airline"][0])

        found = [await first()]
        await clock.advance(599)
        assert len(table.loads) == 3
        for seconds, left in ((1, 2), (600, 1), (600, 0)):
            await clock.advance(seconds)
            assert len(table.loads) == left
            found.append(await first())
        assert 0 < budget.held <= held, "the memory of the last table is released"
        await process.close()
        return found

    assert asyncio.run(run()) == ["American", "American", "American", "newer"]
    assert "airlines: the table could not be loaded again" in caplog.text
    assert "no route to the table" in caplog.text and "has other columns" in caplog.text


def test_a_row_that_comes_before_the_table_is_loaded_waits_for_it() -> None:
    async def run() -> list[str]:
        join = TableJoin(FrameTable(AIRLINES), JoinKeys(("carrier",), ("carrier",)), refresh="10m")
        process = join.start(FLIGHTS.schema, context("airlines"))
        await process.open()
        [out] = await process.process(Batch(FLIGHTS))
        assert process.notes == ()
        await process.close()
        return out.polars()["airline"].to_list()

    assert asyncio.run(run())[0] == "American"


def test_a_large_batch_is_looked_up_on_a_thread_and_a_table_counts_as_memory() -> None:
    rows = pl.DataFrame({"carrier": ["AA", "UA", "XX"] * 30_000})
    assert stream(rows).join(AIRLINES, on="carrier").collect_sync()["airline"].value_counts().height == 2
    with pytest.raises(StageError, match="state_memory_mb"):
        wide = pl.DataFrame({"carrier": range(300_000), "v": range(300_000)})
        stream(wide.select("carrier")).join(wide, on="carrier").sink(TestSink()).build(
            settings=Settings(state_memory_mb=1)
        ).run_sync()


def test_a_run_that_is_cancelled_while_the_table_is_loaded_ends_that() -> None:
    """The source of the table waits for ever, and the load with it, unless it is stopped."""
    waiting = asyncio.Event()

    async def slow() -> AsyncIterator[pl.DataFrame]:
        yield AIRLINES
        loop.call_soon_threadsafe(waiting.set)
        while True:
            await asyncio.sleep(0.01)
            yield AIRLINES

    async def run() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        running = asyncio.create_task(stream(FLIGHTS).join(table, on="carrier").collect())
        await waiting.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    loop: Any = None
    table = Pipeline.builder().source(Source.from_fn(slow, schema=AIRLINES.schema))
    asyncio.run(run())


def test_a_run_that_is_cancelled_before_the_load_has_begun_ends_that(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, stopped, ended = asyncio.Event(), threading.Event(), threading.Event()
    rows, stop = BuilderLoad.rows, BuilderLoad.stop

    def late(load: BuilderLoad) -> pl.DataFrame:
        loop.call_soon_threadsafe(begun.set)
        assert stopped.wait(60)
        return rows(load)

    def noted(load: BuilderLoad) -> None:
        stop(load)
        stopped.set()

    async def long() -> AsyncIterator[pl.DataFrame]:
        for _ in range(3_000):
            await asyncio.sleep(0.01)
            yield AIRLINES
        ended.set()

    async def run() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        running = asyncio.create_task(stream(FLIGHTS).join(table, on="carrier").collect())
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    loop: Any = None
    monkeypatch.setattr(BuilderLoad, "rows", late)
    monkeypatch.setattr(BuilderLoad, "stop", noted)
    table = Pipeline.builder().source(Source.from_fn(long, schema=AIRLINES.schema))
    asyncio.run(run())
    assert not ended.is_set(), "the table was read to its end"


def test_matches_of_a_batch_are_made_as_they_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_index, "MATCHES_AT_A_TIME", 10)
    made = 0
    find = table_joining._gathered

    def counted(*arguments: Any) -> Any:
        nonlocal made
        made += 1
        return find(*arguments)

    monkeypatch.setattr(table_joining, "_gathered", counted)
    table = pl.DataFrame({"k": [1] * 10, "v": range(10)})
    rows = pl.DataFrame({"k": [1] * 20})
    seen: list[int] = []
    builder = stream(rows).join(table, on="k").sink(Sink.to_fn(lambda batch: seen.append(made)))
    assert builder.build().run_sync().rows_out == 200
    assert len(seen) == 20 and seen[0] < 10 and seen[-1] == 20


def test_what_a_checkpoint_knows_of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its columns and steps, but not its rows, where they come from, and when they are loaded again."""
    monkeypatch.chdir(tmp_path)
    AIRLINES.write_csv("a.csv")
    table = Pipeline.builder().source(Source.from_file("a.csv"))

    def known(other: Any, **named: Any) -> str:
        named = {"on": "carrier", "validate": "m:1", "nulls_equal": True} | named
        [step] = stream(FLIGHTS).join(other, **named).graph.steps
        return step.operator.identity

    expected = "on='carrier', nulls_equal=True, how='inner', validate='m:1')"
    assert known("a.csv") == f"join(a table of carrier, airline, {expected}"
    same = [AIRLINES, tmp_path / "a.csv", pl.concat([AIRLINES, AIRLINES]), table]
    assert {known(other, refresh="1m") for other in same} == {known("a.csv")}
    steps = [
        table.filter(pl.col("airline") > "A"),
        table.filter(pl.col("airline") > "B"),
        table.drop("airline"),
    ]
    assert len({known(other) for other in (table, *steps)}) == 4


def test_a_table_that_is_not_being_loaded_has_nothing_to_stop() -> None:
    for table in (FrameTable(AIRLINES), BuilderTable("join", stream(AIRLINES))):
        load = table.load()
        load.stop()
        assert load.metrics is None and load.rows().equals(AIRLINES)
        load.stop()


def test_explain_says_what_the_table_is(tmp_path: Path) -> None:
    AIRLINES.write_csv(tmp_path / "a.csv")
    plan = (
        stream(FLIGHTS)
        .join(AIRLINES, on="carrier")
        .join(tmp_path / "a.csv", on="carrier", refresh="10m")
        .explain()
    )
    assert "join(a frame of carrier, airline, on='carrier', how='inner')" in plan
    assert f"join(file {tmp_path}/a.csv" in plan and "how='inner', refresh='10m')" in plan
