"""Steps that take a column for event time refuse one that watermarks do not speak of."""

from collections.abc import Callable

import polars as pl
import pytest

from arrowstream import Builder, Pipeline, Source
from arrowstream.errors import PlanError

ROWS = pl.DataFrame({"ts": [0, 1], "k": ["a", "b"], "sent": [5, 6], "items": [[1], [2]]})


def stream(event_time: bool = True) -> Builder:
    source = Source.from_frame(ROWS)
    return Pipeline.builder().source(source.with_event_time("ts", lateness="1us") if event_time else source)


TIMED: dict[str, tuple[Callable[[Builder], Builder], str]] = {
    "as it is": (lambda rows: rows, "ts"),
    "renamed": (lambda rows: rows.rename({"ts": "at"}), "at"),
    "chosen": (lambda rows: rows.select("k", at="ts"), "at"),
    "chosen with others": (lambda rows: rows.select(pl.all()), "ts"),
    "chosen by a selector": (lambda rows: rows.select(pl.selectors.by_name("ts"), "k"), "ts"),
    "with a suffix": (lambda rows: rows.select("k", pl.col("ts").name.suffix("_at")), "ts_at"),
    "with a name by a function": (
        lambda rows: rows.select("k", pl.col("ts").name.map(lambda name: name + "_at")),
        "ts_at",
    ),
    "all with a suffix": (lambda rows: rows.select(pl.all().name.suffix("_at"), k="k"), "ts_at"),
    "some with a prefix": (
        lambda rows: rows.with_columns(pl.selectors.integer().name.prefix("at_")),
        "at_ts",
    ),
    "all with names by a function": (
        lambda rows: rows.select(pl.all().name.map(lambda name: name + "_at"), k="k"),
        "ts_at",
    ),
    "chosen by its place": (lambda rows: rows.select("k", pl.first().alias("at")), "at"),
    "chosen by its name's form": (lambda rows: rows.with_columns(pl.col("^t.$").alias("at")), "at"),
    "known to be sorted": (lambda rows: rows.with_columns(pl.col("ts").set_sorted()), "ts"),
    "as a number": (
        lambda rows: rows.with_columns(pl.col("ts").cast(pl.Datetime("us")).to_physical()),
        "ts",
    ),
    "in a struct and out of it": (
        lambda rows: rows.select("k", pl.struct("ts", "sent").alias("both")).unnest("both"),
        "ts",
    ),
    "in a list and out of it": (
        lambda rows: rows.select("k", pl.concat_list("ts", "ts").alias("at")).explode("at"),
        "at",
    ),
    "copied": (lambda rows: rows.with_columns(at="ts"), "at"),
    "under its own name": (lambda rows: rows.with_columns(pl.col("ts").alias("x").name.keep()), "ts"),
    "as a time": (lambda rows: rows.with_columns(at=pl.col("ts").cast(pl.Datetime("us"))), "at"),
    "of another unit": (
        lambda rows: rows.with_columns(at=pl.col("ts").cast(pl.Datetime("us")).dt.cast_time_unit("ns")),
        "at",
    ),
    "in a zone": (
        lambda rows: rows.with_columns(at=pl.col("ts").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")),
        "at",
    ),
    "in another zone": (
        lambda rows: rows.with_columns(
            at=pl.col("ts").cast(pl.Datetime("us", "UTC")).dt.convert_time_zone("Asia/Tokyo")
        ),
        "at",
    ),
    "cast": (lambda rows: rows.cast({"ts": pl.Int32}), "ts"),
    "mapped in one": (lambda rows: rows.filter_map(pl.col("sent") > 0, at=pl.col("ts")), "at"),
    "next to another column": (lambda rows: rows.with_columns(pl.col("sent", "ts") + 1), "ts"),
    "exploded": (lambda rows: rows.explode("items"), "ts"),
    "set again": (lambda rows: rows.with_event_time("sent"), "sent"),
    "of a window": (lambda rows: rows.window("1us", on="ts", by="k").agg(pl.len()), "window_start"),
    "the end of a window": (lambda rows: rows.window("1us", on="ts", by="k").agg(pl.len()), "window_end"),
    "in a session": (lambda rows: rows.window(session="1us", on="ts", by="k").agg(pl.len()), "window_end"),
    "in a window": (lambda rows: rows.window("1us", on="ts").rows(), "ts"),
    "the window of a row": (lambda rows: rows.window("1us", on="ts").rows(), "window_start"),
    "after windows of rows": (
        lambda rows: rows.window(rows=1, by="k").agg(pl.col("sent").max()),
        "sent",
    ),
    "at the end": (lambda rows: rows.reduce(by="k", sent=pl.col("sent").max()), "sent"),
    "merged": (lambda rows: rows.merge(stream(event_time=False)), "ts"),
    "of no stream that is merged": (
        lambda rows: stream(event_time=False).merge(stream(event_time=False)),
        "sent",
    ),
    "in branches": (
        lambda rows: (
            rows.split(pl.col("k"))
            .branch("a", lambda branch: branch)
            .branch("b", lambda branch: branch.select("ts", "k", "sent", "items"))
            .merge()
        ),
        "ts",
    ),
    "of the other side": (
        lambda rows: rows.join(stream().rename({"sent": "s"}), on="k", within="1us"),
        "ts_right",
    ),
    "of an older version": (lambda rows: rows.join_asof(stream(), on="ts", by="k"), "ts"),
    "of one side": (
        lambda rows: stream(event_time=False).join(rows, on="k", within="1us", time=("sent", "ts")),
        "sent",
    ),
    "of no side": (
        lambda rows: stream(event_time=False).join(stream(event_time=False), on="k", within="1us", time="ts"),
        "sent",
    ),
    "without watermarks": (lambda rows: stream(event_time=False).select("k", "sent"), "sent"),
}
OTHERS: dict[str, tuple[Callable[[Builder], Builder], str, str]] = {
    "another column": (lambda rows: rows, "sent", "ts"),
    "what was its name": (lambda rows: rows.rename({"ts": "at", "sent": "ts"}), "ts", "at"),
    "earlier": (lambda rows: rows.with_columns(pl.col("ts") - 10), "ts", "no column is any more"),
    "a constant": (lambda rows: rows.with_columns(ts=pl.lit(1)), "ts", "no column is any more"),
    "another one of several": (lambda rows: rows.select(pl.all()), "sent", "ts"),
    "of several that are computed": (
        lambda rows: rows.select("k", (pl.col("ts", "sent") - 1).name.suffix("_at")),
        "sent_at",
        "ts",
    ),
    "truncated": (
        lambda rows: rows.with_columns(pl.col("ts").cast(pl.Datetime("us")).dt.truncate("1s")),
        "ts",
        "no column is any more",
    ),
    "by a function": (
        lambda rows: rows.with_columns(pl.col("ts").map_elements(lambda x: x, return_dtype=pl.Int64)),
        "ts",
        "no column is any more",
    ),
    "not chosen": (lambda rows: rows.select("k", "sent"), "sent", "no column is any more"),
    "of a window": (
        lambda rows: rows.window("1us", on="ts", by="k").agg(pl.col("sent").max()),
        "sent",
        "window_end or window_start",
    ),
    "of one branch": (
        lambda rows: (
            rows.split(pl.col("k"))
            .branch("a", lambda branch: branch)
            .branch("b", lambda branch: branch.with_columns(pl.col("ts") - 1))
            .merge()
        ),
        "ts",
        "no column is any more",
    ),
    "of the version": (
        lambda rows: rows.join_asof(stream().rename({"ts": "since"}), left_on="ts", right_on="since", by="k"),
        "since",
        "ts",
    ),
}
PARTNER = stream().select("k", "ts").rename({"ts": "other"})


@pytest.mark.parametrize("case", TIMED)
def test_event_time_under_another_name_is_taken(case: str) -> None:
    make, column = TIMED[case]
    rows = make(stream())
    rows.join(PARTNER, on="k", within="1us", time=(column, "other"))
    rows.join_asof(PARTNER, left_on=column, right_on="other", by="k")
    rows.unique("k", within="1us", time=column)
    rows.top_k(1, by="k", per=column, time=column)


@pytest.mark.parametrize("case", OTHERS)
def test_a_column_that_watermarks_do_not_speak_of_is_refused(case: str) -> None:
    make, column, expected = OTHERS[case]
    rows = make(stream())
    for call, made in {
        r"join\(time=...\)": lambda: rows.join(PARTNER, on="k", within="1us", time=(column, "other")),
        r"join_asof\(on=...\)": lambda: rows.join_asof(PARTNER, left_on=column, right_on="other", by="k"),
        r"unique\(within=...\)": lambda: rows.unique("k", within="1us", time=column),
        r"top_k\(time=...\)": lambda: rows.top_k(1, by="k", per=column, time=column),
    }.items():
        with pytest.raises(
            PlanError, match=rf"{call} names a column that is not the event time of"
        ) as caught:
            made()
        assert expected in str(caught.value.expected) and caught.value.found == column
        assert f'.with_event_time("{column}")' in str(caught.value.hint)


def test_the_other_stream_is_named() -> None:
    other = stream().rename({"ts": "other"})
    with pytest.raises(PlanError, match="not the event time of the other stream"):
        stream().join(other, on="k", within="1us", time=("ts", "sent"))
    with pytest.raises(PlanError, match="not the event time of the other stream"):
        stream().join_asof(other, left_on="ts", right_on="sent")


def test_a_group_by_what_was_computed_of_event_time_is_not_one_of_event_time() -> None:
    rows = stream().with_columns(pl.col("ts") // 10)
    with pytest.raises(PlanError, match=r"top_k\(per=...\) names a column that is not the event time"):
        rows.top_k(1, by="k", per="ts")
    rows.with_event_time("ts", lateness="10us").top_k(1, by="k", per="ts")
