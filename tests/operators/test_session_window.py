"""`window(session=...)` against sessions made row by row."""

from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from polars.testing import assert_frame_equal
from strategies import cuts
from windowing import AGGREGATES, SCHEMA, end, events, feed, joined

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch, Watermark
from arrowstream.errors import PlanError
from arrowstream.operators.base import Operator
from arrowstream.operators.window import windows

S = 1_000_000
ROWS = pl.Schema(SCHEMA)
CLOSE: dict[str, Any] = {"rel_tol": 1e-12, "categorical_as_str": True}


def window(*exprs: Any, gap: float = 2, by: Any = "k", **rest: Any) -> Operator:
    return windows(lambda operator: operator, session=gap, on="ts", by=by, **rest).agg(*exprs)


def whole(rows: pl.DataFrame, exprs: list[pl.Expr], gap: int, by: list[str]) -> pl.DataFrame:
    """Sessions found with plain Python, aggregated by Polars."""
    keys = rows.select(pl.struct(by) if by else pl.lit(0)).to_series()
    keys = keys if by else pl.Series([0] * rows.height)
    numbers = [0] * rows.height
    spans: list[tuple[int, int]] = []
    last: dict[Any, tuple[int, int]] = {}
    texts = [str(key) for key in keys.to_list()]
    for place in sorted(range(rows.height), key=lambda place: (rows["ts"][place], place)):
        time, key = rows["ts"][place], texts[place]
        if key not in last or time - last[key][0] >= gap:
            spans.append((time, time))
            last[key] = (time, len(spans) - 1)
        number = last[key][1]
        last[key] = (time, number)
        spans[number] = (spans[number][0], time)
        numbers[place] = number
    start = pl.Series("window_start", [spans[number][0] for number in numbers], pl.Int64)
    stop = pl.Series("window_end", [spans[number][1] + gap for number in numbers], pl.Int64)
    ids = pl.Series("session", numbers, pl.Int64)
    grouped = rows.with_columns(start, stop, ids).with_row_index("row")
    order = grouped.group_by("session").agg(pl.col("window_start").first(), pl.col("row").min())
    groups = ["session", "window_start", "window_end", *by]
    found = grouped.drop("row").group_by(groups, maintain_order=True).agg(*exprs)
    found = found.join(order.select("session", "row"), on="session").sort("window_start", "row")
    return found.drop("session", "row")


@pytest.mark.parametrize("name", AGGREGATES)
@settings(max_examples=examples(4))
@given(data=st.data())
def test_equals_polars_on_the_whole(name: str, data: st.DataObject) -> None:
    rows = data.draw(events())
    by = data.draw(st.sampled_from([["k"], ["g", "k"], []]))
    exprs = [AGGREGATES[name], pl.len().alias("rows")]
    if name == "everything":  # of all columns but those that the sessions are found by
        exprs = [pl.col("f", "s").sort_by("x", maintain_order=True).first(), pl.len().alias("rows")]
    operator = window(*exprs, by=by)
    process = operator.start(ROWS, context())
    found = joined(operator, ROWS, feed(process, data.draw(cuts(rows))) + end(process))
    assert_frame_equal(found, whole(rows, exprs, 2 * S, by) if rows.height else found.clear(), **CLOSE)


@settings(max_examples=examples(15))
@given(data=st.data())
def test_sessions_come_soon_after_the_watermark_and_late_rows_are_handed_out(data: st.DataObject) -> None:
    rows = data.draw(events())
    lateness = data.draw(st.sampled_from([0, 3 * S]))
    exprs = [pl.col("x").sum(), pl.col("x").last().alias("last")]
    operator = window(*exprs, allowed_lateness=lateness / S)
    process = operator.start(ROWS, context())
    out: list[Any] = []
    in_time, mark = [ROWS.to_frame()], -100 * S
    for part in data.draw(cuts(rows)):
        in_time.append(part.filter(pl.col("ts") >= mark - lateness))
        late = part.filter(pl.col("ts") < mark - lateness)
        out += feed(process, [part])
        handed = process.take_late()
        assert_frame_equal(late, handed.polars() if handed else ROWS.to_frame(), categorical_as_str=True)
        time = data.draw(st.integers(-5, 70)) * S // 2
        mark = max(mark, time)
        out += feed(process, [time])
        open_ = pl.concat(in_time).filter(pl.col("ts") < mark - lateness - 5 * S // 2)
        come = joined(operator, ROWS, out)
        expected = whole(pl.concat(in_time), exprs, 2 * S, ["k"]) if open_.height else come.clear()
        due = expected.filter(pl.col("window_end") <= mark - lateness - S // 2)
        assert come.height >= due.height
        assert (come["window_end"] <= mark - lateness).all()
    out += end(process)
    accepted = pl.concat(in_time)
    found = joined(operator, ROWS, out)
    expected = whole(accepted, exprs, 2 * S, ["k"]) if accepted.height else found.clear()
    order = ["window_start", "k"]
    assert_frame_equal(found.sort(order), expected.sort(order))
    promised = None
    for each in out:
        if isinstance(each, Watermark):
            assert promised is None or each.time_us >= promised
            promised = each.time_us
        elif promised is not None:
            assert each["window_start"].min() >= promised


@settings(max_examples=examples(15))
@given(data=st.data())
def test_a_snapshot_anywhere_continues_exactly(data: st.DataObject) -> None:
    operator = window(pl.col("x").sum(), pl.col("s").first(), pl.col("f").median())
    items: list[Any] = []
    for part in data.draw(cuts(data.draw(events()))):
        items += [part, *data.draw(st.lists(st.integers(0, 30).map(lambda time: time * S), max_size=1))]
    cut = data.draw(st.integers(0, len(items)))
    straight, first, second = (operator.start(ROWS, context()) for _ in range(3))
    expected = feed(straight, items) + end(straight)
    out = feed(first, items[:cut])
    second.restore(first.snapshot())
    out += feed(second, items[cut:]) + end(second)
    assert_frame_equal(joined(operator, ROWS, out), joined(operator, ROWS, expected))
    assert [each for each in out if isinstance(each, Watermark)] == [
        each for each in expected if isinstance(each, Watermark)
    ]


def test_a_gap_of_exactly_that_length_ends_one() -> None:
    process = window(pl.len(), by=[]).start(pl.Schema({"ts": pl.Int64}), context())
    times = [0, 2 * S - 1, 4 * S - 1]
    assert feed(process, [pl.DataFrame({"ts": [time]}) for time in times]) == []
    out = feed(process, [5 * S])
    assert out[0].rows() == [(0, 4 * S - 1, 2)]
    assert out[1] == Watermark(4 * S - 1)
    (left,) = end(process)
    assert left.rows() == [(4 * S - 1, 6 * S - 1, 1)]
    assert feed(process, [pl.DataFrame({"ts": []}, schema={"ts": pl.Int64})]) == []
    assert feed(process, [7 * S]) == [Watermark(7 * S)]


def test_a_watermark_that_goes_back_changes_nothing() -> None:
    process = window(pl.len(), by=[]).start(pl.Schema({"ts": pl.Int64}), context())
    rows = pl.DataFrame({"ts": [0, 20 * S]})
    out = feed(process, [rows, 10 * S, 5 * S, pl.DataFrame({"ts": [7 * S]})])
    assert sum(part.height for part in out if isinstance(part, pl.DataFrame)) == 1
    late = process.take_late()
    assert late is not None and late.polars()["ts"].to_list() == [7 * S]


def test_in_a_pipeline() -> None:
    rows = pl.DataFrame({"at": pl.Series([0, 1, 9], dtype=pl.Int64).cast(pl.Datetime("ms")), "x": [1, 2, 3]})
    builder = Pipeline.builder().source(Source.from_frame(rows))
    out = builder.window(session="5ms", on="at").agg(pl.col("x").sum()).collect_sync()
    assert out.cast({"window_start": int, "window_end": int}).rows() == [(0, 6, 3), (9, 14, 3)]


def test_text_and_mistakes() -> None:
    text = "window(session=2s, on=ts, by=[k]).agg(len())"
    assert window(pl.len()).describe() == text
    assert window(pl.len(), by=None).describe() == text.replace(", by=[k]", "")
    with pytest.raises(PlanError, match="has no every"):
        windows(print, session=1, every=1, on="ts")
    assert list(window(pl.len()).start(ROWS, context()).process(Batch(ROWS.to_frame()))) == []


def test_where_no_row_is_late_none_are_handed_out() -> None:
    process = window(pl.len(), by=[]).start(pl.Schema({"ts": pl.Int64}), context())
    row = pl.DataFrame({"ts": [5_000_000]})
    feed(process, [row, 3_000_000, row])
    assert process.take_late() is None
    feed(process, [row.with_columns(ts=pl.lit(1, pl.Int64))])
    late = process.take_late()
    assert late is not None and late.num_rows == 1
