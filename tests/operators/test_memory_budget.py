"""One budget for the state of all steps of a pipeline: who draws on it, and what happens at its limit."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from contexts import context
from polars.testing import assert_frame_equal
from windowing import end, feed

from arrowstream import Pipeline, Settings, Source
from arrowstream.core.batch import Batch
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import StageError
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.debounce import Debounce
from arrowstream.operators.functions.scan_function import ScanFunction
from arrowstream.operators.rebatch import Rebatch
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.scan import Scan
from arrowstream.operators.throttle import Throttle
from arrowstream.operators.window import windows
from arrowstream.plan.checks.row_local import check
from arrowstream.state.limit import NO_LIMIT, StateLimit
from arrowstream.state.memory import StateMemory
from arrowstream.testing import TestSink

ROWS = pl.DataFrame({"ts": [0] * 20_000, "k": range(20_000), "x": [1] * 20_000})
X = pl.col("x")


def kept(frame: pl.DataFrame, state: Any) -> tuple[pl.DataFrame, Any]:
    """A function for `scan` that keeps all rows of the last batch."""
    return frame, frame


STEPS: dict[str, Operator] = {
    "time window": windows(lambda made: made, size="1s", on="ts", by="k").agg(X.sum()),
    "session window": windows(lambda made: made, session="1s", on="ts", by="k").agg(X.sum()),
    "count window": windows(lambda made: made, rows=3, by="k").agg(X.sum()),
    "reduce": Reduce.of(X.sum(), by="k"),
    "reduce of the newest keys": Reduce.of(X.sum(), by="k", max_keys=30_000, on_full="evict"),
    "scan": Scan.of(check, (X.cum_sum(),), {}, by="k"),
    "scan(fn)": ScanFunction(kept, None),
    "batch": Rebatch(rows=1_000_000),
    "batch in time": Rebatch(rows=1_000_000, max_delay="1s"),
    "throttle": Throttle(rows=1, per="1h"),
    "debounce": Debounce.of("1h", "k"),
    "debounce without keys": Debounce.of("1h"),
}
LEAST = {"debounce without keys": 24}
"""Bytes that a step holds after all rows at least, where it keeps less than 8 a key."""


def started(operator: Operator, budget: MemoryBudget, step: str) -> Process:
    process = operator.start(ROWS.schema, context(step, budget))
    assert isinstance(process, Process)
    return process


@pytest.mark.parametrize("name", STEPS)
def test_every_step_with_state_draws_on_the_budget_under_its_own_name(name: str) -> None:
    budget = MemoryBudget(1 << 40)
    feed(started(STEPS[name], budget, "one"), [ROWS])
    before = budget.holders()
    feed(started(STEPS[name], budget, "other"), [ROWS])
    held = budget.holders()
    assert held["one"] == before["one"] == held["other"] >= LEAST.get(name, 8 * ROWS.height)
    assert budget.peak >= budget.held == sum(held.values())


@pytest.mark.parametrize("name", STEPS)
def test_a_step_fails_once_others_hold_all_of_the_budget(name: str) -> None:
    budget = MemoryBudget(100_000_000)
    process = started(STEPS[name], budget, "one")
    feed(process, [ROWS[:10]])
    budget.reserve("other", 200_000_000)
    with pytest.raises(StageError) as caught:
        feed(process, [ROWS[:10]])
    assert caught.value.what == "the state of all steps is larger than state_memory_mb allows, as one found"
    assert caught.value.expected == "at most 100,000,000 bytes in the pipeline"
    assert caught.value.found is not None
    assert caught.value.found.startswith(f"{budget.held:,} bytes: other 200,000,000, one ")
    budget.release("other", 200_000_000)
    feed(process, [ROWS[:10]])


@pytest.mark.untraced
@pytest.mark.parametrize(
    "name", ["batch", "batch in time", "throttle", "debounce", "time window", "session window"]
)
def test_rows_that_come_out_are_given_back_to_the_budget(name: str) -> None:
    budget = MemoryBudget(1 << 40)
    process = started(STEPS[name], budget, "one")
    rows = ROWS.with_columns(k=pl.col("k") % 10)
    feed(process, [rows, rows[:100]])
    most = budget.held
    assert sum(batch.height for batch in end(process)) > 0
    # The index of keys stays.
    assert budget.held < (most if name == "debounce" else most / 10)


def test_a_step_that_spills_leaves_the_budget_to_the_others() -> None:
    limit = 2_000_000
    budget = MemoryBudget(limit)
    spilling = Reduce.of(X.sum(), by="k", max_bytes=1 << 40, on_full="spill")
    process, plain = (
        started(spilling, budget, "spilling"),
        started(Reduce.of(X.sum(), by="k"), MemoryBudget(), "plain"),
    )
    budget.reserve("other", limit - 100_000)
    for start in range(0, 400_000, 20_000):
        rows = ROWS.with_columns(k=pl.col("k") + start)
        assert feed(process, [rows]) == feed(plain, [rows]) == []
    assert budget.holders()["other"] == limit - 100_000
    assert budget.holders()["spilling"] < 1_000_000 < 400_000 * 8
    assert_frame_equal(pl.concat(end(process)), pl.concat(end(plain)))


def test_windows_that_spill_do_so_by_what_others_leave_of_the_budget() -> None:
    kind: dict[str, Any] = {"size": "1s", "on": "ts", "by": "k", "max_bytes": 1 << 40, "on_full": "spill"}
    budget = MemoryBudget(3_000_000)
    process = started(windows(lambda made: made, **kind).agg(X.sum()), budget, "spilling")
    budget.reserve("other", 2_500_000)
    for start in range(0, 200_000, 20_000):
        feed(process, [ROWS.with_columns(k=pl.col("k") + start)])
        assert budget.held <= 3_000_000
    assert sum(frame.height for frame in end(process)) == 200_000


@pytest.mark.untraced
def test_debounce_gives_the_memory_of_forgotten_keys_back() -> None:
    budget = MemoryBudget(1 << 40)
    process: Any = started(Debounce.of("1s", "k"), budget, "debounce")
    held = []
    for start in range(0, 400_000, 20_000):
        process.set_time(10_000_000_000 * start)
        list(process.on_timer(10_000_000_000 * start))
        feed(process, [ROWS.with_columns(k=pl.col("k") + start)])
        held.append(budget.held)
    assert max(held[len(held) // 2 :]) <= max(held[: len(held) // 2])


@pytest.mark.untraced
def test_an_error_of_the_budget_names_the_stage_and_what_every_step_holds() -> None:
    frame = pl.DataFrame({"k": range(100_000)})
    source = Source.from_frame([frame[start : start + 10_000] for start in range(0, 100_000, 10_000)])
    sink = TestSink()
    builder = Pipeline.builder().source(source).scan(n=pl.col("k").cum_sum(), by="k").reduce(pl.len(), by="k")
    with pytest.raises(StageError) as caught:
        builder.sink(sink).build(settings=Settings(state_memory_mb=1)).run_sync()
    assert caught.value.stage is not None and ("scan" in caught.value.stage or "reduce" in caught.value.stage)
    assert caught.value.expected == "at most 1,048,576 bytes in the pipeline"
    assert "scan" in str(caught.value.found) and "reduce" in str(caught.value.found)
    builder.sink(sink).build(settings=Settings(state_memory_mb=1_000)).run_sync()
    assert sink.frame().height == 100_000


def test_its_own_limit_comes_before_that_of_the_pipeline() -> None:
    memory = StateLimit(max_bytes=10).memory(context("one", MemoryBudget(5)))
    memory.reserve(7)
    with pytest.raises(StageError, match="state_memory_mb"):
        memory.check()
    memory.reserve(7)
    with pytest.raises(StageError, match="max_bytes"):
        memory.check()
    assert not memory.takes(0)
    memory.close()
    memory.check()
    assert memory.held == 0 and memory.takes(5) and not memory.takes(6)


def test_without_limits_nothing_is_too_much() -> None:
    memory = NO_LIMIT.memory(context())
    memory.reserve(1 << 60)
    memory.check()
    assert memory.takes(1 << 60) and not memory.is_limited and not memory.is_full
    assert StateMemory(10).is_limited and NO_LIMIT.memory(context(memory=MemoryBudget(10))).is_limited


def test_rows_of_a_batch_that_is_cut_are_counted_by_their_share() -> None:
    budget = MemoryBudget(1 << 40)
    process: Any = started(Throttle(rows=10, per="1s"), budget, "throttle")
    rows = pl.DataFrame({"ts": [1] * 40, "k": [1] * 40, "x": [1] * 40})
    out = []
    for second in range(4):
        process.set_time(second * 1_000_000_000)
        found = process.process(Batch(rows)) if not second else process.on_timer(second * 1_000_000_000)
        out.append((sum(batch.num_rows for batch in found), budget.held))
    assert out == [(10, 720), (10, 480), (10, 240), (10, 0)]
