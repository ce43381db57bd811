"""`join(emit="changes")` of two streams: changes add up to the join of the rows that have come, at any moment."""

import sqlite3
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joined_streams import HOW, SECOND, expected, rows_of, streams

from arrowstream import Builder, Pipeline, Sink, Source
from arrowstream.core.batch import Batch, Watermark
from arrowstream.core.rows.changes import CHANGE, CHANGE_TYPE
from arrowstream.errors import PlanError
from arrowstream.operators.base import MultiInputProcess
from arrowstream.operators.join import StreamJoin
from arrowstream.operators.joins.interval import joining, timed_rows
from arrowstream.operators.joins.interval.results import JoinEmit
from arrowstream.operators.joins.interval.within import Within
from arrowstream.operators.joins.keys import JoinKeys
from arrowstream.state.limit import NO_LIMIT, StateLimit

Deed = tuple[str, int, Any]
"""What happens next: rows or a watermark of an input, its idleness or end, or a restart of the step."""


@st.composite
def deeds(draw: Any, frames: list[pl.DataFrame], lateness_us: int) -> list[Deed]:
    """Draw how two streams are cut, and how their batches and marks interleave."""
    cuts = [
        [0, *sorted(draw(st.lists(st.integers(0, frame.height), max_size=6))), frame.height]
        for frame in frames
    ]
    waiting = [[frame[a:b] for a, b in pairwise(at)] for frame, at in zip(frames, cuts, strict=True)]
    found: list[Deed] = []
    latest = [-1, -1]
    while any(waiting):
        port = draw(st.sampled_from([port for port in (0, 1) if waiting[port]]))
        rows = waiting[port].pop(0)
        found.append(("rows", port, rows))
        if rows.height:
            latest[port] = max(latest[port], rows["ts"].max())
            found.append(("mark", port, latest[port] - lateness_us))
        if not waiting[port]:
            found.append(("end", port, None))
        elif other := draw(st.sampled_from([None, None, None, "idle", "restart"])):
            found.append((other, port, None))
    return found


class Played:
    """A join that is fed: what has come out, and the rows that came in and are not late.

    Parameters
    ----------
    step
        The join.
    frames
        Both streams, of which the columns ``a`` and ``b`` number the rows.
    """

    def __init__(self, step: StreamJoin, frames: list[pl.DataFrame]) -> None:
        self._step = step
        self._schemas = [frame.schema for frame in frames]
        self._process: MultiInputProcess = step.start(self._schemas, context())
        self._ended: set[int] = set()
        self.seen = [frame.clear() for frame in frames]
        self.count: Counter[str] = Counter()
        self.reached = -(2**62)

    def play(self, deed: Deed) -> None:
        """Do one thing."""
        kind, port, what = deed
        if kind == "rows":
            self._take(self._process.process(Batch(what), port))
            self.seen[port] = pl.concat([self.seen[port], what])
            late = self._process.take_late()
            if late is not None:
                for side, name in enumerate(("a", "b")):
                    numbers = late.polars()[name].drop_nulls()
                    self.seen[side] = self.seen[side].filter(~pl.col(name).is_in(numbers.implode()))
        elif kind == "mark":
            self._take(self._process.on_watermark(what, port))
        elif kind == "idle":
            self._take(self._process.on_idle(port))
        elif kind == "end":
            self._ended.add(port)
            self._take(self._process.on_end(port))
        else:
            saved = list(self._process.snapshot())
            self._process = self._step.start(self._schemas, context())
            self._process.restore(iter(saved))
            for ended in self._ended:
                self._take(self._process.on_end(ended))

    def finish(self) -> None:
        """End both streams."""
        self._take(self._process.finish())

    def _take(self, elements: Any) -> None:
        self._changes: list[str] = []
        for element in elements:
            if isinstance(element, Watermark):
                self.reached = max(self.reached, element.time_us)
            elif isinstance(element, Batch):
                self._add(element)

    def _add(self, batch: Batch) -> None:
        rows = batch.polars()
        times = rows.select(pl.col("^ts.*$")).min_horizontal().drop_nulls()
        assert (times >= self.reached).all(), "a row is late for the next step"
        if self._step.emit == "final":
            self.count.update(map(str, rows.rows()))
            return
        assert rows.columns[-1] == CHANGE and rows.schema[CHANGE] == CHANGE_TYPE
        # All that comes out at once for a batch, also in several batches.
        self._changes += rows[CHANGE].to_list()
        assert self._changes == sorted(self._changes), "a row is deleted before another takes its place"
        for *row, change in rows.rows():
            self.count[str(tuple(row))] += {"insert": 1, "delete": -1}[change]
        assert min(self.count.values(), default=0) >= 0, "a row is deleted that is not there"


def counted(rows: pl.DataFrame) -> Counter[str]:
    return Counter(map(str, rows.rows()))


KEYS = [["k"], ["f"], ["k", "n"], ["n", "f", "k"]]


@pytest.mark.parametrize("pieces", ["whole", "small"])
@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    streams(),
    st.sampled_from(HOW),
    st.tuples(st.integers(0, 8), st.integers(0, 8)),
    st.sampled_from(KEYS),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 1, 3]),
    st.data(),
)
def test_changes_add_up_to_the_join_of_the_rows_so_far(
    monkeypatch: pytest.MonkeyPatch,
    pieces: str,
    frames: list[pl.DataFrame],
    how: Any,
    reach: tuple[int, int],
    keys: list[str],
    nulls_equal: bool,
    spilled: bool,
    lateness_s: int,
    data: st.DataObject,
) -> None:
    if pieces == "small":
        monkeypatch.setattr(joining, "_PIECE", 3)
        monkeypatch.setattr(timed_rows, "PAIRS_AT_A_TIME", 2)
        monkeypatch.setattr(joining, "_KEPT_PAIRS", data.draw(st.sampled_from([1, 3, 100])))
        monkeypatch.setattr(timed_rows, "_JOINED", data.draw(st.sampled_from([-1, 1_000])))
    nan = pl.when(pl.col("n") == 1).then(float("nan")).otherwise(pl.col("n").cast(pl.Float64))
    frames = [frame.with_columns(f=nan) for frame in frames]
    within = Within(reach[0] * SECOND, reach[1] * SECOND)
    limit = StateLimit(max_bytes=1, on_full="spill") if spilled else NO_LIMIT
    joins = {
        emit: StreamJoin(
            JoinKeys(tuple(keys), tuple(keys), nulls_equal), ("ts", "ts"), within, how, limit=limit, emit=emit
        )
        for emit in JoinEmit.__args__
    }
    final, changes = (Played(join, frames) for join in joins.values())
    for deed in data.draw(deeds(frames, lateness_s * SECOND)):
        final.play(deed)
        before = dict(changes.count)
        changes.play(deed)
        if deed[0] == "rows":
            whole = expected(*changes.seen, keys, within, how, nulls_equal)
            assert +changes.count == counted(whole)
        else:
            assert changes.count == before, "time alone changes nothing"
    final.finish()
    changes.finish()
    assert +changes.count == final.count
    schema = joins["final"].output_schema(*(frame.schema for frame in frames))
    assert joins["changes"].output_schema(*(frame.schema for frame in frames)) == {
        **schema,
        CHANGE: CHANGE_TYPE,
    }


def side(name: str, *rows: tuple[int, Any]) -> pl.DataFrame:
    """Return rows of a time in seconds and a key, numbered in the column `name`."""
    return pl.DataFrame(
        [(time_s * SECOND, key, number) for number, (time_s, key) in enumerate(rows)],
        {"ts": pl.Int64, "k": pl.String, name: pl.Int64},
        orient="row",
    )


LEFT = side("a", (0, "x"), (1, "y"), (1, None), (2, "x"))
RIGHT = side("b", (1, "x"), (2, "z"), (3, "x"))
CAME: dict[str, list[list[tuple[Any, ...]]]] = {
    "inner": [[], [("x", 0, 0, "insert"), ("x", 3, 0, "insert")], [("x", 3, 2, "insert")]],
    "left": [
        [
            (None, 2, None, "insert"),
            ("x", 0, None, "insert"),
            ("y", 1, None, "insert"),
            ("x", 3, None, "insert"),
        ],
        [("x", 0, None, "delete"), ("x", 3, None, "delete"), ("x", 0, 0, "insert"), ("x", 3, 0, "insert")],
        [("x", 3, 2, "insert")],
    ],
    "right": [
        [],
        [("x", 0, 0, "insert"), ("x", 3, 0, "insert"), ("z", None, 1, "insert")],
        [("x", 3, 2, "insert")],
    ],
    "full": [
        [
            (None, 2, None, "insert"),
            ("x", 0, None, "insert"),
            ("y", 1, None, "insert"),
            ("x", 3, None, "insert"),
        ],
        [
            ("x", 0, None, "delete"),
            ("x", 3, None, "delete"),
            ("x", 0, 0, "insert"),
            ("x", 3, 0, "insert"),
            ("z", None, 1, "insert"),
        ],
        [("x", 3, 2, "insert")],
    ],
    "semi": [[], [("x", 0, "insert"), ("x", 3, "insert")], []],
    "anti": [
        [(None, 2, "insert"), ("x", 0, "insert"), ("y", 1, "insert"), ("x", 3, "insert")],
        [("x", 0, "delete"), ("x", 3, "delete")],
        [],
    ],
}
"""Keys, numbers of both sides and changes, for the rows of the left, two of the right, and another one of it."""


@pytest.mark.parametrize("how", HOW)
def test_a_row_without_a_partner_is_deleted_before_its_first_pair(how: Any) -> None:
    step = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), Within(SECOND, SECOND), how, emit="changes")
    process = step.start([LEFT.schema, RIGHT.schema], context())
    found = []
    for port, rows in ((0, LEFT), (1, RIGHT[:2]), (1, RIGHT[2:])):
        batches = [made.polars() for made in process.process(Batch(rows), port) if isinstance(made, Batch)]
        found.append([row for each in batches for row in each.select(pl.exclude("^ts.*$")).rows()])
        changes = [row[-1] for row in found[-1]]
        assert changes == sorted(changes), "deletions come first"
    assert [sorted(rows, key=str) for rows in found] == [sorted(rows, key=str) for rows in CAME[how]]
    assert rows_of([*process.on_end(0), *process.on_end(1), *process.finish()]) == []


@pytest.mark.parametrize("kept", [1, 100])
@pytest.mark.parametrize("piece", [1, 2, 65_536])
def test_a_key_passes_from_a_deleted_row_to_another_one_in_a_large_batch(
    piece: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deletions come before the pairs and the rows alone of the whole batch, in however many parts they are found."""
    monkeypatch.setattr(joining, "_PIECE", piece)
    monkeypatch.setattr(joining, "_KEPT_PAIRS", kept)
    monkeypatch.setattr(timed_rows, "PAIRS_AT_A_TIME", 1)
    right = pl.DataFrame({"ts": 0, "k": ["x", "y", "z"], "b": [5, 7, 8]})
    left = pl.DataFrame({"ts": 0, "k": [None, "y", "x", "z"], "a": [8, 5, 9, 7]})
    step = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), Within(SECOND, SECOND), "full", emit="changes")
    process = step.start([left.schema, right.schema], context())
    table: dict[int, tuple[Any, ...]] = {}
    later = pl.DataFrame({"ts": 0, "k": ["y", "x"], "a": [1, 2]})
    for port, rows in ((1, right), (0, left), (0, later)):
        for each in process.process(Batch(rows), port):
            assert isinstance(each, Batch)
            for a, b, change in each.polars().select("a", "b", CHANGE).rows():
                key = b if a is None else a
                if change == "delete":
                    del table[key]
                else:
                    assert key not in table
                    table[key] = (a, b)
    assert table == {8: (8, None), 5: (5, 7), 9: (9, 5), 7: (7, 8), 1: (1, 7), 2: (2, 5)}


@pytest.mark.parametrize("kept", [1, 100])
@pytest.mark.parametrize("piece", [1, 2])
def test_rows_that_are_numbered_again_between_the_pieces_of_a_batch(
    piece: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first piece has one row in reach; the second has two, for which rows are indexed, and numbered again."""
    monkeypatch.setattr(joining, "_PIECE", piece)
    monkeypatch.setattr(joining, "_KEPT_PAIRS", kept)
    monkeypatch.setattr(timed_rows, "_JOINED", 1)
    right, left = side("b", (0, "x"), (10, "x"), (20, "x"), (20, "x")), side("a", (10, "x"), (20, "x"))
    step = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), Within(SECOND, SECOND), "full", emit="changes")
    played = Played(step, [left, right])
    for deed in (("rows", 1, right), ("mark", 0, 5 * SECOND), ("mark", 1, 5 * SECOND), ("rows", 0, left)):
        played.play(deed)
    assert +played.count == counted(expected(left, right, ["k"], step.within, "full", False))


def test_rows_that_can_have_no_partner_are_inserted_and_not_held() -> None:
    step = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), Within(SECOND, SECOND), "left", emit="changes")
    process = step.start([LEFT.schema, RIGHT.schema], context())
    assert rows_of(list(process.on_end(1))) == []
    assert len(rows_of(list(process.process(Batch(LEFT), 0)))) == LEFT.height
    assert sum(saved.num_rows for saved in process.snapshot()) == 0


def stream(frame: pl.DataFrame) -> Builder:
    source = Source.from_frame([frame[:2], frame[2:]], schema=frame.schema)
    return Pipeline.builder().source(source.with_event_time("ts"))


def test_a_table_follows_by_its_key(tmp_path: Path) -> None:
    """The rows of a left join with one partner at the most, whichever stream is ahead."""
    right = side("b", (1, "y"), (2, "z"))
    joined = stream(LEFT).join(stream(right), on="k", within="1s", how="left", emit="changes")
    sink = Sink.to_database(f"sqlite:///{tmp_path}/x.db", "joined", mode="upsert", key="a")
    joined.select("a", "k", "b", CHANGE).sink(sink).build().run_sync()
    with sqlite3.connect(tmp_path / "x.db") as connection:
        rows = connection.execute("SELECT * FROM joined ORDER BY a").fetchall()
    assert rows == [(0, "x", None), (1, "y", 0), (2, None, None), (3, "x", None)]


def test_totals_follow_by_the_sign_of_each_change() -> None:
    joined = stream(LEFT).join(stream(RIGHT), on="k", within="1s", how="full", emit="changes")
    sign = pl.when(pl.col(CHANGE) == "insert").then(1).otherwise(-1)
    alone = (pl.col("b").is_null().cast(pl.Int64) * sign).sum()
    totals = joined.reduce(rows=sign.sum(), alone=alone, emit="changes").collect_sync()
    assert totals.drop(CHANGE).rows()[-1] == (6, 2)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"emit": "updates"}, r"join\(emit=...\) is unknown(.*\n)*.*'final' or 'changes'"),
        ({"emit": "changes", "within": None}, r"join\(emit=...\) is for a join with a stream"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(named: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        stream(LEFT).join(stream(RIGHT), **{"on": "k", "within": "1s", **named}).explain()


@pytest.mark.parametrize("changing", [0, 1])
@pytest.mark.parametrize("how", ["full", "semi"])
def test_changes_of_changes_are_refused(changing: int, how: Any) -> None:
    sides = [stream(LEFT), stream(RIGHT)]
    sides[changing] = sides[changing].with_columns(pl.lit("insert").alias(CHANGE))
    joined = sides[0].join(sides[1], on="k", within="1s", how=how, emit="changes")
    with pytest.raises(PlanError, match="gives a column _change itself"):
        joined.explain()


def test_what_comes_out_is_part_of_the_step() -> None:
    texts = [
        stream(LEFT).join(stream(RIGHT), on="k", within="1s", how="left", **named).explain()
        for named in ({}, {"emit": "changes"})
    ]
    assert "how='left')" in texts[0] and "how='left', emit='changes')" in texts[1]
