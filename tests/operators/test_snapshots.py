"""What all snapshots share: bounded pieces, made while they are read, with kind and version."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from polars.testing import assert_frame_equal
from snapshots import held_rows
from windowing import end, feed

from arrowstream import Processor
from arrowstream.core.batch import Batch, Watermark
from arrowstream.errors import SnapshotError
from arrowstream.operators.aggregation import folded_groups
from arrowstream.operators.base import AsyncProcess, Operator, Process
from arrowstream.operators.debounce import Debounce
from arrowstream.operators.functions.scan_function import ScanFunction
from arrowstream.operators.over import Over
from arrowstream.operators.process import ProcessorStep
from arrowstream.operators.ranking.order import RowOrder
from arrowstream.operators.rebatch import Rebatch
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.scan import Scan
from arrowstream.operators.sort import Sort
from arrowstream.operators.throttle import Throttle
from arrowstream.operators.top_k import TopK
from arrowstream.operators.unique import Unique
from arrowstream.operators.window import windows
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.plan.checks.row_local import check
from arrowstream.state import key_index, snapshot
from arrowstream.state.limit import StateLimit
from arrowstream.state.row_queue import with_marks
from arrowstream.state.snapshot import SnapshotFormat, shard_of
from arrowstream.state.snapshots import key_ranges, sharded_rows, snapshot_batches
from arrowstream.state.snapshots.snapshot_batches import SnapshotBatches

X, S = pl.col("x"), pl.col("s")
ROWS = pl.DataFrame(
    {
        "ts": [number * 100_000 for number in range(60)],
        "k": [number % 20 for number in range(60)],
        "x": [None if number % 7 == 0 else number for number in range(60)],
        "s": ["" if number % 5 else "é" * number for number in range(60)],
    }
)
MANY = pl.DataFrame({"ts": 0, "k": range(75_000), "x": range(75_000), "s": "a"})


def kept(frame: pl.DataFrame, state: Any) -> tuple[pl.DataFrame, Any]:
    """A function for `scan` that keeps all rows, and numbers them."""
    rows = frame if state is None else pl.concat([state, frame])
    return frame.with_columns(n=pl.lit(rows.height)), rows


def added(frame: pl.DataFrame, state: Any) -> tuple[pl.DataFrame, Any]:
    return frame.with_columns(n=pl.lit(state["n"])), {"n": state["n"] + frame.height}


SPILL: dict[str, Any] = {"max_bytes": 1, "on_full": "spill"}
EVICT: dict[str, Any] = {"max_keys": 15, "on_full": "evict"}
RUNNING = {
    "sum": X.cum_sum(),
    "before": S.shift(2),
    "last": S.forward_fill(),
    "ids": X.rle_id(),
    "spread": X.rolling_var(3),
    "mean": X.ewm_mean(alpha=0.5, ignore_nulls=False),
    "plain": X.ewm_mean(alpha=0.5, adjust=False, ignore_nulls=True),
    "total": X.cast(pl.Decimal(20, 2)).cum_sum(),
}
LARGEST = RowOrder.of("top_k", ["x", "s"], reverse=False)
STEPS: dict[str, Operator] = {
    "time window": windows(lambda made: made, size="2s", every="1s", on="ts", by="k").agg(X.sum(), S.last()),
    "time window in files": windows(lambda made: made, size="2s", on="ts", by="k", **SPILL).agg(
        X.sum(), S.max()
    ),
    "session window": windows(lambda made: made, session="3s", on="ts", by="k").agg(X.sum(), S.last()),
    "count window": windows(lambda made: made, rows=4, by="k").agg(X.sum(), S.last()),
    "count window without keys": windows(lambda made: made, rows=7).agg(X.sum(), S.last()),
    "folded reduce": Reduce.of(X.sum(), X.max().alias("most"), by="k"),
    "reduce": Reduce.of(X.sum(), S.last(), by="k"),
    "reduce in files": Reduce.of(X.sum(), S.last(), by="k", **SPILL),
    "reduce of the newest keys": Reduce.of(X.sum(), S.last(), by="k", **EVICT),
    "reduce without keys": Reduce.of(X.sum(), S.last()),
    "scan": Scan.of(check, (), RUNNING, by="k"),
    "scan in files": Scan.of(check, (), RUNNING, by="k", limit=StateLimit(**SPILL)),
    "scan of the newest keys": Scan.of(check, (), RUNNING, by="k", limit=StateLimit(**EVICT)),
    "scan without keys": Scan.of(check, (), RUNNING),
    "scan function of a frame": ScanFunction(kept, None),
    "scan function of numbers": ScanFunction(added, {"n": 1}),
    "largest rows": TopK(2, LARGEST, ("k",)),
    "largest rows in files": TopK(2, LARGEST, ("k",), limit=StateLimit(**SPILL)),
    "largest rows of a time": TopK(2, LARGEST, ("ts", "k"), "ts"),
    "largest rows so far": TopK(2, LARGEST, ("k",), emit="changes"),
    "largest rows without keys": TopK(2, LARGEST, emit="updates"),
    "rows with their windows": windows(lambda made: made, size="2s", every="1s", on="ts").rows(),
    "sorted rows of a time": Sort(RowOrder.of("sort", "s", descending=True, nulls_last=True), ("ts",), "ts"),
    "columns over groups": Over(("k",), (X.sum().alias("total"),)),
    "first rows": Unique(("k",)),
    "last rows": Unique(("k",), "last"),
    "first rows within a time": Unique(("k",), "first", 3_000_000, "ts"),
    "last rows within a time": Unique(("k",), "last", 1_000_000, "ts"),
    "batch": Rebatch(rows=50),
    "throttle": Throttle(rows=3, per="1h"),
    "debounce": Debounce.of("1h", "k"),
    "event time": Watermarks("ts"),
}


def started(name: str, schema: pl.Schema = ROWS.schema) -> Process:
    process = STEPS[name].start(schema, context())
    assert isinstance(process, Process)
    return process


def result(process: Process, items: list[Any]) -> list[Any]:
    """What comes out: frames and marks; frames in one where they follow each other."""
    out: list[Any] = []
    for element in feed(process, items) + end(process):
        if out and isinstance(element, pl.DataFrame) and isinstance(out[-1], pl.DataFrame):
            out[-1] = pl.concat([out[-1], element])
        else:
            out.append(element)
    return out


def check_equal(found: list[Any], expected: list[Any]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, pl.DataFrame):
            assert_frame_equal(one, other)
        else:
            assert one == other


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("nbytes", [1, 64])  # a row, and some; other tests have one piece
def test_pieces_of_any_size_restore_the_same_state(
    name: str, nbytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "PIECE_BYTES", nbytes)
    marks = [] if name == "count window" else [1_500_000]
    before, after = [ROWS[:10], ROWS[10:31], *marks], [ROWS[31:45], 3_000_000, ROWS[45:]]
    straight, first, second = (started(name) for _ in range(3))
    feed(straight, before), feed(first, before)
    second.restore(first.snapshot())
    check_equal(result(second, after), result(straight, after))


# Rows in files stay there, with the keys of all shards.
KEYED = [
    name
    for name in STEPS
    if name != "event time" and not name.endswith("without keys") and not name.startswith("scan function")
    if name not in ("batch", "throttle", "time window in files", "largest rows in files")
    if name not in ("rows with their windows", "sorted rows of a time")
]


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("order", [1, -1], ids=["from the first shard", "from the last shard"])
def test_shards_that_come_in_any_order_restore_the_same_state(
    name: str, order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some rows at a time make many parts of each shard."""
    for module in (sharded_rows, key_ranges, folded_groups, key_index):
        monkeypatch.setattr(module, "PIECE", 4)
    marks = [] if name == "count window" else [1_500_000]
    before, after = [ROWS[:10], ROWS[10:31], *marks], [ROWS[31:45], 3_000_000, ROWS[45:]]
    straight, first, second = (started(name) for _ in range(3))
    feed(straight, before), feed(first, before)
    batches = list(first.snapshot())
    shards = [shard_of(batch.schema) for batch in batches]
    assert (len({*shards} - {None}) > 1) == (name in KEYED)
    second.restore(iter(sorted(batches, key=lambda batch: order * (shard_of(batch.schema) or 0))))
    check_equal(result(second, after), result(straight, after))


APART = [name for name in STEPS if not name.startswith("scan function")]


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.parametrize("name", APART)
@pytest.mark.parametrize("held", [0, 1 << 20], ids=["that is read", "at once"])
def test_what_comes_after_a_snapshot_does_not_change_it(
    name: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From when it is apart from the state: at once, or where few rows are taken ahead, when it has been read."""
    for module in (sharded_rows, key_ranges, folded_groups, key_index):
        monkeypatch.setattr(module, "PIECE", 4)
    monkeypatch.setattr(snapshot_batches, "HELD_BYTES", held)
    marks = [] if name == "count window" else [1_500_000]
    before, after = [ROWS[:10], ROWS[10:31], *marks], [ROWS[31:45], 3_000_000, ROWS[45:]]
    straight, first, second = (started(name) for _ in range(3))
    feed(straight, before), feed(first, before)
    batches = first.snapshot()
    assert isinstance(batches, SnapshotBatches)
    apart: list[bool] = []
    batches.when_apart(lambda: apart.append(True))
    taken = []
    for batch in batches:
        taken.append(batch)
        if apart:
            break
    feed(first, after), end(first)
    second.restore(chain(taken, batches))
    assert apart == [True]
    check_equal(result(second, after), result(straight, after))


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.parametrize("name", STEPS)
def test_a_snapshot_changes_no_state_and_restores_to_the_same_snapshot(name: str) -> None:
    first, second = started(name), started(name)
    feed(first, [ROWS[:25], ROWS[25:40]])
    before = held_rows(first)
    second.restore(first.snapshot())
    # The groups of a pane, and sessions, are in no certain order.
    by = before.columns if before.columns and before.columns[0].startswith("__") else []
    for process in (first, second):
        assert held_rows(process).sort(by).equals(before.sort(by))


@pytest.mark.parametrize("name", STEPS)
def test_state_of_another_step_or_version_is_refused(name: str) -> None:
    process = started(name)
    (record, *_) = process.snapshot()
    metadata = dict(record.schema.metadata)
    kind, version = metadata[b"arrowstream.kind"].decode(), metadata[b"arrowstream.version"].decode()
    for changed in ({b"arrowstream.version": b"0"}, {b"arrowstream.kind": b"something"}):
        with pytest.raises(SnapshotError) as caught:
            started(name).restore(iter([record.replace_schema_metadata(metadata | changed)]))
        assert caught.value.expected == f"state of {kind}, version {version}"
        other = {"kind": kind, "version": version} | {
            key.decode().removeprefix("arrowstream."): value.decode() for key, value in changed.items()
        }
        assert caught.value.found == f"state of {other['kind']}, version {other['version']}"


@pytest.mark.parametrize("batches", [[], [pa.RecordBatch.from_pydict({"x": [1]})]])
def test_what_is_no_snapshot_is_refused(batches: list[pa.RecordBatch]) -> None:
    with pytest.raises(SnapshotError, match="cannot be restored here") as caught:
        started("reduce").restore(iter(batches))
    assert caught.value.found == "state of nothing, version nothing"


def test_kinds_are_the_steps_own() -> None:
    kinds = {}
    for name in STEPS:
        (record, *_) = started(name).snapshot()
        kinds[name] = record.schema.metadata[b"arrowstream.kind"].decode()
    assert set(kinds.values()) == {
        *("time window", "session window", "count window", "reduce", "scan", "scan function"),
        *("batch", "throttle", "debounce", "event time"),
        *("first rows", "last rows", "rows within a time", "complete groups", "largest rows"),
        "row windows",
    }


@pytest.mark.parametrize(
    "name", ["reduce", "folded reduce", "scan", "time window", "session window", "batch"]
)
def test_a_large_state_comes_in_small_pieces_which_are_made_one_by_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "PIECE_BYTES", 1 << 18)
    monkeypatch.setattr(key_ranges, "VALUE_BYTES", 1 << 18)
    step = {"batch": Rebatch(rows=1_000_000)}.get(name, STEPS[name])
    process = step.start(MANY.schema, context())
    assert isinstance(process, Process)
    feed(process, [MANY])
    batches = process.snapshot()
    assert isinstance(batches, Iterator) and not isinstance(batches, list)
    sizes = [(batch.num_rows, batch.nbytes) for batch in batches]
    assert sum(rows for rows, _ in sizes) >= MANY.height
    assert len(sizes) > 4 and max(nbytes for _, nbytes in sizes) < 2 << 18


class Stateful(Processor):
    """Gives and takes its state in any form."""

    def __init__(self, state: Any = None) -> None:
        self.state, self.restored = state, None

    async def process(self, batch: pa.RecordBatch) -> Any:
        return batch

    def snapshot(self) -> Any:
        return self.state

    def restore(self, state: pa.Table) -> None:
        assert isinstance(state, pa.Table)
        self.restored = state


TABLE = pa.table({"n": [1, 2, 3]}, metadata={"of": "the user"})


@pytest.mark.parametrize(
    "state",
    [
        TABLE,
        pl.DataFrame({"n": [1, 2, 3]}),
        TABLE.to_batches(),
        TABLE.combine_chunks().to_batches()[0],
        [pl.DataFrame({"n": [1]}), pl.DataFrame({"n": [2, 3]})],
        (pl.DataFrame({"n": [number]}) for number in (1, 2, 3)),
        TABLE.to_pandas(),
    ],
    ids=["table", "polars", "batches", "batch", "frames", "generator", "pandas"],
)
def test_a_processor_gives_its_state_in_any_form_and_gets_a_table(state: Any) -> None:
    first, second = Stateful(state), Stateful()
    processes = [ProcessorStep(processor).start(ROWS.schema, context()) for processor in (first, second)]
    assert all(isinstance(process, AsyncProcess) for process in processes)
    processes[1].restore(processes[0].snapshot())
    assert second.restored is not None
    assert second.restored["n"].to_pylist() == [1, 2, 3]


def test_a_state_without_rows_is_restored_and_none_is_not() -> None:
    for state, columns in ((pl.DataFrame(schema={"n": pl.Int64}), ["n"]), (None, None)):
        first, second = Stateful(state), Stateful()
        made = [ProcessorStep(processor).start(ROWS.schema, context()) for processor in (first, second)]
        made[1].restore(made[0].snapshot())
        assert (second.restored is None) == (columns is None)
        assert columns is None or (second.restored.column_names == columns and second.restored.num_rows == 0)


def test_a_snapshot_of_other_processors_is_refused() -> None:
    process = ProcessorStep(Stateful()).start(ROWS.schema, context())
    with pytest.raises(SnapshotError, match="cannot be restored"):
        process.restore(SnapshotFormat("reduce", 1).write())
    asyncio.run(process.close())


def test_marks_keep_their_place_among_restored_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "PIECE_BYTES", 1)
    first, second = (Rebatch(rows=50).start(ROWS.schema, context()) for _ in range(2))
    assert isinstance(first, Process) and isinstance(second, Process)
    feed(first, [ROWS[:3], 1, ROWS[3:5], 2])
    second.restore(first.snapshot())
    straight = end(first)
    check_equal(end(second), straight)
    assert len(straight) == 2


def test_a_watermark_within_a_batch_cuts_it() -> None:
    batches = [Batch(ROWS[:3]), Batch(ROWS[3:7])]
    marks = [(0, 1), (2, 2), (3, 3), (5, 4), (7, 5)]
    found = [
        item.time_us if isinstance(item, Watermark) else item.num_rows for item in with_marks(batches, marks)
    ]
    assert found == [1, 2, 2, 1, 3, 2, 4, 2, 5]


def test_every_row_and_watermark_has_its_place_wherever_batches_begin() -> None:
    marks = [(0, 100), (1, 101), (3, 102), (4, 103), (5, 104), (5, 105), (9, 106), (10, 107)]
    expected: list[int] = []
    for row in range(11):
        expected += [time for place, time in marks if place == row] + [row][: row < 10]
    for sizes in ([10], [4, 6], [5, 5], [1, 7, 2], [2] * 5):
        cuts = [sum(sizes[:number]) for number in range(len(sizes))]
        batches = [
            Batch(pl.DataFrame({"x": range(at, at + size)})) for at, size in zip(cuts, sizes, strict=True)
        ]
        found: list[int] = []
        for item in with_marks(batches, marks):
            found += [item.time_us] if isinstance(item, Watermark) else item.polars()["x"].to_list()
        assert found == expected
