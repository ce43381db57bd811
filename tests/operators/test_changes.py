"""Changes add up to the rows of now, whatever the aggregation, its keys and the cuts."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from windowing import SCHEMA, events, f, s, x

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch
from arrowstream.core.rows.changes import CHANGE, CHANGE_TYPE
from arrowstream.errors import PlanError
from arrowstream.operators.base import Process
from arrowstream.operators.reduce import Reduce

EXPRS: dict[str, list[pl.Expr]] = {
    "folded": [x.sum(), x.max().alias("most"), pl.len()],
    "merged": [s.last().alias("l"), f.max().alias("m"), s.n_unique().alias("n")],
    "kept": [x.median(), s.alias("all")],
}


def net(changes: pl.DataFrame) -> Counter[str]:
    count: Counter[str] = Counter()
    for *row, change in changes.rows():
        sign = 1 if change in ("insert", "update_after") else -1
        count[str(row)] += sign
        assert count[str(row)] >= 0, "a row is taken away that is not there"
    return +count


@settings(max_examples=examples(150))
@given(events(), st.sampled_from(list(EXPRS)), st.sampled_from([(), ("k",), ("g", "f")]), st.data())
def test_changes_of_aggregates_add_up_to_them(
    rows: pl.DataFrame, kind: str, by: tuple[str, ...], data: st.DataObject
) -> None:
    step = Reduce(by, tuple(EXPRS[kind]), "changes")
    process = step.start(rows.schema, context())
    assert isinstance(process, Process)
    came = [pl.DataFrame(schema=step.output_schema(pl.Schema(SCHEMA)))]
    at = [0, *sorted(data.draw(st.lists(st.integers(0, rows.height), max_size=5))), rows.height]
    for start, stop in pairwise(at):
        came += [
            made.polars() for made in process.process(Batch(rows[start:stop])) if isinstance(made, Batch)
        ]
        if data.draw(st.booleans()):
            saved = list(process.snapshot())
            process = step.start(rows.schema, context())
            assert isinstance(process, Process)
            process.restore(iter(saved))
        seen = rows[:stop]
        groups = seen.group_by(by or pl.lit(1).alias("#"), maintain_order=True)
        expected = groups.agg(EXPRS[kind]).drop("#", strict=False)[: seen.height]
        found = pl.concat(came)
        assert found.schema[CHANGE] == CHANGE_TYPE and found.columns[-1] == CHANGE
        assert net(found) == Counter(map(str, map(list, expected.rows())))
    assert list(process.finish()) == []


def totals(rows: list[pl.DataFrame], **options: Any) -> list[tuple[Any, ...]]:
    builder = Pipeline.builder().source(Source.from_frame(rows))
    return builder.reduce(x.sum(), by="k", emit="changes", **options).collect_sync().rows()


def test_pairs_follow_each_other_and_rows_that_stay_do_not_come() -> None:
    rows = pl.DataFrame({"k": ["a", "b", "b", "a", "c"], "x": [1, 2, 3, 0, 4]})
    assert totals([rows[:2], rows[2:]], max_bytes=1 << 20) == [
        ("a", 1, "insert"),
        ("b", 2, "insert"),
        ("b", 2, "update_before"),
        ("b", 5, "update_after"),
        ("c", 4, "insert"),
    ]
    assert totals([rows[:2], rows[:0], rows[3:4]])[2:] == []


def test_which_rows_were_there_must_be_known() -> None:
    rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"k": [1], "x": [1]})))
    with pytest.raises(PlanError, match="would forget which rows were there"):
        rows.reduce(x.sum(), by="k", emit="changes", max_keys=1, on_full="evict")
    with pytest.raises(PlanError, match="gives a column _change itself"):
        rows.reduce(x.sum().alias("_change"), by="k", emit="changes").schema()
    assert "emit=changes" in rows.group_by("k", emit="changes").agg(x.sum()).explain()
