"""Keys to slots: exact, dense, in the order of coming, whatever the cuts, the types, the hashes and the evictions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import CODED, INTEGERS, MOMENTS, PLAIN, cuts, frames, make_series

from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.arguments import key_schema, parse_keys
from arrowstream.state import direct_table, hashed_keys
from arrowstream.state import key_index as keyed_state
from arrowstream.state.direct_table import DirectTable
from arrowstream.state.frame_log import FrameLog
from arrowstream.state.hash_table import KeyTable, first_rows
from arrowstream.state.key_index import KeyIndex
from arrowstream.state.memory import StateMemory

pytestmark = pytest.mark.once

KEYS = (*PLAIN, *CODED, pl.Null())
WAYS = ("hashed", "direct", "either")


@contextmanager
def looked_up(way: str) -> Iterator[None]:
    """Whole numbers are looked up in this way; with "either" it changes with every few keys."""
    with pytest.MonkeyPatch.context() as patch:
        if way != "direct":
            patch.setattr(direct_table, "SPARSE", 0 if way == "hashed" else 2)
            patch.setattr(direct_table, "FLOOR", 0)
        if way == "either":
            patch.setattr(keyed_state, "_SELDOM", 2)
        yield


def slots_of(index: KeyIndex, batches: list[pl.DataFrame]) -> list[int]:
    return [slot for batch in batches for part in index.assign(batch) for slot in part.slots.tolist()]


@settings(max_examples=examples(40))
@given(types=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3), data=st.data())
def test_slots_are_those_of_first_appearance_whatever_types_and_cuts(
    types: list[pl.DataType], data: st.DataObject
) -> None:
    schema = {f"k{place}": dtype for place, dtype in enumerate(types)}
    check_first_appearance(data.draw(frames(schema, max_rows=30)), data)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=examples(40))
@given(dtype=st.sampled_from((*INTEGERS, *MOMENTS, CODED[1])), data=st.data())
def test_keys_that_are_whole_numbers_of_any_type(way: str, dtype: pl.DataType, data: st.DataObject) -> None:
    """Any values, or such that are close together: around 0, or up to the greatest."""
    whole = data.draw(frames({"k": dtype}, max_rows=30))
    if dtype.is_integer() and data.draw(st.booleans()):
        near = data.draw(st.lists(st.none() | st.integers(0, 12), max_size=40))
        top = data.draw(st.sampled_from([12, pl.select(dtype.max()).item()]))
        whole = pl.DataFrame([make_series("k", [key if key is None else top - key for key in near], dtype)])
    with looked_up(way):
        check_first_appearance(whole, data)


def check_first_appearance(whole: pl.DataFrame, data: st.DataObject) -> None:
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


@pytest.mark.untraced
def test_parts_between_evictions_are_as_long_as_may_be() -> None:
    """Half of the keys that come were evicted: rows pass up to the first that names a key gone since."""
    keys = pl.DataFrame({"k": np.random.default_rng(0).integers(0, 2_000, 20_000)})
    parts = list(KeyIndex(keys.schema, 1_000, "evict").assign(keys))
    assert sum(len(part.slots) for part in parts) == keys.height
    assert len(parts) < 450


FAR = st.sampled_from([-(2**63), 2**63 - 1, 30, -9])


@pytest.mark.parametrize(("way", "collide"), [*((way, False) for way in WAYS), ("hashed", True)])
@settings(max_examples=examples(40))
@given(
    values=st.lists(st.none() | st.integers(0, 12) | FAR, max_size=60),
    most=st.integers(1, 9),
    data=st.data(),
)
def test_eviction_is_that_of_single_rows(
    way: str, collide: bool, values: list[int | None], most: int, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch, looked_up(way):
        if collide:
            patch.setattr(hashed_keys, "_hash", few_hashes)
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
    monkeypatch.setattr(hashed_keys, "_hash", few_hashes)
    index = KeyIndex(pl.Schema({"k": pl.Float64}))
    values = np.random.default_rng(0).integers(0, 40, 300).astype(np.float64)
    first: dict[float, int] = {}
    expected = [first.setdefault(value, len(first)) for value in values.tolist()]
    found = slots_of(index, [pl.DataFrame({"k": part}) for part in np.split(values, [3, 5, 100, 101])])
    assert found == expected


@pytest.mark.parametrize("collide", [False, True])
@pytest.mark.parametrize("most", [None, 500])
def test_new_keys_that_come_often_have_the_slots_of_first_rows(
    collide: bool, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys move on: most rows of a batch have keys that are new, as are those of the next; then none is."""
    if collide:
        monkeypatch.setattr(hashed_keys, "_hash", few_hashes)
    values = np.arange(1_200) // 8 + np.random.default_rng(0).integers(0, 6, 1_200)
    whole = pl.DataFrame({"k": values, "d": np.where(values % 9 == 0, None, "day")})
    index = KeyIndex(whole.schema, most)
    first: dict[tuple[object, ...], int] = {}
    expected = [first.setdefault(row, len(first)) for row in whole.rows()]
    batches = [whole[start : start + 240] for start in range(0, 1_200, 240)]
    assert slots_of(index, [*batches, whole]) == expected + expected
    assert index.keys().rows() == list(first)


def test_first_rows_of_hashes_that_share_places() -> None:
    """Multiples of a power of two, and neighbours, as Polars never gives them."""
    for step in (1, 1 << 40, 1 << 60):
        hashes = np.random.default_rng(0).integers(0, 16, 3_000).astype(np.uint64) * np.uint64(step)
        known: dict[int, int] = {}
        expected = [known.setdefault(each, row) for row, each in enumerate(hashes.tolist())]
        assert first_rows(hashes).tolist() == expected


@pytest.mark.untraced
@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64])
@pytest.mark.parametrize("most", [None, 6_000])
def test_many_keys_over_many_batches(most: int | None, dtype: type[pl.DataType]) -> None:
    """The table is rebuilt and the runs are merged many times; eviction leaves only what is held."""
    index = KeyIndex(pl.Schema({"k": dtype}), most, "evict")
    for start in range(0, 20_000, 170):
        keys = pl.DataFrame({"k": range(start, start + 170)}, schema={"k": dtype})
        [part] = index.assign(keys)
        assert part.fresh.tolist() == part.slots.tolist()
        [again] = index.assign(keys)
        assert again.slots.tolist() == part.slots.tolist()
        assert not len(again.fresh)
    held = 170 * -(-20_000 // 170) if most is None else most
    assert len(index) == index.capacity == held
    assert index.keys()["k"].to_list() == list(range(20_060 - held, 20_060))
    held_now = index.statistics()
    assert held_now.keys == held
    assert len(held_now.log.runs) <= 8
    assert sum(held_now.log.runs) < 1.2 * held
    assert held_now.hash_places <= 8 * max(held, 20_060 if most is None else 0)


@pytest.mark.parametrize("way", WAYS)
@given(
    values=st.lists(st.none() | st.integers(0, 9) | FAR, max_size=30),
    most=st.none() | st.integers(5, 9),
    data=st.data(),
)
def test_a_snapshot_gives_the_keys_new_slots_in_order(
    way: str, values: list[int | None], most: int | None, data: st.DataObject
) -> None:
    with looked_up(way):
        check_snapshot(values, most, data.draw(st.integers(0, len(values))))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("most", [None, 5])
def test_a_snapshot_of_chosen_keys_gives_them_new_slots_in_order(way: str, most: int | None) -> None:
    with looked_up(way):
        check_snapshot([3, None, 3, 10**12, 0, 4, 5, 6, None, 3, 7], most, 8)


def check_snapshot(values: list[int | None], most: int | None, cut: int) -> None:
    whole = pl.DataFrame({"k": values}, schema={"k": pl.Int64})
    first = KeyIndex(whole.schema, most, "evict")
    slots_of(first, [whole.head(cut)])
    second = KeyIndex(whole.schema, most, "evict")
    second.check_room(len(first))
    slots_of(second, [first.keys()])
    assert second.keys().equals(first.keys())
    assert second.slots().tolist() == list(range(len(first)))
    for index in (first, second):
        slots_of(index, [whole.slice(cut)])
    assert second.keys().equals(first.keys())


@pytest.mark.parametrize("expected", [0, 1, 100, 5_461, 5_462])
def test_a_third_of_the_table_stays_empty(expected: int) -> None:
    table = KeyTable(StateMemory(), expected)
    most = 2 * table.places // 3
    assert table.has_room(most) and not table.has_room(most + 1)
    assert expected <= most
    hashes = np.arange(7, dtype=np.uint64) << np.uint64(32) | np.arange(7, dtype=np.uint64)
    table.settle(hashes, np.arange(7), np.arange(7))
    assert table.has_room(most - 7) and not table.has_room(most - 6)


def test_a_long_run_of_keys_is_left_alone_until_what_follows_is_an_eighth_of_it() -> None:
    store = FrameLog(pl.Schema({"k": pl.Int64}), StateMemory())
    store.append(pl.DataFrame({"k": range(1000)}))
    for number in range(1000, 1124):
        store.append(pl.DataFrame({"k": [number]}))
        runs = store.statistics().runs
        assert runs[0] == 1000 and len(runs) < 12
    # The short runs were joined with each other, the long one with none.
    assert store.statistics().copied < 12 * 124
    assert store.frame(1120).rows() == [(number,) for number in range(1120, 1124)]


def test_keys_nobody_asks_for_are_let_go() -> None:
    store = FrameLog(pl.Schema({"k": pl.Int64}), StateMemory())
    store.append(pl.DataFrame({"k": range(1000)}))
    store.forget(999)
    store.append(pl.DataFrame({"k": [1000]}))
    assert store.statistics().runs == (1000, 1)
    store.forget(1000)
    store.append(pl.DataFrame({"k": [1001]}))
    assert sum(store.statistics().runs) == 2
    assert store.stop == 1002 and store.frame(1001).rows() == [(1001,)]
    assert store.equal(np.array([1001, 1000]), pl.DataFrame({"k": [1001, 1]})).tolist() == [True, False]


@pytest.mark.parametrize(("count", "runs"), [(125, (1000, 125)), (126, (1126,))])
def test_runs_of_keys_are_joined_from_an_eighth_on(count: int, runs: tuple[int, ...]) -> None:
    store = FrameLog(pl.Schema({"k": pl.Int64}), StateMemory())
    for size in (1000, count):
        store.append(pl.DataFrame({"k": range(size)}))
    assert store.statistics().runs == runs
    assert store.statistics().copied == (1126 if len(runs) == 1 else 0)
    assert store.stop == 1000 + count


@pytest.mark.parametrize("way", WAYS)
def test_full_is_an_error_that_changes_nothing(way: str) -> None:
    with looked_up(way):
        index = KeyIndex(pl.Schema({"k": pl.Int64}), 3)
        assert slots_of(index, [pl.DataFrame({"k": [5, 6]})]) == [0, 1]
        with pytest.raises(StageError, match="more keys than max_keys") as raised:
            slots_of(index, [pl.DataFrame({"k": [5, 7, 8, 7]})])
        assert raised.value.found == "2 and 2 new ones in one batch"
        assert slots_of(index, [pl.DataFrame({"k": [8, 6, 8]})]) == [2, 1, 2]


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64, pl.Int8])
def test_one_key_far_off_has_all_keys_hashed_from_then_on(dtype: type[pl.DataType]) -> None:
    """No memory is asked for as wide as the range of the keys, and no difference overflows."""
    ends = pl.select(pl.lit(None).fill_null(dtype.min()), high=dtype.max()).row(0)
    index = KeyIndex(pl.Schema({"k": dtype}))
    batches = [pl.DataFrame({"k": keys}, schema={"k": dtype}) for keys in ([5, None, 3], ends, [3, None, 6])]
    assert slots_of(index, batches) == [0, 1, 2, 3, 4, 2, 1, 5]
    assert (index.statistics().direct_places is None) == (dtype != pl.Int8)


@pytest.mark.parametrize("key", ["a", 0.5, 2**40])
def test_a_table_is_made_for_new_keys_not_for_their_rows(key: object) -> None:
    keys = pl.DataFrame({"k": [key] * 100_000})
    index = KeyIndex(keys.schema)
    assert set(slots_of(index, [keys])) == {0}
    assert index.statistics().hash_places == 1_024


def test_many_rows_of_a_few_keys_that_lie_far_apart_are_hashed() -> None:
    index = KeyIndex(pl.Schema({"k": pl.Int64}))
    assert slots_of(index, [pl.DataFrame({"k": [0] * 99_999 + [700_000]})])[-2:] == [0, 1]
    held = index.statistics()
    assert (held.direct_places, held.hash_places) == (None, 1_024)


@pytest.mark.untraced
@pytest.mark.parametrize("on_full", ["evict", "error"])
@pytest.mark.parametrize("apart", [1, 1_000])
def test_no_table_is_made_for_more_keys_than_there_may_be(on_full: Any, apart: int) -> None:
    keys = pl.DataFrame({"k": np.arange(150_000) * apart})
    index = KeyIndex(keys.schema, 5, on_full)
    slots_of(index, [keys[:5]])
    if on_full == "error":
        with pytest.raises(StageError, match="more keys than max_keys") as raised:
            slots_of(index, [keys])
        assert raised.value.found == "5 and 149,995 new ones in one batch"
        assert index.keys()["k"].to_list() == keys["k"][:5].to_list()
    else:
        assert slots_of(index, [keys[:5_000]]) == [row % 5 for row in range(5_000)]
        assert index.keys()["k"].to_list() == keys["k"][4_995:5_000].to_list()
    assert index.statistics().hash_places == 1_024
    assert (index.statistics().direct_places or 0) < 120_000


@pytest.mark.parametrize(("most", "is_direct"), [(100_000, False), (400_000, True)])
def test_keys_are_hashed_where_an_array_of_their_range_is_too_large(most: int, is_direct: bool) -> None:
    memory = StateMemory(most)
    index = KeyIndex(pl.Schema({"k": pl.Int64}), memory=memory)
    assert slots_of(index, [pl.DataFrame({"k": [0, 60_000]})]) == [0, 1]
    assert (index.statistics().direct_places is not None) == is_direct
    memory.check()


@pytest.mark.untraced
@pytest.mark.parametrize("spread", [1, 1_000_003])
def test_whether_hashed_keys_lie_close_by_now_is_asked_seldom(
    spread: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_table, "FLOOR", 0)
    asked = []
    cover = DirectTable.cover
    monkeypatch.setattr(DirectTable, "cover", lambda *given: asked.append(given[2]) or cover(*given))
    index = KeyIndex(pl.Schema({"k": pl.Int64}))
    keys = np.random.default_rng(0).permutation(20_000) * spread
    direct = []
    for part in np.split(keys, 400):
        slots_of(index, [pl.DataFrame({"k": part})])
        direct.append(index.statistics().direct_places is not None)
    assert direct == sorted(direct) and not direct[20]
    assert direct[120] == (spread == 1)
    assert len(asked) <= 15
    if spread == 1:
        assert index.statistics().hash_places == 1_024
    assert slots_of(index, [pl.DataFrame({"k": keys})]) == list(range(20_000))


@pytest.mark.untraced
def test_a_direct_table_grows_by_doubling_either_way() -> None:
    """Keys come one by one, up or down: the array is made anew only some dozen times, and stays small."""
    index = KeyIndex(pl.Schema({"k": pl.Int64}))
    sizes = set()
    for key in range(1_000):
        assert slots_of(index, [pl.DataFrame({"k": [-key if key % 2 else key]})]) == [key]
        sizes.add(index.statistics().direct_places or 1_000_000)
    assert len(sizes) < 24 and max(sizes) < 4_000


@pytest.mark.untraced
def test_keys_that_go_up_for_ever_stay_looked_up_directly_while_the_oldest_go() -> None:
    index = KeyIndex(pl.Schema({"k": pl.Int64}), 50, "evict")
    for start in range(2**40, 2**40 + 400_000, 1_000):
        slots_of(index, [pl.DataFrame({"k": range(start, start + 60)})])
        assert (index.statistics().direct_places or 1_000_000) < 120_000
    assert index.keys()["k"].to_list() == list(range(start + 10, start + 60))


@pytest.mark.parametrize("most", [None, 100])
def test_numbers_that_grow_for_ever_have_64_bits(most: int | None) -> None:
    index = KeyIndex(pl.Schema({"k": pl.Int64}), most, "error" if most is None else "evict")
    slots_of(index, [pl.DataFrame({"k": [1]})])
    assert index.statistics().direct_places is not None
    assert index.statistics().direct_bytes == (4 if most is None else 8)


def test_what_a_direct_table_takes() -> None:
    whole = [pl.Boolean(), pl.Enum(["a"]), *INTEGERS, *MOMENTS]
    assert all(DirectTable.takes(pl.Schema({"k": dtype})) for dtype in whole)
    others = [
        {"k": pl.Float64()},
        {"k": pl.String()},
        {"k": pl.Decimal(9, 2)},
        {"k": pl.Int64(), "l": pl.Int64()},
    ]
    assert not any(DirectTable.takes(pl.Schema(other)) for other in others)


def test_a_range_too_wide_for_so_many_keys_leaves_a_direct_table_as_it_was() -> None:
    table, none = DirectTable(np.uint32, StateMemory()), pl.Series(dtype=pl.Int64)
    assert table.cover(none, 0, pl.Series([10, 10 + 8 + 65_535]), 1)
    places = table.places
    assert not table.cover(none, 0, pl.Series([10, 10 + 8 + 65_536]), 1)
    assert table.places == places
    assert table.places_of(pl.Series([10 + 8 + 65_535])) is not None


def test_no_key_has_the_place_of_null() -> None:
    table = DirectTable(np.uint32, StateMemory())
    assert table.cover(pl.Series(dtype=pl.Int64), 0, pl.Series([5, None]), 2)
    assert table.places_of(pl.Series([None, 5])) is not None
    assert table.places_of(pl.Series([6])) is table.places_of(pl.Series([4])) is None


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


def test_keys_are_joined_once_many_were_looked_up() -> None:
    index = KeyIndex(pl.Schema({"k": pl.String}))
    keys = pl.DataFrame({"k": map(str, range(10_000))})
    assert slots_of(index, [keys[:9_000], keys[9_000:]]) == list(range(10_000))
    assert index.statistics().log.runs == (9_000, 1_000)
    assert index.find(keys[:100]).tolist() == list(range(100))
    assert index.statistics().log.runs == (9_000, 1_000)
    assert index.find(keys).tolist() == list(range(10_000))
    assert index.statistics().log.runs == (10_000,)
    assert slots_of(index, [pl.DataFrame({"k": ["5", "a", "9999"]})]) == [5, 10_000, 9_999]
    assert index.statistics().log.runs == (10_000, 1)
