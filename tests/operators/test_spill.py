"""State beyond `max_bytes` lies in files: the same rows come out, and memory stays as small as it was asked to."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from snapshots import held_rows
from strategies import CODED, DATETIMES, DURATIONS, INTEGERS, PLAIN, TYPES, cuts, frames
from windowing import AGGREGATES, SCHEMA, end, events, feed, joined, little_put_aside

from arrowstream import Builder, Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import PlanError, SinkError, StageError
from arrowstream.operators.aggregation import folded_groups
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.scan import Scan
from arrowstream.operators.window import windows
from arrowstream.operators.windows import run_store
from arrowstream.plan.checks.row_local import check
from arrowstream.state import direct_table, row_log, snapshot, value_log
from arrowstream.state import key_index as keyed_state
from arrowstream.state import memory as state_memory
from arrowstream.state.frame_log import FrameLog
from arrowstream.state.key_index import KeyIndex
from arrowstream.state.limit import StateLimit
from arrowstream.state.memory import StateMemory
from arrowstream.state.spill_file import array_in_file, folder, frame_in_file
from arrowstream.testing import TestSink

ROWS = pl.Schema(SCHEMA)
X, S = pl.col("x"), pl.col("s")
SPILL: dict[str, Any] = {"max_bytes": 1, "on_full": "spill"}


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything that may lie in a file does, and state is worked on in pieces of few rows."""
    monkeypatch.setattr(state_memory, "_SMALL", 0)
    monkeypatch.setattr(snapshot, "PIECE_BYTES", 100)
    pieces_of(5, monkeypatch)
    monkeypatch.setattr(run_store, "_LEAST_BYTES", 300)
    monkeypatch.setattr(run_store, "_FAN", 3)
    yield


def pieces_of(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (direct_table, folded_groups, keyed_state, row_log, value_log):
        monkeypatch.setattr(module, "PIECE", rows)


def in_files(memory: MemoryBudget) -> bool:
    return memory.held <= 1


@pytest.mark.parametrize("name", ["sum", "max", "mean", "std", "first", "n_unique", "values", "filtered"])
@settings(max_examples=examples(6))
@given(data=st.data())
def test_reduce_in_files_equals_polars_cut_and_restored_anywhere(name: str, data: st.DataObject) -> None:
    rows = data.draw(events())
    by = data.draw(st.sampled_from([["k"], ["g", "k"], []]))
    exprs = [AGGREGATES[name], pl.len().alias("rows")]
    operator = Reduce.of(*exprs, by=by, **SPILL)
    memory = MemoryBudget()
    process: Any = operator.start(ROWS, context(memory=memory))
    for part in data.draw(cuts(rows)):
        assert feed(process, [part]) == []
        if data.draw(st.booleans()):
            memory = MemoryBudget()
            state, process = process.snapshot(), operator.start(ROWS, context(memory=memory))
            process.restore(state)
    assert in_files(memory)
    found = joined(operator, ROWS, end(process))
    keys = by or [pl.lit(0).alias("none")]
    expected = rows.group_by(keys, maintain_order=True).agg(*exprs)
    expected = expected if by else expected.drop("none")
    assert_frame_equal(
        found, expected if rows.height else found.clear(), rel_tol=1e-12, categorical_as_str=True
    )


SIZES = [(10, 10), (10, 2), (7, 3)]


@settings(max_examples=examples(40))
@given(data=st.data())
def test_windows_in_files_are_those_in_memory_cut_and_restored_anywhere(data: st.DataObject) -> None:
    rows = data.draw(events())
    size, every = data.draw(st.sampled_from(SIZES))
    by = data.draw(st.sampled_from([["k"], ["g", "k"], []]))
    name = data.draw(st.sampled_from(["sum", "max", "first", "n_unique", "values", "mean"]))
    items: list[Any] = []
    for part in data.draw(cuts(rows)):
        items += [
            part,
            *data.draw(st.lists(st.integers(0, 30).map(lambda time: time * 1_000_000), max_size=1)),
        ]

    def run(limits: list[dict[str, Any]]) -> tuple[pl.DataFrame, list[Any], pl.DataFrame, MemoryBudget]:
        """With the first of the limits, and after each item continued with the next."""
        made = [
            windows(lambda made: made, size, every=every, on="ts", by=by, **limit).agg(
                AGGREGATES[name], pl.len().alias("rows")
            )
            for limit in limits
        ]
        memory = MemoryBudget()
        process: Any = made[0].start(ROWS, context(memory=memory))
        out, late = [], [ROWS.to_frame()]
        for number, item in enumerate(items, 1):
            out += feed(process, [item])
            handed = process.take_late()
            late += [] if handed is None else [handed.polars()]
            if len(made) > 1:
                memory, state = MemoryBudget(), process.snapshot()
                process = made[number % len(made)].start(ROWS, context(memory=memory))
                process.restore(state)
        out += end(process)
        marks = [item for item in out if not isinstance(item, pl.DataFrame)]
        return joined(made[0], ROWS, out), marks, pl.concat(late), memory

    expected, marks, late, _ = run([{}])
    with little_put_aside(data):
        limits = data.draw(st.sampled_from([[SPILL], [SPILL, SPILL], [SPILL, {}], [{}, SPILL]]))
        found, passed, handed, memory = run(limits)
    assert_frame_equal(found, expected, categorical_as_str=True)
    assert_frame_equal(handed, late, categorical_as_str=True)
    assert passed == marks
    assert memory.held == 0


@pytest.mark.parametrize("kind", [{"size": 10}, {"session": 10}, {"rows": 2}])
def test_windows_that_are_too_large_fail_the_next_batch(
    kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "PIECE_BYTES", 1 << 20)
    pieces_of(500, monkeypatch)
    on = {} if "rows" in kind else {"on": "ts"}
    operator = windows(lambda made: made, by="k", max_bytes=100_000, **kind, **on).agg(X.sum())
    rows = pl.DataFrame({"ts": 1, "k": range(8_000), "x": 1})
    process = operator.start(rows.schema, context())
    assert feed(process, [rows[:100], rows[100:200]]) == []
    feed(process, [rows])
    with pytest.raises(StageError, match="larger than max_bytes allows"):
        feed(process, [rows])
    with pytest.raises(StageError, match="larger than max_bytes allows"):
        end(process)
    restored = operator.start(rows.schema, context())
    restored.restore(process.snapshot())
    with pytest.raises(StageError, match="larger than max_bytes allows"):
        feed(restored, [rows])


@pytest.mark.parametrize("kind", [{"size": 10}, {"session": 9}])
def test_memory_for_windows_is_free_again_when_they_close(kind: dict[str, Any]) -> None:
    operator = windows(lambda made: made, by="k", on="ts", max_bytes=400_000, **kind).agg(X.sum())
    memory = MemoryBudget()
    schema = pl.Schema({"ts": pl.Int64, "k": pl.Int64, "x": pl.Int64})
    process: Any = operator.start(schema, context(memory=memory))
    for number in range(5):
        start = 10_000_000 * number
        rows = pl.DataFrame({"ts": start, "k": range(5_000), "x": 1}, schema_overrides={"ts": pl.Int64})
        feed(process, [rows, rows])
        assert memory.held > 100_000
        last = number == 4
        closed = end(process) if last else feed(process, [start + 10_000_000])[:-1]
        assert sum(part.height for part in closed) == 5_000
        assert memory.held == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 10, "on": "ts", "on_full": "evict", "max_bytes": 1}, "would give windows that lack rows"),
        ({"session": 10, "on": "ts", "on_full": "spill", "max_bytes": 1}, "all sessions of a key"),
        ({"rows": 10, "on_full": "spill"}, "is for what is more than max_bytes"),
    ],
)
def test_limits_of_windows_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        windows(lambda made: made, **options)


@settings(max_examples=examples(20))
@given(data=st.data())
def test_windows_of_rows_in_files_are_those_in_memory(data: st.DataObject) -> None:
    parts = data.draw(cuts(data.draw(events())))
    found = []
    for limit in ({}, SPILL):
        operator = windows(lambda made: made, rows=3, by="k", **limit).agg(X.sum(), S.max())
        process = operator.start(ROWS, context())
        found.append(joined(operator, ROWS, feed(process, parts) + end(process)))
    assert_frame_equal(found[0], found[1])


RUNNING: dict[str, pl.Expr] = {
    "cum_sum": X.cum_sum(),
    "cum_max": X.cum_max(),
    "of a Decimal": X.cast(pl.Decimal(20, 2)).cum_sum(),
    "shift": S.shift(2),
    "diff": X.diff(),
    "forward_fill": S.forward_fill(),
    "rolling": X.rolling_mean(3, min_samples=1),
    "rolling_median": X.rolling_median(3, min_samples=1),
    "rolling_skew": X.rolling_skew(4, bias=False),
    "rolling_std": X.rolling_std(3),
    "ewm": X.ewm_mean(alpha=0.5),
    "rle_id": S.rle_id(),
}


@pytest.mark.parametrize("name", RUNNING)
@settings(max_examples=examples(4))
@given(data=st.data(), by=st.sampled_from([None, "k", ["k", "s"]]))
def test_scan_in_files_gives_what_it_gives_in_memory(name: str, by: Any, data: st.DataObject) -> None:
    rows, expr = data.draw(events()), RUNNING[name].alias("y")

    def run(limit: StateLimit, parts: list[pl.DataFrame]) -> tuple[pl.DataFrame, MemoryBudget]:
        operator, memory = Scan.of(check, (expr,), {}, by=by, limit=limit), MemoryBudget()
        process: Any = operator.start(ROWS, context(memory=memory))
        out = []
        for part in parts:
            out += process.process(Batch(part))
            if limit.max_bytes:
                memory, state = MemoryBudget(), process.snapshot()
                process = operator.start(ROWS, context(memory=memory))
                process.restore(state)
        return joined(operator, ROWS, out), memory

    expected, _ = run(StateLimit(), [rows])
    found, memory = run(StateLimit(**SPILL), data.draw(cuts(rows)))
    assert_frame_equal(found, expected)
    assert in_files(memory)


V = pl.col("v")
SPILLED = [dtype for dtype in TYPES if dtype not in (*INTEGERS, *DATETIMES, *DURATIONS)]
SPILLED += [pl.Int8(), pl.Int64(), pl.UInt16(), pl.UInt64()]
SPILLED += [
    pl.Datetime("ms"),
    pl.Datetime("us", "Europe/Amsterdam"),
    pl.Datetime("ns", "UTC"),
    pl.Duration("us"),
]
"""Every type, but not every width, and not every unit in every zone: a file holds them in the schema."""


@pytest.mark.parametrize("dtype", SPILLED, ids=str)
@settings(max_examples=examples(3))
@given(data=st.data())
def test_values_and_keys_of_every_type_come_back_from_files(dtype: pl.DataType, data: st.DataObject) -> None:
    rows = data.draw(frames({"k": pl.Boolean(), "v": dtype, "x": pl.Int8()}, max_rows=25))
    kept = [V.first().alias("first"), V.last(), V.alias("all"), pl.col("x").median()]
    seen = [pl.len(), pl.col("x").sum()]
    running = {"y": V.shift(2), "z": V.forward_fill()}
    steps: list[tuple[Any, pl.DataFrame]] = [
        (Reduce.of(*kept, by="k", **SPILL), rows.group_by("k", maintain_order=True).agg(kept)),
        (
            Scan.of(check, (), running, by="k", limit=StateLimit(**SPILL)),
            rows.with_columns(**{name: expr.over("k") for name, expr in running.items()}),
        ),
    ]
    if not dtype.is_nested():
        steps.append((Reduce.of(*seen, by="v", **SPILL), rows.group_by("v", maintain_order=True).agg(seen)))
    parts = data.draw(cuts(rows, most=2))  # a state is saved and restored after each
    for operator, expected in steps:
        process, out = operator.start(rows.schema, context()), []
        for part in parts:
            out += feed(process, [part])
            state, process = process.snapshot(), operator.start(rows.schema, context())
            process.restore(state)
        found = joined(operator, rows.schema, out + end(process))
        assert_frame_equal(found, expected, categorical_as_str=True)


KEPT_ONCE = {
    **RUNNING,
    "shift": S.shift(1),
    "plain ewm": X.ewm_mean(alpha=0.5, adjust=False, ignore_nulls=True),
}


@pytest.mark.untraced
@pytest.mark.parametrize("name", KEPT_ONCE)
@pytest.mark.parametrize("by", [None, "k"])
def test_state_that_is_restored_counts_once(name: str, by: Any) -> None:
    operator = Scan.of(check, (KEPT_ONCE[name],), {}, by=by, limit=StateLimit(max_bytes=10**9))
    rows = pl.DataFrame({"k": [1], "x": [2], "s": ["a"]})
    memories = [MemoryBudget(), MemoryBudget()]
    processes: list[Any] = [operator.start(rows.schema, context(memory=memory)) for memory in memories]
    feed(processes[0], [rows])
    processes[1].restore(processes[0].snapshot())
    assert memories[1].held == memories[0].held


@settings(max_examples=examples(60))
@given(types=st.lists(st.sampled_from((*PLAIN, *CODED, pl.Null())), min_size=1, max_size=3), data=st.data())
def test_a_log_of_rows_gives_each_by_its_number(types: list[pl.DataType], data: st.DataObject) -> None:
    whole = data.draw(frames({f"c{place}": dtype for place, dtype in enumerate(types)}, max_rows=40))
    limit = data.draw(st.sampled_from([None, 1, 600]))
    memory = StateMemory(limit, spills=True)
    log = FrameLog(whole.schema, memory)
    for part in data.draw(cuts(whole)):
        if part.height:
            log.append(part)
    assert log.stop == whole.height
    if whole.height:
        asked = np.array(data.draw(st.lists(st.integers(0, whole.height - 1), max_size=20)), np.int64)
        assert_frame_equal(log.gather(asked), whole[asked], categorical_as_str=True)
        shuffled = whole[np.roll(asked, 1)]
        same = [a == b for a, b in zip(codes(whole[asked]), codes(shuffled), strict=True)]
        assert log.equal(asked, shuffled).tolist() == same
        none = log.gather(np.array([0, -1]))
        assert_frame_equal(none[:1], whole[:1], categorical_as_str=True)
        assert all(column.null_count() == 1 for column in none[1:])
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, whole.height)] * 2)))
    assert_frame_equal(log.frame(start, stop), whole[start:stop], categorical_as_str=True)
    pieces = data.draw(st.lists(st.lists(st.integers(0, max(whole.height - 1, 0)), max_size=5), max_size=4))
    if not whole.height:
        pieces = []
    log.keep(np.array(piece, np.int64) for piece in pieces)
    kept = [number for piece in pieces for number in piece]
    assert log.stop == len(kept)
    assert_frame_equal(log.frame(0), whole[kept], categorical_as_str=True)
    assert memory.held >= 0


@pytest.mark.parametrize("limit", [None, 1, 600])
def test_rows_of_a_log_are_compared_in_memory_and_in_files(limit: int | None) -> None:
    rows = pl.DataFrame({"x": [None, *range(1, 60)], "s": [f"{number % 7}" for number in range(60)]})
    log = FrameLog(rows.schema, StateMemory(limit, spills=True))
    for part in (rows[:30], rows[30:50], rows[50:]):
        log.append(part)
    assert bool(log.statistics().filed) == (limit is not None)
    numbers = np.array([59, 0, 31, 7, 50, 29, 30])
    assert log.equal(numbers, rows[numbers]).all()
    assert log.equal(numbers, rows[np.array([59, 1, 31, 14, 50, 22, 30])]).tolist() == [True, False] * 3 + [
        True
    ]


def codes(rows: pl.DataFrame) -> list[int]:
    """A number for each row, the same for equal ones."""
    return rows.with_columns(pl.all().rank("dense")).hash_rows().to_list() if rows.width else []


@settings(max_examples=examples(30))
@given(data=st.data())
def test_keys_in_files_have_the_same_slots(data: st.DataObject) -> None:
    whole = data.draw(frames({"a": pl.String(), "b": pl.Int8()}, max_rows=60))
    here, there = KeyIndex(whole.schema), KeyIndex(whole.schema, memory=StateMemory(1, spills=True))
    for part in data.draw(cuts(whole)):
        slots = [[slot for found in index.assign(part) for slot in found.slots] for index in (here, there)]
        assert slots[0] == slots[1]
    assert there.keys().equals(here.keys())
    assert np.concatenate([np.zeros(0), *there.pieces()]).tolist() == here.slots().tolist()


@pytest.mark.untraced
def test_a_state_that_is_too_large_fails_the_next_batch_and_stays_as_it_is() -> None:
    operator = Reduce.of(X.sum(), by="k", max_bytes=20_000)
    process = operator.start(pl.Schema({"k": pl.Int64, "x": pl.Int64}), context())
    rows = pl.DataFrame({"k": range(2_000), "x": 1})
    assert list(process.process(Batch(rows))) == []
    with pytest.raises(StageError, match="larger than max_bytes allows") as raised:
        list(process.process(Batch(rows)))
    assert 'on_full="spill"' in str(raised.value)
    before = held_rows(process)
    with pytest.raises(StageError, match="larger than max_bytes allows"):
        list(process.finish())
    assert before["k"].to_list() == rows["k"].to_list()
    scanning = Scan.of(check, (X.cum_sum(),), {}, by="k", limit=StateLimit(max_bytes=20_000)).start(
        rows.schema, context()
    )
    assert sum(batch.num_rows for batch in scanning.process(Batch(rows))) == 2_000
    with pytest.raises(StageError, match="larger than max_bytes allows"):
        list(scanning.process(Batch(rows)))


def test_bytes_of_keys_that_are_evicted_are_those_of_so_many_keys() -> None:
    rows = pl.DataFrame({"k": [1, 2, 3, 1, 4, 2], "x": [1, 1, 1, 1, 1, 1]})
    # 24 bytes for the table, and one more than its size for each of k, the sum, and the number of the first row.
    for max_bytes, same in ((2 * (24 + 9 + 9 + 9), 2), (3 * (24 + 9 + 9 + 9) - 1, 2), (1, 1)):
        made = [
            Pipeline.builder()
            .source(Source.from_frame(rows))
            .reduce(X.sum(), by="k", on_full="evict", **limit)
            for limit in (
                {"max_bytes": max_bytes},
                {"max_keys": same},
                {"max_bytes": 10**9, "max_keys": same},
            )
        ]
        found, *others = (builder.collect_sync() for builder in made)
        assert found.height > same and all(found.equals(other) for other in others)
    scan = Pipeline.builder().source(Source.from_frame(rows))
    found, expected = (
        scan.scan(by="k", on_full="evict", y=X.cum_sum(), **limit).collect_sync()
        for limit in ({"max_bytes": 2 * (24 + 9 + 9)}, {"max_keys": 2})
    )
    assert found.equals(expected) and found["y"].to_list() == [1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("by", "expr", "what"),
    [("s", X.sum(), "s: String"), ("k", S.max(), "String"), ("k", X.median(), "List")],
)
def test_evicting_by_bytes_wants_keys_and_state_of_a_fixed_size(by: str, expr: pl.Expr, what: str) -> None:
    with pytest.raises(PlanError, match="of a fixed size") as raised:
        Reduce.of(expr, by=by, max_bytes=1000, on_full="evict").output_schema(ROWS)
    assert what in str(raised.value)


def test_texts_of_a_list_of_choices_have_a_fixed_size() -> None:
    schema = pl.Schema({"k": pl.Enum(["a", "b"]), "x": pl.Boolean})
    assert Reduce.of(X.any(), by="k", max_bytes=1000, on_full="evict").output_schema(schema).names() == [
        "k",
        "x",
    ]


def test_a_window_says_what_it_can_do_when_state_is_full() -> None:
    rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"t": [1]})))
    with pytest.raises(PlanError, match=r"unknown on_full of window") as raised:
        rows.window("1s", on="t", on_full="spil")
    assert raised.value.expected == "'error' or 'spill'"


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"max_keys": 0}, "max_keys is too small"),
        ({"max_keys": 5_000_000_000}, "max_keys is out of range"),
        ({"max_bytes": 0}, "max_bytes is too small"),
        ({"max_bytes": "1"}, "max_bytes takes a whole number"),
        ({"on_full": "forget"}, "unknown on_full"),
        ({"on_full": "spill"}, "is for what is more than max_bytes"),
        ({"on_full": "spill", "max_bytes": 1, "max_keys": 1}, "is for what is more than max_bytes"),
    ],
)
def test_limits_are_checked(limit: dict[str, Any], message: str) -> None:
    for step in (
        lambda rows: rows.reduce(X.sum(), by="k", **limit),
        lambda rows: rows.scan(X.cum_sum(), **limit),
    ):
        with pytest.raises(PlanError, match=message):
            step(Pipeline.builder().source(Source.from_frame(pl.DataFrame({"k": [1], "x": [1]}))))


def test_plans_show_limits() -> None:
    limit: dict[str, Any] = {"max_bytes": 1_000, "on_full": "spill"}
    shown = "max_bytes=1,000, on_full=spill)"
    assert Reduce.of(X.sum(), by="k", **limit).describe() == f"reduce(by=[k], x.sum(), {shown}"
    assert Scan.of(check, (X.cum_sum(),), {}, limit=StateLimit(**limit)).describe().endswith(f", {shown}")
    assert Scan.of(check, (X.cum_sum(),), {}).describe() == "scan(x.cum_sum())"
    for kind in ({"size": 10, "on": "ts"}, {"rows": 2}):
        made = windows(lambda made: made, by="k", **kind, **limit).agg(pl.len())
        assert f", by=[k], {shown}.agg" in made.describe()
    made = windows(lambda made: made, session=10, on="ts", max_bytes=7).agg(pl.len())
    assert ", max_bytes=7, on_full=error).agg" in made.describe()
    evicting = Reduce.of(X.sum(), max_keys=2, max_bytes=3, on_full="evict")
    assert evicting.describe() == "reduce(x.sum(), max_keys=2, max_bytes=3, on_full=evict)"


def test_a_function_with_state_has_no_limit() -> None:
    with pytest.raises(PlanError, match="a function and its state only"):
        Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1]}))).scan(
            lambda frame, state: (frame, state), state={}, max_bytes=1
        )


@pytest.mark.parametrize(
    "operator",
    [
        Reduce.of(X.sum(), by="k", **SPILL),
        Reduce.of(X.median(), by="k", **SPILL),
        Scan.of(check, (X.cum_sum(),), {}, by="k", limit=StateLimit(**SPILL)),
        windows(lambda made: made, rows=3, by="k", **SPILL).agg(X.sum()),
    ],
    ids=["folded", "grouped", "scan", "window"],
)
def test_a_full_disk_is_an_error_and_what_has_half_of_a_batch_gives_no_rows(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    rows = pl.DataFrame({"k": range(5000), "x": 1})
    process = operator.start(rows.schema, context())
    list(process.process(Batch(rows)))
    process.snapshot()
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    for _ in range(2):
        with pytest.raises(StageError, match="state cannot be spilled") as raised:
            list(process.process(Batch(rows.with_columns(X.alias("x"), k=pl.col("k") + 5000))))
        assert "No space left" in str(raised.value) and "TMPDIR" in str(raised.value)
    with pytest.raises(StageError, match="state cannot be spilled"):
        process.snapshot()
    if not isinstance(operator, Scan):
        with pytest.raises(StageError, match="state cannot be spilled"):
            list(process.finish())


def test_a_frame_that_does_not_fit_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_ipc", full)
    with pytest.raises(StageError, match="state cannot be spilled"):
        frame_in_file([pl.DataFrame({"x": [1]})])


def test_room_is_taken_where_the_system_has_no_call_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    array = array_in_file((3, 100_000), np.int64)
    assert not array.any()
    array[2, -1] = 7
    assert array.sum() == 7


def test_files_are_where_tmpdir_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert folder() == tmp_path
    frame = frame_in_file([pl.DataFrame({"x": [1, 2]})])
    assert list(tmp_path.iterdir()) == [] and frame["x"].to_list() == [1, 2]
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    with pytest.raises(StageError, match="state cannot be spilled"):
        folder()
    monkeypatch.delenv("TMPDIR")
    assert folder().is_dir()


_MEASURED = """
import sys
import numpy as np
import polars as pl
from arrowstream.core.batch import Batch
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.core.step_context import StepContext
from arrowstream.operators.reduce import Reduce

limit = {"max_bytes": 8 << 20, "on_full": "spill"} if sys.argv[1] == "spill" else {}
schema = pl.Schema({"k": pl.String, "x": pl.Int64})
process = Reduce.of(pl.col("x").sum(), pl.col("x").mean().alias("m"), by="k", **limit).start(
    schema, StepContext("step", None, MemoryBudget(), None, None)
)

def anonymous():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

rng = np.random.default_rng(0)
first = None
for number in range(18):
    keys = pl.Series("k", rng.integers(0, 1 << 60, 65_536)).cast(pl.String)
    list(process.process(Batch(pl.DataFrame([keys, pl.Series("x", np.arange(65_536))]))))
    if number == 5:
        first = anonymous()
print(anonymous() - first)
"""


@pytest.mark.thorough
@pytest.mark.once
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_process_grows_far_less_when_its_state_lies_in_files() -> None:
    """800,000 keys of 18 letters more take some 60 MB; in files, next to nothing."""
    # What is free again goes back to the system at once, and not some seconds later.
    at_once = {
        "_RJEM_MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }

    def grown(how: str) -> int:
        command = [sys.executable, "-c", _MEASURED, how]
        done = subprocess.run(command, env=os.environ | at_once, capture_output=True, text=True, check=True)
        return int(done.stdout)

    in_memory, spilled = grown("memory"), grown("spill")
    assert in_memory > 50_000
    assert spilled < in_memory / 4


@pytest.mark.parametrize("by", ["k", ["k", "s"]])
@pytest.mark.parametrize("step", ["reduce", "scan"])
def test_a_snapshot_of_more_keys_than_there_may_be_is_refused(step: str, by: Any) -> None:
    frame = pl.DataFrame({"k": [1, 2, 3], "s": ["a", "b", "c"], "x": [4, 5, 6]})

    def started(most: int) -> Process:
        limit: dict[str, Any] = {"max_keys": most, "on_full": "evict"}
        if step == "reduce":
            return Reduce.of(X.sum(), by=by, **limit).start(frame.schema, context())
        return Scan.of(check, (X.cum_sum(),), {}, by=by, limit=StateLimit(**limit)).start(
            frame.schema, context()
        )

    first = started(3)
    list(first.process(Batch(frame)))
    with pytest.raises(StageError, match="snapshot has more keys than there may be") as raised:
        started(2).restore(first.snapshot())
    assert (raised.value.expected, raised.value.found) == ("at most 2", "3 or more")
    larger = started(4)
    larger.restore(first.snapshot())
    assert held_rows(larger).equals(held_rows(first))


KEYED = pl.DataFrame(
    {
        "k": [f"key-{number:020d}" for number in range(2_400)],
        "x": range(2_400),
        "t": pl.Series(range(2_400)) * 2500,
    }
)
SPILLS: dict[str, Any] = {"max_bytes": 1 << 14, "on_full": "spill"}
SPILLING: dict[str, Callable[[Builder], Builder]] = {
    "reduce": lambda steps: steps.reduce(by="k", s=pl.col("x").sum(), **SPILLS),
    "scan": lambda steps: steps.scan(by="k", s=pl.col("x").cum_sum(), **SPILLS),
    "window": lambda steps: (
        steps.with_event_time("t").window("1h", on="t", by="k", **SPILLS).agg(s=pl.col("x").sum())
    ),
    "window of rows": lambda steps: steps.window(rows=3, by="k", **SPILLS).agg(s=pl.col("x").sum()),
}


def open_files() -> set[str]:
    """The files without a name that this process holds open."""
    links = set()
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the folder's own file is closed by now
            links.add(str(file.readlink()))
    return {link for link in links if "(deleted)" in link}


def run_and_fail_late(steps: Any) -> None:
    before = open_files()

    def broken(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows and batch["x"][0].as_py() >= 1_800:
            assert len(open_files()) > len(before)
            raise ValueError("late")
        return batch

    schema = KEYED.schema
    failing = Pipeline.builder().source(Source.from_frame(KEYED, batch_rows=600)).map(broken, schema=schema)
    with pytest.raises(StageError, match="late"):
        steps(failing).sink(TestSink()).build().run_sync()


def run_and_fail_at_the_end(steps: Any) -> None:
    def broken(batch: pa.RecordBatch) -> None:
        raise ValueError("at the end")

    with pytest.raises(SinkError, match="at the end"):
        steps(KEYED_STEPS).sink(Sink.to_fn(broken)).build().run_sync()


def fail_in_the_background(steps: Any) -> None:
    def broken(batch: pa.RecordBatch) -> None:
        raise ValueError("at the end")

    running = steps(KEYED_STEPS).sink(Sink.to_fn(broken)).build().start()
    with pytest.raises(SinkError, match="at the end"):
        running.wait(60)


def run_and_cancel(steps: Any) -> None:
    before = open_files()

    async def main() -> None:
        late = asyncio.Event()

        async def waiting(batch: pa.RecordBatch) -> pa.RecordBatch:
            if batch.num_rows and batch["x"][0].as_py() >= 1_800:
                late.set()
                await asyncio.sleep(60)
            return batch

        slow = steps(KEYED_STEPS.map(waiting, schema=KEYED.schema)).sink(TestSink()).build()
        run = asyncio.create_task(slow.run())
        await late.wait()
        assert len(open_files()) > len(before)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(main())


def run_to_the_end(steps: Any) -> None:
    report = steps(KEYED_STEPS).sink(Sink.to_fn(lambda batch: None)).build().run_sync()
    assert report.rows_out


KEYED_STEPS = Pipeline.builder().source(Source.from_frame(KEYED, batch_rows=600))
ENDINGS = [
    run_to_the_end,
    run_and_fail_late,
    run_and_fail_at_the_end,
    fail_in_the_background,
    run_and_cancel,
]


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux which files are open")
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("steps", SPILLING.values(), ids=SPILLING)
def test_files_are_closed_when_a_run_has_ended(
    steps: Callable[[Builder], Builder], ending: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it ends, and without the garbage collector: on a busy disk their room is needed."""
    pieces_of(300, monkeypatch)
    gc.disable()  # nor does what earlier tests have left open go away
    before = open_files()
    try:
        ending(steps)
        assert open_files() == before
    finally:
        gc.enable()
