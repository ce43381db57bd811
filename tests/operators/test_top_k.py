"""`top_k`: the rows that Polars finds in the whole, once groups are complete or as they change."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_input import Scripted, fed
from polars.testing import assert_frame_equal
from windowing import little_put_aside

from arrowstream import Builder, Pipeline, Source
from arrowstream.core.batch import Batch, Idle, Watermark
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.core.rows.changes import CHANGE_TYPE
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.base import Process
from arrowstream.operators.ranking import running_largest
from arrowstream.operators.ranking.order import RowOrder
from arrowstream.operators.top_k import TopK
from arrowstream.state.limit import StateLimit
from arrowstream.testing import TestSink

VALUES: dict[str, tuple[pl.DataType, list[Any]]] = {
    "s": (pl.String(), ["x", "a longer text than that", None]),
    "f": (pl.Float64(), [0.0, -0.0, float("nan"), None, 1.5]),
    "n": (pl.Int8(), [0, 1, None]),
    "c": (pl.Enum(["red", "green"]), ["red", "green", None]),
    "l": (pl.List(pl.String()), [[], None, ["a"], ["b", None]]),
}


@st.composite
def rows(draw: Any, most: int = 30) -> pl.DataFrame:
    height = draw(st.integers(0, most))

    def drawn(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=height, max_size=height))

    steps, early = drawn(st.integers(0, 2)), drawn(st.integers(0, 2))
    times = [max(int(time) - late, 0) for time, late in zip(np.cumsum(steps), early, strict=True)]
    columns = {name: drawn(st.sampled_from(values)) for name, (_, values) in VALUES.items()}
    schema = {"ts": pl.Int64, **{name: dtype for name, (dtype, _) in VALUES.items()}, "row": pl.Int64}
    return pl.DataFrame({"ts": times, **columns, "row": range(height)}, schema=schema)


def largest(frame: pl.DataFrame, k: int, order: RowOrder, per: list[str]) -> pl.DataFrame:
    """The rows by Polars on the whole, groups in the order in which they first came."""
    # By the place, too: before Polars 2, nulls alone are turned round in descending order.
    ordered = frame.sort(
        *order.by, "row", descending=[*order.descending, False], nulls_last=[*order.nulls_last, False]
    )
    if not per:
        return ordered.head(k)
    ordered = ordered.with_columns(first=pl.col("row").min().over(per))
    # Not group_by(per).head(k): its rows have the key of their group, which is 0.0 for -0.0.
    kept = ordered.filter(pl.int_range(pl.len()).over(per) < k)
    return kept.sort("first", maintain_order=True).select(frame.columns)


ORDERS = st.sampled_from(
    [
        RowOrder.of("top_k", "f", reverse=False),
        RowOrder.of("top_k", "f", reverse=True),
        RowOrder.of("top_k", ["n", "s"], reverse=[True, False]),
        RowOrder.of("top_k", ["s", "n", "row"], reverse=False),
    ]
)
PER = st.sampled_from([[], ["s"], ["n"], ["f"], ["c", "s"]])


@settings(max_examples=examples(200))
@given(rows(), st.integers(1, 4), ORDERS, PER, st.data())
def test_the_rows_at_the_end_are_those_of_polars(
    frame: pl.DataFrame, k: int, order: RowOrder, per: list[str], data: st.DataObject
) -> None:
    with little_put_aside(data):
        found = fed(TopK(k, order, tuple(per)), frame, data.draw, "ts", 2)
    assert_frame_equal(found.rows(), largest(frame, k, order, per))
    assert not any(isinstance(element, Watermark) for element in found.elements)


@settings(max_examples=examples(200))
@given(
    rows(), st.integers(1, 3), ORDERS, st.sampled_from([[], ["s"], ["c", "s"]]), st.integers(0, 2), st.data()
)
def test_the_rows_of_complete_groups_are_those_of_polars(
    frame: pl.DataFrame, k: int, order: RowOrder, per: list[str], lateness: int, data: st.DataObject
) -> None:
    with little_put_aside(data):
        found = fed(TopK(k, order, ("ts", *per), "ts"), frame, data.draw, "ts", lateness)
    late = pl.concat([frame.clear(), *found.late])
    assert not (lateness == 2 and late.height)
    timely = frame.join(late, on="row", how="anti", maintain_order="left")
    expected = largest(timely, k, order, ["ts", *per]).sort("ts", *per, maintain_order=True)
    assert_frame_equal(found.rows(), expected)
    found.check_watermarks("ts")
    marks = [element.time_us for element in found.elements if isinstance(element, Watermark)]
    if marks:
        came = pl.concat(
            [
                frame.clear(),
                *(element.polars() for element in found.elements[: found.ends] if isinstance(element, Batch)),
            ]
        )
        assert_frame_equal(came, expected.filter(pl.col("ts") < max(marks)))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("per", [None, "s"])
def test_of_nulls_the_first_ones_are_kept(reverse: bool, per: str | None) -> None:
    frame = pl.DataFrame({"s": ["x"] * 3, "n": [None] * 3, "row": range(3)}, schema_overrides={"n": pl.Int8})
    builder = Pipeline.builder().source(Source.from_frame(frame))
    assert builder.top_k(2, by="n", per=per, reverse=reverse).collect_sync()["row"].to_list() == [0, 1]
    assert builder.sort("n", descending=reverse).collect_sync()["row"].to_list() == [0, 1, 2]


@settings(max_examples=examples(50))
@given(rows(), st.integers(1, 3))
def test_the_rows_are_those_of_duckdb(frame: pl.DataFrame, k: int) -> None:
    given = frame.select("ts", "s", "n", "row").to_arrow()
    places = "row_number() OVER (PARTITION BY s ORDER BY n DESC NULLS LAST, row)"
    ranked = duckdb.sql(f"SELECT row, {places} AS place FROM given").pl()
    builder = Pipeline.builder().source(Source.from_frame(frame.select("ts", "s", "n", "row")))
    found = builder.top_k(k, by="n", per="s").collect_sync()
    assert sorted(found["row"]) == sorted(ranked.filter(pl.col("place") <= k)["row"]) and given.num_rows >= 0


def net(frame: pl.DataFrame) -> Counter[str]:
    """The rows that are left when those that are deleted are taken away."""
    count: Counter[str] = Counter()
    for *row, change in frame.rows():
        count[str(row)] += 1 if change == "insert" else -1
        assert count[str(row)] >= 0
    return +count


@settings(max_examples=examples(150))
@given(rows(), st.integers(1, 3), ORDERS, PER, st.data())
def test_what_has_changed_adds_up_to_the_rows_so_far(
    frame: pl.DataFrame, k: int, order: RowOrder, per: list[str], data: st.DataObject
) -> None:
    changes = TopK(k, order, tuple(per), emit="changes").start(frame.schema, context())
    updates = TopK(k, order, tuple(per), emit="updates").start(frame.schema, context())
    assert isinstance(changes, Process) and isinstance(updates, Process)
    at = [0, *sorted(data.draw(st.lists(st.integers(0, frame.height), max_size=5))), frame.height]
    came = [pl.DataFrame(schema={**frame.schema, "_change": CHANGE_TYPE})]
    newest = frame.clear()
    for start, stop in pairwise(at):
        moved = [element.polars() for element in changes.process(Batch(frame[start:stop]))]  # type: ignore[union-attr]
        came += moved
        expected = largest(frame[:stop], k, order, per)
        assert net(pl.concat(came)) == Counter(map(str, map(list, expected.rows())))
        for rows_of in [element.polars() for element in updates.process(Batch(frame[start:stop]))]:  # type: ignore[union-attr]
            both = pl.concat([newest.with_columns(at=pl.lit(0)), rows_of.with_columns(at=pl.lit(1))])
            newer = pl.col("at").max().over(per) if per else pl.lit(1)
            newest = both.filter(pl.col("at") == newer).drop("at")
        assert_frame_equal(newest.sort("row"), expected.sort("row"))
    assert list(changes.finish()) == list(updates.finish()) == []


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_largest, "_FORGOTTEN", 1)
    monkeypatch.setattr(running_largest, "PIECE", 2)


@pytest.mark.usefixtures("small")
@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows(), st.integers(1, 3), ORDERS, st.integers(0, 2), st.booleans(), st.data())
def test_changes_of_groups_with_a_time(
    frame: pl.DataFrame, k: int, order: RowOrder, lateness: int, timed: bool, data: st.DataObject
) -> None:
    per, time = (("ts", "s"), "ts") if timed else ((), None)
    found = fed(TopK(k, order, per, time, "changes"), frame, data.draw, "ts", lateness)
    late = pl.concat([frame.clear(), *found.late])
    timely = frame.join(late, on="row", how="anti", maintain_order="left")
    expected = largest(timely, k, order, list(per))
    assert net(found.rows()) == Counter(map(str, map(list, expected.rows())))
    found.check_watermarks("ts") if timed else None
    assert timed or not late.height


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.thorough), 7, 30])
def test_parts_of_some_rows_with_a_restart_after_each(size: int) -> None:
    number = np.arange(30)
    columns = {name: [values[n * 7 % len(values)] for n in number] for name, (_, values) in VALUES.items()}
    schema = {"ts": pl.Int64, **{name: dtype for name, (dtype, _) in VALUES.items()}, "row": pl.Int64}
    frame = pl.DataFrame({"ts": number // 2 - number % 3, **columns, "row": number}, schema=schema)
    order = RowOrder.of("top_k", ["n", "f"], reverse=[False, True])
    for per in ((), ("s",)):
        found = fed(TopK(2, order, per), frame, Scripted(size), "ts", 2).rows()
        assert_frame_equal(found, largest(frame, 2, order, list(per)))
        changes = fed(TopK(2, order, per, emit="changes"), frame, Scripted(size), "ts", 2).rows()
        assert net(changes) == Counter(map(str, map(list, found.rows())))
    timed = TopK(2, order, ("ts", "s"), "ts")
    for lateness in (0, 4):
        final = fed(timed, frame, Scripted(size), "ts", lateness)
        moved = fed(replace(timed, emit="changes"), frame, Scripted(size), "ts", lateness)
        assert net(moved.rows()) == Counter(map(str, map(list, final.rows().rows())))
        assert sum(late.height for late in final.late) == sum(late.height for late in moved.late)
        assert bool(final.late) == (lateness == 0 and size < 30)


def bids(rows: int = 2) -> Builder:
    frame = pl.DataFrame(
        {
            "us": [1, 4, 11, 12, 25, 3],
            "item": ["a", "b", "a", "b", "a", "b"],
            "price": [10, 30, 20, 40, 5, 99],
        }
    )
    parts = [frame[at : at + rows] for at in range(0, frame.height, rows)]
    return Pipeline.builder().source(Source.from_frame(parts).with_event_time("us"))


def test_windows_are_complete_by_their_start_or_their_end() -> None:
    sums = bids().window("10us", every="5us", on="us", by="item").agg(pl.col("price").sum())
    for per in ("window_start", "window_end", ["window_end", "window_start"]):
        best = sums.top_k(1, by="price", per=per)
        assert "once the watermark passes window_start" in best.explain()
        assert best.select("window_start", "price").collect_sync().rows() == [
            *((-5, 30), (0, 30), (5, 40), (10, 40), (20, 5), (25, 5))
        ]
    sessions = bids().window(session="5us", on="us", by="item").agg(pl.col("price").sum())
    assert sessions.top_k(1, by="price", per="window_start").collect_sync().height == 5
    with pytest.raises(PlanError, match="does not say when sessions of one end are complete"):
        sessions.top_k(1, by="price", per="window_end")
    assert "at the end of the stream" in sums.top_k(1, by="price", per="item").explain()
    with pytest.raises(SchemaError, match="not there"):
        sums.drop("window_start").top_k(1, by="price", per="window_end").explain()


def test_late_rows_go_to_their_sink_and_the_report() -> None:
    late, out = TestSink(), TestSink()
    builder = bids().top_k(1, by="price", per="us", late=late)
    report = builder.sink(out).build().run_sync()
    assert late.frame()["us"].to_list() == [3] and out.frame().height == 5
    [stage] = [stage for stage in report.stages if stage.name == "top_k"]
    assert stage.late_rows == stage.late_rows_kept == 1
    named = bids().top_k(1, by="price", per=["us", "item"], time="us")
    assert "once the watermark passes us" in named.explain()


def test_marks_pass_where_groups_have_a_time() -> None:
    frame = pl.DataFrame({"ts": [1], "x": [1], "row": [0]})
    order = RowOrder.of("top_k", "x", reverse=False)
    for emit in ("final", "updates"):
        for per, time in ((("ts",), "ts"), ((), None)):
            process = TopK(1, order, per, time, emit).start(frame.schema, context())  # type: ignore[arg-type]
            assert isinstance(process, Process)
            assert list(process.on_idle()) == ([Idle()] if time else [])
            assert (
                list(process.on_watermark(5))
                == list(process.on_watermark(3))
                == ([Watermark(5)] if time else [])
            )


@pytest.mark.parametrize("emit", ["final", "updates"])
def test_rows_beyond_the_limit_are_spilled_or_refused(emit: Any) -> None:
    numbers = pl.int_range(0, 60_000, eager=True)
    frame = pl.DataFrame({"k": "key " + (numbers % 20_000).cast(pl.String), "x": numbers})
    parts = [frame[at : at + 5_000] for at in range(0, frame.height, 5_000)]
    builder = Pipeline.builder().source(Source.from_frame(parts))
    spilled = builder.top_k(2, by="x", per="k", emit=emit, max_bytes=1 << 19, on_full="spill").collect_sync()
    expected = builder.top_k(2, by="x", per="k", emit=emit).collect_sync()
    assert_frame_equal(spilled, expected)
    assert expected.tail(40_000)["x"].sum() == frame["x"][20_000:].sum()
    with pytest.raises(StageError, match="larger than max_bytes"):
        builder.top_k(2, by="x", per="k", emit=emit, max_bytes=1 << 19).collect_sync()


def test_windows_in_files_come_out_a_few_at_a_time() -> None:
    numbers = pl.int_range(0, 60_000, eager=True)
    frame = pl.DataFrame(
        {"us": numbers // 30 % 1_000, "x": numbers, "s": "a text of the row " + numbers.cast(pl.String)}
    )
    parts = [frame[at : at + 5_000] for at in range(0, frame.height, 5_000)]
    builder = Pipeline.builder().source(Source.from_frame(parts))

    def best(**limit: Any) -> Builder:
        return builder.top_k(20, by="x", per="us", time="us", **limit)

    spilled = best(max_bytes=1 << 19, on_full="spill").collect_sync()
    assert_frame_equal(spilled, best().collect_sync())
    assert spilled.height == 20_000
    assert_frame_equal(spilled, frame.sort("us", -pl.col("x")).group_by("us", maintain_order=True).head(20))


def test_groups_of_the_past_are_forgotten() -> None:
    memory = MemoryBudget()
    frame = pl.DataFrame(schema={"ts": pl.Int64, "k": pl.Int64, "x": pl.Int64})
    process = TopK(2, RowOrder.of("top_k", "x", reverse=False), ("ts", "k"), "ts", "changes").start(
        frame.schema, context(memory=memory)
    )
    assert isinstance(process, Process)
    held = []
    for start in range(0, 400_000, 20_000):
        keys = pl.int_range(start, start + 20_000, eager=True)
        list(process.process(Batch(pl.DataFrame({"ts": keys // 1_000, "k": keys * 1_000_003, "x": keys}))))
        list(process.on_watermark(start // 1_000))
        held.append(memory.held)
    assert max(held[10:]) <= 1.5 * max(held[:10])


FRAME = pl.DataFrame({"k": ["a"], "x": [1]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rows: rows.top_k(0, by="x"), "at least 1"),
        (lambda rows: rows.top_k(1, by=[]), r"top_k\(by=...\) names no column"),
        (lambda rows: rows.top_k(1, by="z"), r"top_k\(by=...\) names a column that is not there"),
        (lambda rows: rows.top_k(1, by="x", per="z"), r"top_k\(per=...\) names a column that is not there"),
        (lambda rows: rows.top_k(1, by="x", reverse=[True, False]), r"top_k\(reverse=...\) does not fit"),
        (lambda rows: rows.top_k(1, by="x", emit="end"), r"top_k\(emit=...\) is unknown"),
        (lambda rows: rows.top_k(1, by="x", time="x"), "names a column that is not in per"),
        (lambda rows: rows.top_k(1, by="x", late=TestSink()), "goes with groups of an event time"),
        (lambda rows: rows.top_k(1, by="x", max_bytes=1, on_full="evict"), "groups that lack rows"),
        (lambda rows: rows.rename({"x": "__x__"}).top_k(1, by="k"), "keeps names with two underscores"),
        (
            lambda rows: rows.rename({"x": "_change"}).top_k(1, by="k", emit="changes"),
            "gives a column _change",
        ),
        (lambda rows: rows.top_k(1, by="x", per="k", time="k"), "cannot read event times"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises((PlanError, SchemaError), match=message):
        call(Pipeline.builder().source(Source.from_frame(FRAME))).explain()


def test_the_step_is_shown_and_the_limit_is_no_part_of_the_identity() -> None:
    order = RowOrder.of("top_k", ["x", "y"], reverse=[False, True])
    step = TopK(3, order, ("k",), emit="updates", limit=StateLimit(max_bytes=1 << 20))
    assert step.identity == "top_k(3, by=[x descending, y], per=[k], emit=updates)"
    assert step.describe() == f"{step.identity[:-1]}, max_bytes=1,048,576, on_full=error)"


@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=str)
def test_a_key_that_moves_to_another_group_is_deleted_before_it_is_inserted(order: list[int]) -> None:
    first = pl.DataFrame({"id": [1], "kind": ["a"], "price": [10]})
    second = pl.DataFrame({"id": [1, 2], "kind": ["b", "a"], "price": [50, 20]})
    builder = Pipeline.builder().source(Source.from_frame([first, second[order]]))
    changes = builder.top_k(1, by="price", per="kind", emit="changes").collect_sync()
    table: dict[int, tuple[str, int]] = {}
    for key, kind, price, change in changes.rows():
        if change == "delete":
            del table[key]
        else:
            assert key not in table, "a key is deleted before it comes again"
            table[key] = (kind, price)
    assert table == {1: ("b", 50), 2: ("a", 20)}
