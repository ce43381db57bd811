"""Batches of single rows: what is kept of them stays few frames, and results are those of the whole."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from contexts import context

from arrowstream.core.batch import Batch
from arrowstream.operators.window import windows
from arrowstream.state.memory import StateMemory
from arrowstream.state.row_log import RowLog
from arrowstream.state.slot_store import Touched
from arrowstream.state.small_frames import MANY, SMALL, small_at_end


def test_as_many_small_ones_as_become_one() -> None:
    assert small_at_end([1] * (MANY - 1)) == 0
    assert small_at_end([1] * (MANY + 5)) == MANY
    assert small_at_end([1] * (MANY - 1) + [SMALL]) == 0


@pytest.mark.parametrize("kind", ["size", "session"])
def test_many_batches_of_one_row_beside_a_large_state(kind: str) -> None:
    kept = pl.DataFrame({"ts": 1, "k": range(3000), "x": 0}, schema_overrides={"x": pl.Int64, "ts": pl.Int64})
    single = pl.DataFrame(
        {
            "ts": [number % 3 * 10 for number in range(500)],
            "k": [number % 7 for number in range(500)],
            "x": range(500),
        }
    )
    options: dict[str, Any] = {kind: 1e-5, "on": "ts", "by": "k"}
    exprs = [pl.col("x").sum(), pl.col("x").first().alias("first"), pl.col("x").last().alias("last")]
    operator = windows(lambda made: made, **options).agg(*exprs)
    process: Any = operator.start(kept.schema, context())
    list(process.process(Batch(kept)))
    for number in range(single.height):
        list(process.process(Batch(single[number])))
        assert process.statistics().aside < 2 * MANY
    (found,) = [batch.polars() for batch in process.finish()]
    rows = pl.concat([kept, single])
    if kind == "size":
        window = pl.col("ts") // 10 * 10
    else:  # rows at 0, 1 and 20 of the keys that have any, else at 1 alone; 10 later than 1 is not a gap of 10
        window = pl.when(pl.col("ts") >= 20).then(20).when(pl.col("k") < 7).then(0).otherwise(1)
    wanted = rows.group_by(window.alias("window_start").cast(pl.Int64), "k").agg(*exprs)
    assert found.drop("window_end").sort("window_start", "k").equals(wanted.sort("window_start", "k"))


def test_a_log_copies_what_is_long_only_when_as_much_as_an_eighth_is_new() -> None:
    log = RowLog(pl.Schema({"x": pl.Int64}), StateMemory())
    living = np.ones(1000, np.bool_)
    log.put(np.arange(1000), pl.DataFrame({"x": range(1000)}), living)
    for number in range(124):
        log.put(np.array([number]), pl.DataFrame({"x": [-number]}), living)
        runs = log.statistics().runs
        assert runs[0] == 1000 and len(runs) < 12
    assert log.statistics().copied < 12 * 124
    assert log.get(np.array([3, 123, 900]))["x"].to_list() == [-3, -123, 900]
    for count, expected in ((125, (1000, 125)), (126, (1126,))):
        log = RowLog(pl.Schema({"x": pl.Int64}), StateMemory())
        for size in (1000, count):
            log.put(np.arange(size), pl.DataFrame({"x": range(size)}), living)
        assert log.statistics().runs == expected


def test_a_slot_without_a_row_has_none_in_a_log() -> None:
    log = RowLog(pl.Schema({"x": pl.Int64}), StateMemory())
    log.put(np.array([2]), pl.DataFrame({"x": [1]}), np.ones(5, np.bool_))
    assert log.get(np.array([2]))["x"].to_list() == [1]
    assert log.get(np.arange(5))["x"].to_list() == [None, None, 1, None, None]


def test_the_first_rows_of_slots_are_found_up_to_the_highest_slot() -> None:
    touched = Touched(StateMemory())
    most = touched.capacity
    for highest, room in ((most - 1, 1), (most, 2), (2 * most, 4), (2 * most + 1, 4), (9 * most - 1, 9)):
        firsts, owners = touched.of(np.array([highest, 0, highest, 3, 0]))
        assert firsts.tolist() == [0, 1, 3] and owners.tolist() == [0, 1, 0, 2, 1]
        assert touched.capacity == room * most
    assert touched.of(np.empty(0, np.int64))[0].tolist() == []
