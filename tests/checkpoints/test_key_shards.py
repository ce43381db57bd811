"""Key shards: which shard a key has, and how the shards of a state are saved and come back."""

import datetime as dt
import json
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import invoke
from contexts import context
from polars.testing import assert_frame_equal
from windowing import end, feed

from arrowstream.checkpoints.folder import CheckpointFolder
from arrowstream.checkpoints.inspection import epochs
from arrowstream.checkpoints.pieces import State
from arrowstream.core.batch import Batch, to_frame
from arrowstream.operators.base import Process
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.scan import Scan
from arrowstream.plan.checks.row_local import check
from arrowstream.state.snapshot import SnapshotFormat, shard_of
from arrowstream.state.snapshots import key_ranges
from arrowstream.state.snapshots.key_shards import SHARDS, shards_of
from arrowstream.state.snapshots.sharded_rows import ShardCutter, in_order

TYPES: dict[str, tuple[Any, list[Any], list[int]]] = {
    "integers": (pl.Int64, [-3, 0, 1, 2, 100, 2**62, None], [1, 14, 14, 9, 9, 0, 8]),
    "short integers": (pl.Int8, [-3, 0, 1, 2, 100, None], [1, 14, 14, 9, 9, 8]),
    "unsigned integers": (pl.UInt64, [0, 1, 2, 100, 2**63 + 5, None], [14, 14, 9, 9, 3, 8]),
    "Booleans": (pl.Boolean, [False, True, None], [14, 14, 8]),
    "floats": (
        pl.Float64,
        [0.0, -0.0, 1.5, -1.5, float("nan"), float("inf"), None],
        [14, 14, 8, 7, 8, 10, 8],
    ),
    "single precision": (pl.Float32, [0.0, -0.0, 1.5, float("nan"), None], [14, 14, 8, 8, 8]),
    "decimals": (
        pl.Decimal(38, 2),
        [Decimal("1.50"), Decimal("-1.50"), Decimal(10) ** 25, None],
        [6, 9, 11, 8],
    ),
    "dates": (pl.Date, [dt.date(1970, 1, 1), dt.date(2026, 11, 30), None], [14, 0, 8]),
    "times of day": (pl.Time, [dt.time(0), dt.time(23, 59, 59), None], [14, 13, 8]),
    "times": (pl.Datetime("us"), [dt.datetime(2026, 11, 30, 9, 30), None], [7, 8]),
    "spans": (pl.Duration("ms"), [dt.timedelta(days=1), None], [14, 8]),
    "text": (
        pl.String,
        ["", "a", "b", "abcdefgh", "abcdefghi", "é" * 20, "x" * 64, "x" * 65, "x" * 99 + "y", None],
        [14, 14, 0, 2, 5, 11, 3, 8, 4, 8],
    ),
    "bytes": (pl.Binary, [b"", b"a", b"\x00", b"\x00\x00", None], [14, 14, 0, 6, 8]),
    "categories": (pl.Categorical, ["b", "a", "b", None], [0, 14, 0, 8]),
    "categories of a list": (pl.Enum(["a", "b"]), ["b", "a", None], [0, 14, 8]),
    "nothing": (pl.Null, [None, None], [8, 8]),
}
"""Keys and their shards in every run, version and machine: other numbers would be another format."""


@pytest.mark.parametrize("kind", TYPES)
def test_a_key_has_one_shard_for_ever(kind: str) -> None:
    dtype, values, expected = TYPES[kind]
    keys = pl.DataFrame({"k": pl.Series(values, dtype=dtype)})
    assert shards_of(keys).tolist() == expected
    # In a part of a column, too, and next to any other keys.
    assert shards_of(keys[1:]).tolist() == expected[1:]
    assert [shards_of(keys[row : row + 1]).tolist() for row in range(len(values))] == [
        [shard] for shard in expected
    ]
    joined = pl.concat([keys, keys], rechunk=False)
    assert shards_of(joined).tolist() == expected * 2
    assert shards_of(keys[:0]).tolist() == []


def test_several_columns_make_a_key_in_their_order() -> None:
    keys = pl.DataFrame({"a": ["x", "y", None], "b": [1, 2, None]})
    assert shards_of(keys).tolist() == [8, 3, 15]
    assert shards_of(keys.select("b", "a")).tolist() == [12, 7, 15]


def mixed(number: int) -> int:
    number ^= number >> 30
    number = number * 0xBF58476D1CE4E5B9 % 2**64
    number ^= number >> 27
    number = number * 0x94D049BB133111EB % 2**64
    return number ^ number >> 31


def word(value: Any) -> int:
    """The word of a value, as the module describes it."""
    match value:
        case None:
            return 0x6E756C6C6E756C6C
        case int():
            return value % 2**64
        case float():
            return int.from_bytes(struct.pack("<d", value or 0.0), "little")
        case Decimal():
            lower, upper = (int(value.scaleb(2)) >> shift & (2**64 - 1) for shift in (0, 64))
            return mixed(lower ^ mixed(upper))
    text = value.encode()
    words = [text[:64][place : place + 8] for place in range(0, len(text[:64]), 8)]
    if len(text) > 64:
        words += [text[-64:][place : place + 8] for place in range(0, 64, 8)]
    number = len(text)
    for each in words:
        number = mixed(number ^ int.from_bytes(each, "little"))
    return number


def test_the_hash_is_the_one_that_is_described() -> None:
    rows = 200
    columns: dict[str, list[Any]] = {
        "i": [None if number % 9 == 0 else number**5 * (-1) ** number for number in range(rows)],
        "f": [None if number % 11 == 0 else number / 7 - 10 for number in range(rows)],
        "s": [None if number % 13 == 0 else ("é" + str(number)) * (number % 37) for number in range(rows)],
        "d": [Decimal((-7) ** (number % 25)).scaleb(-2) for number in range(rows)],
    }
    keys = pl.DataFrame(columns, schema_overrides={"d": pl.Decimal(38, 2)})
    expected = []
    for key in keys.iter_rows():
        number = 0x9E3779B97F4A7C15
        for value in key:
            number = mixed(number ^ word(value))
        expected.append(number >> 60)
    assert shards_of(keys).tolist() == expected and set(expected) == set(range(SHARDS))


def test_keys_are_spread_evenly() -> None:
    numbers = pl.int_range(100_000, eager=True)
    for keys in (numbers, numbers * 1024, pl.select(pl.format("user-{}", numbers)).to_series()):
        counts = pl.Series(shards_of(keys.to_frame())).value_counts()["count"]
        assert counts.len() == SHARDS
        assert counts.min() > 5_900 and counts.max() < 6_600  # type: ignore[operator]


ROWS = pl.DataFrame({"k": pl.int_range(1_000, eager=True) % 400, "x": pl.int_range(1_000, eager=True)})


def parts(ordered: bool = True) -> list[tuple[int, pl.DataFrame]]:
    cutter = ShardCutter(["k"], ordered)
    return [(shard, to_frame(rows)) for frame in ROWS.iter_slices(300) for shard, rows in cutter.cut(frame)]


def test_the_union_of_the_shards_is_the_state_and_a_key_is_in_one_of_them() -> None:
    found = parts(ordered=False)
    assert_frame_equal(pl.concat(rows for _, rows in found).sort("x"), ROWS)
    for shard, rows in found:
        assert set(shards_of(rows.select("k"))) == {shard}
        assert rows["x"].is_sorted()


@pytest.mark.parametrize("order", ["as written", "shard by shard", "the last shard first"])
def test_shards_in_any_order_give_the_rows_in_order(order: str) -> None:
    found = parts()
    if order != "as written":
        found.sort(key=lambda part: part[0], reverse=order == "the last shard first")
    assert_frame_equal(pl.concat(in_order(found, range(SHARDS))), ROWS)


def test_few_rows_wait_where_shards_come_as_they_were_written() -> None:
    """Also if some shards have no keys."""
    few = ROWS.filter(pl.Series(shards_of(ROWS.select("k"))) < 3)
    taken = 0

    def counted() -> Iterator[tuple[int, pl.DataFrame]]:
        nonlocal taken
        cutter = ShardCutter(["k"], True)
        for frame in few.iter_slices(20):
            for shard, rows in cutter.cut(frame):
                taken += rows.num_rows
                yield shard, to_frame(rows)

    given = 0
    for rows in in_order(counted(), range(3)):
        given += rows.height
        assert taken - given <= 45
    assert given == few.height


def test_a_single_shard_gives_its_rows_as_they_come() -> None:
    one = [(shard, rows) for shard, rows in parts() if shard == 3]
    given = list(in_order(one, [3]))
    assert [rows.height for rows in given] == [rows.height for _, rows in one]
    assert_frame_equal(pl.concat(given), pl.concat(rows.drop("__order__") for _, rows in one))
    assert list(in_order([], [3])) == []


def test_columns_of_any_name_are_saved_and_restored() -> None:
    """Those of the row numbers, too, whether it is a key or not."""
    rows = pl.DataFrame({"__order__": [7, 8, 9], "k": [3, 1, 2], "__order___": ["a", "b", "c"]})
    kind = SnapshotFormat("test", 1)
    for by in ("k", "__order__"):
        for ordered in (True, False):
            _, found = kind.read(iter(kind.write([Batch(rows)], by=[by], ordered=ordered)))
            restored = pl.concat(batch.polars() for batch in found)
            assert_frame_equal(restored if ordered else restored.sort("__order__"), rows)


def totals(schema: pl.Schema = ROWS.schema) -> Process:
    process = Reduce.of(pl.col("x").sum(), by="k").start(schema, context())
    assert isinstance(process, Process)
    return process


def saved(folder: CheckpointFolder, process: Process) -> State:
    """What an epoch has of the process."""
    epoch = folder.begin()
    folder.save("state", epoch, process.snapshot())
    manifest = folder.complete(epoch, {})
    folder.mark_committed(epoch)
    return manifest.states["state"]


def running_totals(schema: pl.Schema) -> Process:
    process = Scan.of(check, (pl.col("x").cum_sum().alias("sum"),), {}, by="k").start(schema, context())
    assert isinstance(process, Process)
    return process


def keys_to(count: int) -> pl.DataFrame:
    numbers = pl.int_range(count, eager=True)
    return pl.DataFrame({"k": pl.select(pl.format("user-{}", numbers)).to_series(), "x": numbers})


@pytest.mark.parametrize("started", [totals, running_totals])
def test_the_keys_of_a_range_are_written_once(
    started: Callable[[pl.Schema], Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ranges, "PIECE", 1_000)
    keys = keys_to(3_200)
    folder, process = CheckpointFolder(tmp_path, "job", ()), started(keys.schema)
    feed(process, [keys[:3_100]])
    first = saved(folder, process)
    assert [len(piece.files) for piece in first.pieces] == [2] * 4
    feed(process, [keys[:3_100]])
    second = saved(folder, process)
    assert [piece.keys for piece in second.pieces] == [piece.keys for piece in first.pieces]
    assert not {piece.name for piece in second.pieces} & {piece.name for piece in first.pieces}
    sizes = [(tmp_path / "pieces" / f"{piece.name}.arrow").stat().st_size for piece in second.pieces]
    assert folder.written_bytes == sum(sizes)
    # Keys that are added change the last range only.
    feed(process, [keys[3_100:]])
    third = saved(folder, process)
    assert third.pieces[:3] == second.pieces[:3]
    assert third.pieces[3].keys != second.pieces[3].keys
    # A key that comes again changes the values of its range.
    feed(process, [keys[5:6]])
    fourth = saved(folder, process)
    changed = [one != other for one, other in zip(fourth.pieces, third.pieces, strict=True)]
    assert changed == [True, False, False, False]
    assert [piece.keys for piece in fourth.pieces] == [piece.keys for piece in third.pieces]
    # Files that no epoch needs are gone, and others not.
    used = {name for state in (third, fourth) for piece in state.pieces for name in piece.files}
    assert {path.stem for path in (tmp_path / "pieces").iterdir()} == used
    folder.close()
    again = CheckpointFolder(tmp_path, "job", ())
    restored = started(keys.schema)
    restored.restore(again.load("state") or iter(()))
    again.close()
    for one, other in zip(finished(restored, keys), finished(process, keys), strict=True):
        assert_frame_equal(one, other)


def finished(process: Process, rows: pl.DataFrame) -> list[pl.DataFrame]:
    """What comes out when each key has come once more."""
    return [element for element in feed(process, [rows]) + end(process) if isinstance(element, pl.DataFrame)]


def test_keys_whose_file_is_gone_are_written_again(tmp_path: Path) -> None:
    keys = keys_to(100)
    folder, process = CheckpointFolder(tmp_path, "job", ()), totals(keys.schema)
    feed(process, [keys])
    [piece] = saved(folder, process).pieces
    gone = tmp_path / "pieces" / f"{piece.keys}.arrow"
    content = gone.read_bytes()
    gone.unlink()
    [damaged] = epochs(tmp_path)
    assert "the saved state of state is damaged" in str(damaged.damage)
    assert [piece] == list(saved(folder, process).pieces)
    assert gone.read_bytes() == content
    folder.close()


@pytest.mark.parametrize("started", [totals, running_totals])
def test_a_range_has_the_keys_of_each_shard(started: Callable[[pl.Schema], Process]) -> None:
    keys = keys_to(1_000)
    process = started(keys.schema)
    feed(process, [keys[:700], keys[300:]])
    names = {"k", "key 0"}
    count = 0
    for batch in process.snapshot():
        rows = to_frame(batch)
        shard = shard_of(batch.schema)
        assert {*shards_of(rows.select(names & {*rows.columns}))} == {shard}
        assert rows[rows.columns[-1]].is_sorted()
        count += rows.height
    assert count == 1_000


def test_small_shards_share_a_file_and_are_listed(tmp_path: Path) -> None:
    folder, process = CheckpointFolder(tmp_path, "job", ()), totals()
    feed(process, [ROWS])
    [piece] = saved(folder, process).pieces
    folder.close()
    again = CheckpointFolder(tmp_path, "job", ())
    restored = totals()
    restored.restore(again.load("state") or iter(()))
    again.close()
    for one, other in zip(restored.finish(), process.finish(), strict=True):
        assert_frame_equal(one.polars(), other.polars())  # type: ignore[union-attr]
    [epoch] = epochs(tmp_path)
    assert epoch.manifest is not None
    state = epoch.manifest.states["state"]
    assert state.pieces[0].shards == tuple(state.shards) == tuple(range(SHARDS))
    code, out, _ = invoke("checkpoints", str(tmp_path))
    assert code == 0 and f"  state: {state.nbytes:,} bytes in 16 key shards" in out.splitlines()
    shown = json.loads(invoke("checkpoints", str(tmp_path), "--json")[1])["epochs"][0]["states"]
    assert shown == {"state": {"bytes": state.nbytes, "pieces": 1, "key_shards": [*range(SHARDS)]}}
    for name in piece.files:
        file = tmp_path / "pieces" / f"{name}.arrow"
        content = file.read_bytes()
        file.write_bytes(content[:-1])
        assert "the saved state of state is damaged" in invoke("checkpoints", str(tmp_path))[1]
        file.write_bytes(content)
    assert invoke("checkpoints", str(tmp_path))[0] == 0
