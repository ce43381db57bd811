"""Keys of each type in joins of streams, with nulls and NaN, across restarts and files."""

from collections import Counter
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from contexts import context

from arrowstream.core.batch import Batch, Element
from arrowstream.core.rows.changes import CHANGE
from arrowstream.operators.base import MultiInputOperator
from arrowstream.operators.join import StreamJoin
from arrowstream.operators.join_asof import AsofOptions, StreamAsofJoin
from arrowstream.operators.joins.interval import timed_rows
from arrowstream.operators.joins.interval.within import Within
from arrowstream.operators.joins.keys import JoinKeys
from arrowstream.state.limit import NO_LIMIT, StateLimit

NAN = float("nan")
KEYS: dict[str, tuple[Any, list[Any]]] = {
    "floats": (pl.Float64, [NAN, 0.0, -0.0, 1.5, float("inf"), -NAN]),
    "small floats": (pl.Float32, [NAN, 0.0, -0.0, 1.5]),
    "integers": (pl.Int64, [0, -1, 2**62, -(2**63)]),
    "bytes": (pl.UInt8, [0, 255, 7]),
    "large integers": (pl.UInt64, [0, 2**64 - 1, 2**63]),
    "booleans": (pl.Boolean, [True, False]),
    "texts": (pl.String, ["", "a", "\0", "ä" * 40]),
    "binaries": (pl.Binary, [b"", b"\xff", b"a" * 40]),
    "categories": (pl.Categorical, ["x", "y", ""]),
    "enums": (pl.Enum(["x", "y"]), ["x", "y"]),
    "dates": (pl.Date, [date(1970, 1, 1), date(1, 1, 1), date(2030, 1, 1)]),
    "times": (pl.Time, [time(0), time(23, 59)]),
    "moments": (pl.Datetime("ns", "UTC"), [datetime(1970, 1, 1), datetime(2030, 1, 1)]),
    "durations": (pl.Duration("ms"), [timedelta(0), timedelta(days=-1)]),
    "decimals": (pl.Decimal(20, 2), [Decimal("0.00"), Decimal("-1.25"), Decimal("100000000.01")]),
}

KINDS = pytest.mark.parametrize(
    "kind",
    ["binaries", *(pytest.param(kind, marks=pytest.mark.untraced) for kind in KEYS if kind != "binaries")],
)

# What is kept over a restart is Arrow's, whatever computes with it.
RESTART = pytest.mark.parametrize("restart", [False, pytest.param(True, marks=pytest.mark.once)])


def same(one: Any, other: Any, nulls_equal: bool) -> bool:
    if one is None or other is None:
        return nulls_equal and one is other
    return bool(one == other or (one != one and other != other))


def rows_of(elements: list[Element]) -> list[dict[str, Any]]:
    return [row for each in elements if isinstance(each, Batch) for row in each.polars().to_dicts()]


def sides(dtype: Any, values: list[Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    keys = [*values, None]
    return tuple(  # type: ignore[return-value]
        pl.DataFrame({name: range(len(keys)), "k": pl.Series(keys, dtype=dtype)}).with_columns(ts=pl.lit(0))
        for name in ("a", "b")
    )


def run(step: MultiInputOperator, frames: tuple[pl.DataFrame, pl.DataFrame], restart: bool) -> list[Any]:
    """Feed the versions, then the rows, with a restart in between and in the middle of each."""
    process = step.start([frame.schema for frame in frames], context())
    out: list[Element] = []
    for port in (1, 0):
        for part in frames[port].iter_slices(3):
            out += process.process(Batch(part), port)
            if restart:
                saved = list(process.snapshot())
                process = step.start([frame.schema for frame in frames], context())
                process.restore(iter(saved))
    out += process.finish()
    return rows_of(out)


@RESTART
@pytest.mark.parametrize("nulls_equal", [False, True])
@pytest.mark.parametrize("found", ["joined", "indexed"])
@KINDS
def test_partners_have_equal_keys(
    kind: str, found: str, nulls_equal: bool, restart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timed_rows, "_JOINED", -1 if found == "indexed" else 1_000)
    frames = sides(*KEYS[kind])
    # Any three of the four choices are tried in every way (an orthogonal array of strength 3).
    spilled = restart ^ nulls_equal ^ (found == "indexed")
    limit = StateLimit(max_bytes=1, on_full="spill") if spilled else NO_LIMIT
    keys = JoinKeys(("k",), ("k",), nulls_equal)
    step = StreamJoin(keys, ("ts", "ts"), Within(0, 0), "full", limit=limit)
    pairs = {(row["a"], row["b"]) for row in run(step, frames, restart)}
    left, right = (frame["k"].to_list() for frame in frames)
    expected = {
        (a, b) for a, one in enumerate(left) for b, other in enumerate(right) if same(one, other, nulls_equal)
    }
    alone = (set(range(len(each))) - {pair[at] for pair in expected} for at, each in enumerate((left, right)))
    mine, theirs = alone
    assert pairs == expected | {(a, None) for a in mine} | {(None, b) for b in theirs}


@RESTART
@pytest.mark.parametrize("how", ["left", "right", "full", "anti"])
@KINDS
def test_a_row_that_came_out_alone_is_deleted_as_it_was(kind: str, how: Any, restart: bool) -> None:
    """Each change deletes a row that is there, its key bit for bit; what is left is what comes out without them."""
    frames = sides(*KEYS[kind])
    keys = JoinKeys(("k",), ("k",), nulls_equal=how == "full")
    limit = StateLimit(max_bytes=1, on_full="spill") if restart else NO_LIMIT
    count: Counter[str] = Counter()
    for row in run(
        StreamJoin(keys, ("ts", "ts"), Within(0, 0), how, limit=limit, emit="changes"), frames, restart
    ):
        change = row.pop(CHANGE)
        count[str(row)] += 1 if change == "insert" else -1
        assert count[str(row)] >= 0
    final = run(StreamJoin(keys, ("ts", "ts"), Within(0, 0), how), frames, restart=False)
    assert +count == Counter(map(str, final))


@pytest.mark.parametrize("restart", [False, True])
@KINDS
def test_a_version_has_the_key_of_its_row(kind: str, restart: bool) -> None:
    frames = sides(*KEYS[kind])
    step = StreamAsofJoin(AsofOptions(("ts", "ts"), JoinKeys(("k",), ("k",), step="join_asof")))
    found = {row["a"]: row["b"] for row in run(step, frames, restart)}
    left, right = (frame["k"].to_list() for frame in frames)
    expected = {
        a: max((b for b, other in enumerate(right) if same(one, other, nulls_equal=False)), default=None)
        for a, one in enumerate(left)
    }
    assert found == expected
