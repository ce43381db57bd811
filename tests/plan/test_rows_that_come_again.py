"""Rows that change do not go into a new table with a key of which only one row may come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from arrowstream import Builder, Pipeline, Sink, Source
from arrowstream.errors import PlanError

pytestmark = pytest.mark.once

FRAME = pl.DataFrame({"k": [1, 2], "id": [1, 2], "x": [3, 4]})
URIS = ["sqlite:///x.db", "duckdb:///x.duckdb", "postgresql://nobody@127.0.0.1:1/none"]


def rows() -> Builder:
    return Pipeline.builder().source(Source.from_frame(FRAME))


def totals(emit: Any) -> Builder:
    return rows().reduce(pl.col("x").sum(), n=pl.len(), by="k", emit=emit)


def largest(emit: Any) -> Builder:
    return rows().top_k(3, by="x", per="k", emit=emit)


def paired(how: Any, emit: Any = "changes") -> Builder:
    left, right = (
        Pipeline.builder().source(Source.from_frame(frame).with_event_time("x"))
        for frame in (FRAME, FRAME.select("id", "x", y="k"))
    )
    return left.join(right, on="id", within="1s", how=how, emit=emit)


def new(*key: str, uri: str = URIS[0]) -> Any:
    return Sink.to_database(uri, "t", mode="create", key=key)


REFUSED: dict[str, Callable[[], Builder]] = {
    "updates": lambda: totals("updates").sink(new("k")),
    "changes": lambda: totals("changes").sink(new("k")),
    "changes, all columns": lambda: totals("changes").sink(new("k", "x", "n")),
    "changes, whose column is dropped": lambda: totals("changes").drop("_change").sink(new("k")),
    "another name": lambda: totals("updates").rename({"k": "group"}).sink(new("group")),
    "a cast": lambda: totals("updates").cast({"k": pl.Int32}).sink(new("k")),
    "largest, updates": lambda: largest("updates").sink(new("id")),
    "largest, changes": lambda: largest("changes").sink(new("id")),
    "the largest so far of a group": lambda: rows().top_k(1, by="x", per="k", emit="updates").sink(new("k")),
    "left join": lambda: paired("left").sink(new("id")),
    "anti join": lambda: paired("anti").sink(new("id")),
    "one of several sinks": lambda: totals("updates").sink(Sink.fanout([Sink.to_fn(print), new("k")])),
}

ALLOWED: dict[str, Callable[[], Builder]] = {
    "at the end": lambda: totals("end").sink(new("k")),
    "a count makes each row another one": lambda: totals("updates").sink(new("k", "n")),
    "with what becomes of rows": lambda: totals("changes").sink(new("k", "n", "_change")),
    "without a key": lambda: totals("changes").sink(Sink.to_database(URIS[0], "t", mode="create")),
    "added to": lambda: totals("changes").sink(Sink.to_database(URIS[0], "t")),
    "only some changes": lambda: totals("changes").filter(pl.col("_change") == "insert").sink(new("k")),
    "a key that is computed": lambda: totals("updates").with_columns(k=pl.col("n")).sink(new("k")),
    "merged": lambda: totals("updates").merge(totals("updates")).sink(new("k")),
    "largest": lambda: largest("final").sink(new("id")),
    "inner join": lambda: paired("inner").sink(new("id")),
    "join, final": lambda: paired("left", "final").sink(new("id")),
    "only some changes, by a branch": lambda: (
        totals("changes")
        .split(pl.col("_change") == "insert")
        .branch("true", lambda branch: branch.drop("_change").sink(new("k")))
        .otherwise()
        .merge()
        .sink(Sink.to_fn(print))
    ),
    "the largest so far": lambda: rows().top_k(1, by="x", per="k", emit="updates").sink(new("k", "x")),
    "another step": lambda: totals("updates").unique("k").sink(new("k")),
    "no such step": lambda: rows().sink(new("k")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_row_that_comes_again_is_refused_by_build(name: str) -> None:
    with pytest.raises(PlanError, match=r"rows of one key come several times, and .* takes one") as raised:
        REFUSED[name]().build()
    assert raised.value.hint is not None and 'mode="upsert"' in raised.value.hint
    assert raised.value.stage is not None and "sink" in raised.value.stage


@pytest.mark.parametrize("uri", URIS)
def test_every_system_refuses_them(uri: str) -> None:
    with pytest.raises(PlanError, match="rows of one key come several times"):
        totals("changes").sink(new("k", uri=uri)).build()


@pytest.mark.parametrize("name", ALLOWED)
def test_others_are_built(name: str) -> None:
    ALLOWED[name]().build()
