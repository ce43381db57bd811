"""`scan(fn, state=...)`: the state goes from batch to batch, into snapshots and back."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from contexts import context

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.functions.scan_function import ScanFunction
from arrowstream.state.limit import StateLimit

SCHEMA = pl.Schema({"x": pl.Int64})


def operator(fn: Any, state: Any = None) -> ScanFunction:
    return ScanFunction.of(fn, state=state, by=None, named={}, limit=StateLimit())


def running_total(frame: pl.DataFrame, state: Any) -> Any:
    before = state["total"]
    return frame.with_columns(total=pl.col("x").cum_sum() + before), {"total": before + frame["x"].sum()}


def seen_before(frame: pl.DataFrame, state: Any) -> Any:
    known = pl.DataFrame(schema=frame.schema) if state is None else state
    result = frame.with_columns(seen=pl.col("x").is_in(known["x"].implode()))
    return result, pl.concat([known, frame]).unique(maintain_order=True)


@pytest.mark.parametrize("cut", range(4))
@pytest.mark.parametrize(
    "fn, state, expected",
    [
        (running_total, {"total": 10}, [11, 13, 16, 20]),
        (seen_before, None, [False, False, False, False]),
        (seen_before, pl.DataFrame({"x": [2]}), [False, True, False, False]),
    ],
)
def test_the_state_survives_a_snapshot_anywhere(fn: Any, state: Any, expected: list[Any], cut: int) -> None:
    batches = [Batch(pl.DataFrame({"x": [value]})) for value in (1, 2, 3, 4)]
    first = operator(fn, state).start(SCHEMA, context())
    out = [part for batch in batches[:cut] for part in first.process(batch)]
    second = operator(fn, state).start(SCHEMA, context())
    second.restore(first.snapshot())
    out += [part for batch in batches[cut:] for part in second.process(batch)]
    assert list(second.finish()) == []
    assert [part.polars().to_series(1)[0] for part in out if isinstance(part, Batch)] == expected


def test_in_a_pipeline() -> None:
    source = Source.from_frame(pl.DataFrame({"x": [1, 2, 3]}))
    builder = Pipeline.builder().source(source).batch(rows=2).scan(running_total, state={"total": 0})
    assert builder.schema() == pl.Schema({"x": pl.Int64, "total": pl.Int64})
    assert builder.collect_sync()["total"].to_list() == [1, 3, 6]
    assert builder.graph.steps[-1].operator.describe() == "scan(running_total)"


class Callable:
    def __call__(self, frame: pl.DataFrame, state: Any) -> Any:
        return frame, state


def test_a_callable_object_is_named_by_its_type() -> None:
    assert operator(Callable()).describe() == "scan(Callable)"


@pytest.mark.parametrize(
    "fn, match",
    [
        (lambda frame, state: frame, "must give rows and the next state"),
        (lambda frame, state: (frame, object()), "cannot keep this state"),
        (lambda frame, state: frame["x"][0], "fails over no rows"),
    ],
)
def test_functions_are_tried_at_build(fn: Any, match: str) -> None:
    with pytest.raises(SchemaError, match=match):
        operator(fn).output_schema(SCHEMA)


@pytest.mark.parametrize(
    "fn, match",
    [
        (lambda frame, state: (frame.head(1), state), "another number of rows"),
        (lambda frame, state: (frame.rename({"x": "y"}) if frame.height else frame, state), "other columns"),
        (lambda frame, state: (frame, [1] if frame.height else state), "cannot keep this state"),
    ],
)
def test_what_they_give_is_checked(fn: Any, match: str) -> None:
    process = operator(fn).start(SCHEMA, context())
    with pytest.raises(StageError, match=match):
        list(process.process(Batch(pl.DataFrame({"x": [1, 2]}))))


@pytest.mark.parametrize("state", [1, [1], {"a": [1]}, {1: 2}])
def test_states_are_checked(state: Any) -> None:
    with pytest.raises(PlanError, match="cannot keep this state"):
        operator(running_total, state)


def test_a_function_takes_nothing_beside_it() -> None:
    builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1]})))
    for options in ({"by": "x"}, {"y": pl.col("x").cum_sum()}):
        with pytest.raises(PlanError, match="takes a function and its state only"):
            builder.scan(running_total, **options)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="takes a function and its state only"):
        builder.scan(running_total, pl.col("x"))
