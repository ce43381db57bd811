"""Keys to slots: exact, dense, in the order of coming, whatever the cuts, the types, the hashes and the evictions."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import CODED, PLAIN, cuts, frames

from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators import keyed_state
from arrowstream.operators.frame_log import FrameLog
from arrowstream.operators.key_columns import key_schema, parse_keys
from arrowstream.operators.key_table import KeyTable
from arrowstream.operators.keyed_state import KeyIndex
from arrowstream.operators.state_memory import StateMemory

KEYS = (*PLAIN, *CODED, pl.Null())


def slots_of(index: KeyIndex, batches: list[pl.DataFrame]) -> list[int]:
    return [slot for batch in batches for part in index.assign(batch) for slot in part.slots.tolist()]


@settings(max_examples=40)
@given(types=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3), data=st.data())
def test_slots_are_those_of_first_appearance_whatever_types_and_cuts(
    types: list[pl.DataType], data: st.DataObject
) -> None:
    whole = data.draw(frames({f"k{place}": dtype for place, dtype in enumerate(types)}, max_rows=30))
    index = KeyIndex(whole.schema)
    found = slots_of(index, data.draw(cuts(whole)))
    firsts = whole.unique(maintain_order=True)
    known = firsts.with_row_index("slot")
    expected = whole.join(known, on=whole.columns, how="left", nulls_equal=True, maintain_order="left")[
        "slot"
    ]
    assert found == expected.to_list()
    assert len(index) == index.capacity == firsts.height
    assert index.keys().equals(firsts)


class Model:
    """The same row by row: a dictionary of keys, of which the first that came goes when it is full."""

    def __init__(self, most: int) -> None:
        self.most, self.slots, self.number = most, dict[int | None, int](), 0

    def slot(self, key: int | None) -> int:
        if key not in self.slots:
            if len(self.slots) == self.most:
                del self.slots[next(iter(self.slots))]
            self.slots[key] = self.number % self.most
            self.number += 1
        return self.slots[key]


@pytest.mark.parametrize("collide", [False, True])
@settings(max_examples=40)
@given(values=st.lists(st.none() | st.integers(0, 12), max_size=60), most=st.integers(1, 9), data=st.data())
def test_eviction_is_that_of_single_rows(
    collide: bool, values: list[int | None], most: int, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if collide:
            patch.setattr(keyed_state, "_hash", few_hashes)
        whole = pl.DataFrame({"k": values}, schema={"k": pl.Int64})
        index, model = KeyIndex(whole.schema, most, "evict"), Model(most)
        owner: dict[int, int | None] = {}
        for batch in data.draw(cuts(whole)):
            for part in index.assign(batch):
                keys = batch["k"][part.start : part.start + len(part.slots)].to_list()
                assert part.slots.tolist() == [model.slot(key) for key in keys]
                for slot, key in zip(part.slots.tolist(), keys, strict=True):
                    assert slot in part.fresh or owner[slot] == key
                    owner[slot] = key
        assert index.keys()["k"].to_list() == list(model.slots)
        assert index.slots().tolist() == list(model.slots.values())
        assert len(index) == len(model.slots)


def few_hashes(keys: pl.DataFrame) -> np.ndarray:
    """Three hashes for all keys, at the very end of the table."""
    return (keys.hash_rows() % 3).to_numpy() + np.uint64((1 << 64) - 3)


def test_equal_hashes_do_not_merge_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed_state, "_hash", few_hashes)
    index = KeyIndex(pl.Schema({"k": pl.Int64}))
    values = np.random.default_rng(0).integers(0, 40, 300)
    first: dict[int, int] = {}
    expected = [first.setdefault(value, len(first)) for value in values.tolist()]
    found = slots_of(index, [pl.DataFrame({"k": part}) for part in np.split(values, [3, 5, 100, 101])])
    assert found == expected


@pytest.mark.parametrize("most", [None, 6_000])
def test_many_keys_over_many_batches(most: int | None) -> None:
    """The table is rebuilt and the runs are merged many times; eviction leaves only what is held."""
    index = KeyIndex(pl.Schema({"k": pl.Int64}), most, "evict")
    for start in range(0, 20_000, 170):
        keys = pl.DataFrame({"k": range(start, start + 170)})
        [part] = index.assign(keys)
        assert part.fresh.tolist() == part.slots.tolist()
        [again] = index.assign(keys)
        assert again.slots.tolist() == part.slots.tolist()
        assert not len(again.fresh)
    held = 170 * -(-20_000 // 170) if most is None else most
    assert len(index) == index.capacity == held
    assert index.keys()["k"].to_list() == list(range(20_060 - held, 20_060))
    assert len(index._store._runs) <= 8
    assert sum(run.height for run in index._store._runs) < 1.2 * held
    assert len(index._table._entries) <= 8 * max(held, 20_060 if most is None else 0)


@given(values=st.lists(st.integers(0, 9), max_size=30), most=st.none() | st.integers(5, 9), data=st.data())
def test_a_snapshot_gives_the_keys_new_slots_in_order(
    values: list[int], most: int | None, data: st.DataObject
) -> None:
    whole = pl.DataFrame({"k": values}, schema={"k": pl.Int64})
    cut = data.draw(st.integers(0, whole.height))
    first = KeyIndex(whole.schema, most, "evict")
    slots_of(first, [whole.head(cut)])
    second = KeyIndex(whole.schema, most, "evict")
    second.restore(first.snapshot())
    assert second.keys().equals(first.keys())
    assert second.slots().tolist() == list(range(len(first)))
    for index in (first, second):
        slots_of(index, [whole.slice(cut)])
    assert second.keys().equals(first.keys())


@pytest.mark.parametrize("expected", [0, 1, 100, 5_461, 5_462])
def test_a_third_of_the_table_stays_empty(expected: int) -> None:
    table = KeyTable(StateMemory(), expected)
    most = 2 * len(table._entries) // 3
    assert table.has_room(most) and not table.has_room(most + 1)
    assert expected <= most
    hashes = np.arange(7, dtype=np.uint64) << np.uint64(32) | np.arange(7, dtype=np.uint64)
    table.settle(hashes, np.arange(7), np.arange(7))
    assert table.has_room(most - 7) and not table.has_room(most - 6)


def test_a_long_run_of_keys_is_left_alone_until_what_follows_is_an_eighth_of_it() -> None:
    store = FrameLog(pl.Schema({"k": pl.Int64}), StateMemory())
    store.append(pl.DataFrame({"k": range(1000)}))
    first = store._runs[0]
    for number in range(1000, 1124):
        store.append(pl.DataFrame({"k": [number]}))
        assert store._runs[0] is first and len(store._runs) < 12
    assert store.frame(1120).rows() == [(number,) for number in range(1120, 1124)]


def test_keys_nobody_asks_for_are_let_go() -> None:
    store = FrameLog(pl.Schema({"k": pl.Int64}), StateMemory())
    store.append(pl.DataFrame({"k": range(1000)}))
    store.forget(999)
    store.append(pl.DataFrame({"k": [1000]}))
    assert [run.height for run in store._runs] == [1000, 1]
    store.forget(1000)
    store.append(pl.DataFrame({"k": [1001]}))
    assert sum(run.height for run in store._runs) == 2
    assert store.stop == 1002 and store.frame(1001).rows() == [(1001,)]
    assert store.equal(np.array([1001, 1000]), pl.DataFrame({"k": [1001, 1]})).tolist() == [True, False]


@pytest.mark.parametrize(("count", "runs"), [(125, [1000, 125]), (126, [1126])])
def test_runs_of_keys_are_joined_from_an_eighth_on(count: int, runs: list[int]) -> None:
    store = FrameLog(pl.Schema({"k": pl.Int64}), StateMemory())
    for size in (1000, count):
        store.append(pl.DataFrame({"k": range(size)}))
    assert [run.height for run in store._runs] == runs
    assert store.stop == 1000 + count


def test_full_is_an_error_that_changes_nothing() -> None:
    index = KeyIndex(pl.Schema({"k": pl.Int64}), 3)
    assert slots_of(index, [pl.DataFrame({"k": [5, 6]})]) == [0, 1]
    with pytest.raises(StageError, match="more keys than max_keys") as raised:
        slots_of(index, [pl.DataFrame({"k": [5, 7, 8, 7]})])
    assert raised.value.found == "2 and 2 new ones in one batch"
    assert slots_of(index, [pl.DataFrame({"k": [8, 6, 8]})]) == [2, 1, 2]


def test_names_of_keys() -> None:
    assert parse_keys("scan", None) == ()
    assert parse_keys("scan", "a") == ("a",)
    assert parse_keys("scan", ["a", "b"]) == ("a", "b")
    with pytest.raises(PlanError, match=r"scan\(by=...\) takes names"):
        parse_keys("scan", [pl.col("a")])
    with pytest.raises(PlanError, match="twice"):
        parse_keys("scan", ["a", "a"])


def test_key_columns_are_checked() -> None:
    schema = pl.Schema({"key": pl.Int64, "list": pl.List(pl.Int64)})
    assert key_schema("scan", ("key",), schema) == pl.Schema({"key": pl.Int64})
    with pytest.raises(SchemaError, match="did you mean 'key'"):
        key_schema("scan", ("kye",), schema)
    with pytest.raises(SchemaError) as raised:
        key_schema("scan", ("zzz",), schema)
    assert raised.value.hint is None
    with pytest.raises(PlanError, match="cannot be a key"):
        key_schema("scan", ("list",), schema)
