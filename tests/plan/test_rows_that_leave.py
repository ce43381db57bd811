"""Updates of the first rows do not go into a table that would keep the rows that leave them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from arrowstream import Builder, Pipeline, Sink, Source
from arrowstream.errors import PlanError

pytestmark = pytest.mark.once

FRAME = pl.DataFrame({"k": [1, 2], "id": [1, 2], "x": [3, 4]})


def upsert(*key: str) -> Any:
    return Sink.to_database("sqlite:///x.db", "t", mode="upsert", key=key)


def rows() -> Builder:
    return Pipeline.builder().source(Source.from_frame(FRAME))


def first(k: int = 3, emit: Any = "updates", per: str | None = "k") -> Builder:
    return rows().top_k(k, by="x", per=per, emit=emit)


def filtered(builder: Builder) -> Builder:
    return builder.filter(pl.col("x") > 1).rename({"k": "group"})


REFUSED: dict[str, Callable[[], Builder]] = {
    "several rows": lambda: first().sink(upsert("id")),
    "a row of any group": lambda: first(1, per=None).sink(upsert("id")),
    "more columns than the group's": lambda: first(1).sink(upsert("k", "id")),
    "expressions between": lambda: filtered(first()).sink(upsert("id")),
    "one of several sinks": lambda: first().sink(Sink.fanout([Sink.to_fn(print), upsert("id")])),
    "after a split": lambda: (
        first()
        .split(pl.col("x") > 3)
        .branch("large", lambda branch: branch.sink(upsert("id")))
        .otherwise()
        .merge()
        .sink(Sink.to_fn(print))
    ),
}

ALLOWED: dict[str, Callable[[], Builder]] = {
    "changes": lambda: first(emit="changes").sink(upsert("id")),
    "at the end": lambda: first(emit="final").sink(upsert("id")),
    "a row for each group": lambda: first(1).sink(upsert("k")),
    "added to": lambda: first().sink(Sink.to_database("sqlite:///x.db", "t")),
    "computed of": lambda: first().reduce(n=pl.len(), by="k", emit="updates").sink(upsert("k")),
    "merged": lambda: first().merge(rows()).sink(upsert("id")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rows_that_leave_would_stay(name: str) -> None:
    with pytest.raises(
        PlanError, match=r"rows that are no longer among the first [13] would stay in"
    ) as raised:
        REFUSED[name]().build()
    assert raised.value.hint is not None and 'emit="changes"' in raised.value.hint


@pytest.mark.parametrize("name", ALLOWED)
def test_others_are_built(name: str) -> None:
    ALLOWED[name]().build()
