"""A checkpoint of a pipeline of every step with state, against the contracts alone: barrier, snapshot, restore."""

import asyncio
from typing import Any

import polars as pl
import pytest
from memory_store import MemoryStore, run_with

from arrowstream import Pipeline, Processor
from arrowstream.core.batch import Barrier
from arrowstream.testing import ManualClock, TestSink, TestSource

pytestmark = [pytest.mark.once, pytest.mark.untraced]

N = pl.int_range(48)
BATCHES = list(pl.select(t=N * 700_000 + N % 3 * 900_000, k=N * 7 % 5, x=N * N % 11).iter_slices(6))
X = pl.col("x")
BRANCHES: dict[str, Any] = {
    "window": lambda rows: rows.window("10s", every="5s", on="t").agg(total=X.sum(), middle=X.median()),
    "session": lambda rows: rows.window(session="4s", on="t", by="k").agg(n=pl.len()),
    "rows": lambda rows: rows.window(rows=3, by="x").agg(last=pl.col("number").last()),
    "reduce": lambda rows: rows.reduce(by="x", emit="updates", mean=X.mean(), first=X.first()),
    # Rows that were restored are released at once, as the quiet time has passed: only the newest ones are the same.
    "debounce": lambda rows: rows.debounce("1s", by="x").reduce(by="x", newest=pl.col("number").last()),
}


class Numbered(Processor):
    seen = 0

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        return pl.Schema({**schema, "number": pl.Int64})

    async def process(self, batch: Any) -> Any:
        begin, self.seen = self.seen, self.seen + batch.num_rows
        return pl.DataFrame(batch).with_columns(number=pl.Series(range(begin, self.seen), dtype=pl.Int64))

    def snapshot(self) -> Any:
        return pl.DataFrame({"seen": [self.seen]})

    def restore(self, state: Any) -> None:
        self.seen = state["seen"][0].as_py()


def pipeline(script: list[Any], sinks: dict[str, TestSink]) -> Pipeline:
    source = TestSource.from_frames(script).with_event_time("t", lateness="2s")
    steps = Pipeline.builder().source(source).buffer(4).throttle(rows=1_000, per="1s").batch(rows=4)
    steps = steps.scan(total=X.cum_sum(), before=X.shift(2), rolling=X.rolling_mean(3), by="k")
    steps = steps.scan(ewm=X.ewm_mean(alpha=0.5), filled=pl.col("before").forward_fill(), run=X.rle_id())
    steps = steps.process(Numbered).parallel_map(lambda batch: batch, workers=2).map(lambda batch: batch)
    split = steps.split(pl.col("k").replace_strict(dict(enumerate(BRANCHES)), return_dtype=pl.String))
    for name, branch in BRANCHES.items():
        split = split.branch(name, lambda rows, name=name, branch=branch: branch(rows).sink(sinks[name]))
    return split.merge().build(clock=ManualClock())


@pytest.fixture(scope="module")
def whole() -> dict[str, pl.DataFrame]:
    """The rows of each sink after a run without a barrier."""
    sinks = {name: TestSink() for name in BRANCHES}
    pipeline(BATCHES, sinks).run_sync()
    return {name: sink.frame() for name, sink in sinks.items()}


@pytest.mark.parametrize("at", [0, 1, 3, 4, 6, len(BATCHES)])
def test_two_runs_around_a_barrier_give_all_rows_once(at: int, whole: dict[str, pl.DataFrame]) -> None:
    first, second = ({name: TestSink() for name in BRANCHES} for _ in range(2))
    store, before = MemoryStore(), {}

    def note(sink: str, epoch: int) -> None:
        before[sink] = first[sink.split("/")[1]].frame()

    script = [*BATCHES[:at], Barrier(1), *BATCHES[at:]]
    asyncio.run(run_with(pipeline(script, first), snapshots=store, on_sink_barrier=note))
    store.complete = 1
    asyncio.run(run_with(pipeline(script, second), snapshots=store))
    for name, expected in whole.items():
        found = pl.concat([before[f"split/{name}/sink"], second[name].frame()])
        assert expected.height and found.sort(pl.all()).equals(expected.sort(pl.all())), name
