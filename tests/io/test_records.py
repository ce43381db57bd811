"""Dicts that are sent through a channel: rows of the channel's schema, made into batches together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, Sink, Source, channel
from arrowstream.errors import ArrowstreamError, PeerGone, SchemaError
from arrowstream.io.memory import channel_source

SCHEMA = pl.Schema({"x": pl.Int64, "y": pl.String})


def received(
    items: Sequence[Any], schema: pl.Schema | None = SCHEMA, fail: BaseException | None = None
) -> list[pl.DataFrame]:
    """The batches that a pipeline gives to a function when these items wait in its channel."""
    batches: list[pl.DataFrame] = []

    async def main() -> None:
        sender, receiver = channel(capacity=max(len(items), 1))
        for item in items:
            await sender.send(item)
        sender.close() if fail is None else sender.fail(fail)
        source = Source.from_channel(receiver, schema=schema)
        sink = Sink.to_fn(lambda batch: batches.append(pl.DataFrame(batch)))
        await Pipeline.builder().source(source).sink(sink).build().run()

    asyncio.run(main())
    return batches


def test_records_that_wait_are_one_batch():
    items = [{"x": 1, "y": "a"}, {"y": "b", "x": 2}, [{"x": 3, "y": "c"}, {"x": 4, "y": None}], {"x": 5}]
    (batch,) = received(items)
    expected = pl.DataFrame({"x": [1, 2, 3, 4, 5], "y": ["a", "b", "c", None, None]}, schema=SCHEMA)
    assert_frame_equal(batch, expected)


def test_records_and_frames_keep_their_order():
    frame = pl.DataFrame({"x": [2, 3], "y": ["b", "c"]})
    batches = received([{"x": 1, "y": "a"}, frame, {"x": 4, "y": "d"}, [], {"x": 5, "y": "e"}, frame])
    assert [batch["x"].to_list() for batch in batches] == [[1], [2, 3], [4, 5], [2, 3]]


def test_a_batch_of_records_has_a_limit(monkeypatch):
    monkeypatch.setattr(channel_source, "GATHERED", 2)
    batches = received([{"x": number} for number in range(5)])
    assert [batch["x"].to_list() for batch in batches] == [[0, 1], [2, 3], [4]]


def test_a_record_does_not_wait_for_others():
    async def main() -> list[int]:
        seen: list[int] = []
        arrived = asyncio.Event()

        def take(batch: Any) -> None:
            seen.extend(batch.column("x").to_pylist())
            arrived.set()

        sender, receiver = channel()
        source = Source.from_channel(receiver, schema=SCHEMA)
        run = asyncio.create_task(Pipeline.builder().source(source).sink(Sink.to_fn(take)).build().run())
        for number in range(3):
            await sender.send({"x": number})
            await asyncio.wait_for(arrived.wait(), 60)
            arrived.clear()
        sender.close()
        await run
        return seen

    assert asyncio.run(main()) == [0, 1, 2]


def test_record_batches_of_the_schema_are_not_copied():
    sent = [pa.RecordBatch.from_pydict({"x": [number]}) for number in range(5)]
    seen: list[pa.RecordBatch] = []

    async def main() -> None:
        sender, receiver = channel()
        source = Source.from_channel(receiver, schema={"x": pl.Int64})
        run = asyncio.create_task(
            Pipeline.builder().source(source).sink(Sink.to_fn(seen.append)).build().run()
        )
        for place in (slice(0, 1), slice(1, 2), slice(2, 5)):  # the last ones wait in the channel
            for _ in range(50):
                await asyncio.sleep(0)
            for record in sent[place]:
                await sender.send(record)
        sender.close()
        await run

    asyncio.run(main())
    assert [record["x"].buffers()[1].address for record in seen] == [
        record["x"].buffers()[1].address for record in sent
    ]


def test_rows_before_the_senders_failure_arrive():
    batches: list[pl.DataFrame] = []
    with pytest.raises(ArrowstreamError, match="broken") as caught:
        batches += received([{"x": 1}, {"x": 2}], fail=ValueError("broken"))
    assert isinstance(caught.value.__cause__, PeerGone)


def test_without_a_schema_the_first_record_gives_it():
    batches = received([{"x": 1, "y": "a"}, {"x": 2, "y": "b"}, {"y": "c"}], None)
    assert pl.concat(batches).to_dict(as_series=False) == {"x": [1, 2, None], "y": ["a", "b", "c"]}
    batches = received([[{"x": 1}, {"x": 2.5, "z": True}]], None)
    assert pl.concat(batches).to_dict(as_series=False) == {"x": [1.0, 2.5], "z": [None, True]}
    assert received([[], {"x": 1}], None)[0]["x"].to_list() == [1]


def test_a_generator_may_yield_records():
    async def rows():
        yield {"x": 1}
        yield [{"x": 2}, {"x": 3}]

    frame = Pipeline.builder().source(Source.from_channel(rows(), schema={"x": pl.Int64})).collect_sync()
    assert frame["x"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(
    "item, named",
    [
        ({"x": 1, "yy": "a"}, ["'yy'", "did you mean 'y'?"]),
        ({"x": 1, 7: "a"}, ["key 7", "add the column to schema"]),
        ({"x": 1.5}, ["x: Float64 instead of Int64"]),
        ({"x": True}, ["x: Boolean instead of Int64"]),
        ({"x": "1"}, ["x: String instead of Int64"]),
        ({"x": 2**70}, ["'x'", "int"]),
        ({"y": 5}, ["y: Int64 instead of String"]),
        ({"y": b"a"}, ["y: Binary instead of String"]),
        ({"y": "\ud800"}, ["'y'", "surrogates"]),
        ([{"x": 1}, {"x": "a"}], ["'x'", "int, str"]),
        (None, ["not a frame"]),
        ([{"x": 1}, 5], ["not a frame"]),
    ],
)
def test_what_does_not_fit_names_the_key(item, named):
    with pytest.raises(SchemaError) as caught:
        received([item])
    for part in named:
        assert part in str(caught.value)


def test_the_first_records_need_values_of_one_type():
    with pytest.raises(SchemaError, match="'x'") as caught:
        received([[{"x": 1}, {"x": "a"}]], None)
    assert (caught.value.expected, caught.value.found) == ("values of one type", "int, str")


@pytest.mark.parametrize(
    "values",
    [
        [datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1)],
        [datetime(2020, 1, 1), None, datetime(2020, 1, 1, tzinfo=UTC)],
        [time(1, tzinfo=UTC)],
    ],
)
def test_the_first_records_keep_their_zones(values):
    with pytest.raises(SchemaError, match="'t'") as caught:
        received([[{"t": value} for value in values]], None)
    assert caught.value.expected == "times that all have a zone, or none"
    alike = [datetime(2020, 1, 1, tzinfo=UTC), None]
    assert received([[{"t": value} for value in alike]], None)[0]["t"].to_list() == alike


def test_a_first_record_needs_names():
    with pytest.raises(SchemaError, match="not a string"):
        received([{1: "a"}], None)


FOUR_O_CLOCK = [
    datetime(2020, 1, 1, 4, tzinfo=UTC),
    datetime(2020, 1, 1, 5, tzinfo=ZoneInfo("Europe/Berlin")),
]

STRUCTS = st.fixed_dictionaries(
    {"b": st.lists(st.just(datetime(2020, 1, 1)) | st.none(), max_size=2)},
    optional={"a": st.none() | st.decimals(-10, 10, places=1)},
).flatmap(lambda made: st.permutations(list(made.items())).map(dict))

VALUES: list[tuple[pl.DataType, st.SearchStrategy[Any]]] = [
    (pl.Int64(), st.integers(-(2**63), 2**63 - 1)),
    (pl.Int8(), st.integers(-128, 127)),
    (pl.UInt64(), st.integers(0, 2**64 - 1)),
    (pl.Float64(), st.floats() | st.integers(-(2**53), 2**53)),
    (pl.Float32(), st.floats(width=32)),
    (pl.Boolean(), st.booleans()),
    (pl.String(), st.text(max_size=5)),
    (pl.Binary(), st.binary(max_size=5)),
    (pl.Date(), st.dates(date(1700, 1, 1), date(2200, 1, 1))),
    (pl.Time(), st.times()),
    (pl.Duration("us"), st.timedeltas(timedelta(-1000), timedelta(1000))),
    (pl.Datetime("us"), st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))),
    (pl.Datetime("us", "UTC"), st.datetimes(datetime(1700, 1, 1), timezones=st.just(UTC))),
    (pl.Decimal(10, 2), st.decimals(-1000, 1000, places=2)),
    (pl.Enum(["a", "b"]), st.sampled_from(["b", "a"])),
    (pl.Datetime("ms"), st.datetimes().map(lambda moment: moment.replace(microsecond=5000))),
    (
        pl.Datetime("ns", "UTC"),
        st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    ),
    (pl.Duration("ms"), st.integers(-1000, 1000).map(lambda number: timedelta(milliseconds=number))),
    (pl.List(pl.Int64()), st.lists(st.integers(-5, 5) | st.none(), max_size=3)),
    (pl.Array(pl.Int8(), 2), st.lists(st.integers(-5, 5), min_size=2, max_size=2)),
    (pl.List(pl.Float64()), st.lists(st.floats() | st.integers(-5, 5), max_size=2)),
    (pl.Struct({"a": pl.Decimal(5, 1), "b": pl.List(pl.Datetime("ms"))}), STRUCTS),
    (
        pl.List(pl.Struct({"a": pl.Decimal(5, 1), "b": pl.List(pl.Datetime("ms"))})),
        st.lists(STRUCTS, max_size=2),
    ),
]


@pytest.mark.parametrize("dtype, values", VALUES, ids=[str(dtype) for dtype, _ in VALUES])
@settings(max_examples=examples(20))
@given(data=st.data())
def test_values_are_those_that_polars_makes(dtype, values, data):
    made = data.draw(st.lists(values, min_size=1, max_size=4)) + data.draw(st.lists(st.none(), max_size=1))
    made = data.draw(st.permutations(made))
    schema = pl.Schema({"x": dtype})
    rows = [{"x": value} for value in made]
    assert_frame_equal(pl.concat(received(rows, schema)), pl.DataFrame({"x": made}, schema=schema))


@pytest.mark.parametrize(
    "dtype, value",
    [
        (pl.Int8(), 128),
        (pl.UInt64(), -1),
        (pl.Float64(), 2**53 + 1),
        (pl.Datetime("ms"), datetime(2020, 1, 1, microsecond=5)),
        (pl.Datetime("us"), datetime(2020, 1, 1, tzinfo=UTC)),
        (pl.Datetime("us", "UTC"), datetime(2020, 1, 1)),
        (pl.Date(), datetime(2020, 1, 1, 5)),
        (pl.Decimal(5, 2), Decimal("1.239")),
        (pl.Enum(["a"]), "b"),
        (pl.Time(), timedelta(1)),
        (pl.Binary(), "a"),
        (pl.Time(), time(1, tzinfo=UTC)),
        (pl.Boolean(), 1),
        (pl.List(pl.Int64()), [1.5]),
        (pl.List(pl.Int8()), [128]),
        (pl.Array(pl.Int64(), 2), [1, 2, 3]),
        (pl.List(pl.Datetime("us", "UTC")), [datetime(2020, 1, 1)]),
        (pl.Struct({"a": pl.Int64}), {"a": 1, "b": 2}),
        (pl.Struct({"a": pl.Int64}), {"a": True}),
        (pl.Struct({"a": pl.Int64}), [1]),
    ],
)
def test_no_value_changes(dtype, value):
    with pytest.raises(ArrowstreamError, match="x"):
        received([{"x": value}], pl.Schema({"x": dtype}))


def test_no_records_are_no_batch():
    assert received([[]]) == []

    async def main() -> int:
        sender, receiver = channel()
        source = Source.from_channel(receiver, schema=SCHEMA)
        run = asyncio.create_task(Pipeline.builder().source(source).sink(Sink.to_fn(print)).build().run())
        for _ in range(100):
            await asyncio.sleep(0)
        assert sender.statistics().waiting_receivers == 1
        await sender.send([])
        sender.close()
        return (await run).rows_in

    assert asyncio.run(main()) == 0


def test_a_column_of_nulls_only():
    assert received([{}, {"x": None}])[0].to_dict(as_series=False) == {"x": [None, None], "y": [None, None]}
    schema = pl.Schema({"e": pl.Enum(["a"]), "l": pl.List(pl.Enum(["a"])), "c": pl.Categorical()})
    assert_frame_equal(received([{}, {"e": None}], schema)[0], pl.DataFrame(schema=schema).clear(2))
    for dtype, value in ((pl.Time, time(1)), (pl.Duration("us"), timedelta(1)), (pl.Boolean, True)):
        assert received([{"t": value}, {}], pl.Schema({"t": dtype}))[0]["t"].to_list() == [value, None]


@pytest.mark.parametrize(
    "dtype, fits, other",
    [
        (pl.Datetime("us", "UTC"), datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1)),
        (pl.Datetime("us"), datetime(2020, 1, 1, 1), date(2020, 1, 1)),
        (pl.Datetime("us"), datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)),
        (pl.Int64(), 2, True),
        (pl.Float64(), 1.5, Decimal("1")),
        (pl.Binary(), b"a", "a"),
    ],
)
def test_a_value_that_is_refused_alone_is_refused_among_others(dtype, fits, other):
    schema = pl.Schema({"x": dtype})
    assert received([{"x": fits}], schema)[0]["x"].to_list() == [fits]
    for values in ([other], [fits, other], [other, fits], [fits, None, other]):
        with pytest.raises(SchemaError, match="x"):
            received([{"x": value} for value in values], schema)


@pytest.mark.parametrize(
    "dtype, values, expected",
    [
        (pl.Int64(), [1, np.int64(2), None, np.int8(3)], [1, 2, None, 3]),
        (pl.Float64(), [1, np.float32(0.5), None, 2.5], [1.0, 0.5, None, 2.5]),
        (pl.Binary(), [b"a", bytearray(b"b"), None, b"c"], [b"a", b"b", None, b"c"]),
        (pl.Enum(["a", "b"]), ["b", np.str_("a"), None, "a"], ["b", "a", None, "a"]),
        (pl.Datetime("us", "UTC"), FOUR_O_CLOCK, [datetime(2020, 1, 1, 4, tzinfo=UTC)] * 2),
    ],
)
def test_values_of_other_python_types_keep_their_places(dtype, values, expected):
    schema = pl.Schema({"x": dtype})
    (batch,) = received([{"x": value} for value in values], schema)
    assert batch.schema == schema and batch["x"].to_list() == expected
    alone = [received([{"x": value}], schema)[0] for value in values]
    assert_frame_equal(pl.concat(alone), batch)


NUMBERS = {
    pl.Int32: [-(2**31), 2**31 - 1],
    pl.Int64: [-(2**63), 2**63 - 1],
    pl.UInt32: [0, 2**32 - 1],
    pl.UInt64: [0, 2**64 - 1],
    pl.Float64: [1e-308, -0.0, float("inf"), float("nan"), 0.1],
}


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_plain_numbers_come_as_they_are_up_to_the_ends_of_their_type(dtype):
    values = NUMBERS[dtype]
    schema = pl.Schema({"x": dtype})
    for given_values in (values, [*values, None], values[:1]):
        expected = pl.DataFrame({"x": given_values}, schema=schema)
        (batch,) = received([{"x": value} for value in given_values], schema)
        assert_frame_equal(batch, expected)
        # As text, since -0.0 equals 0.0.
        assert str(batch["x"].to_list()) == str(given_values)


@pytest.mark.untraced
@pytest.mark.parametrize("dtype", [pl.Int32, pl.Int64, pl.UInt32, pl.UInt64], ids=str)
@pytest.mark.parametrize("others", [[], [1, 2], [None]], ids=str)
def test_an_integer_outside_of_its_type_is_refused_in_the_same_words(dtype, others):
    arrow = pl.Series([], dtype=dtype).to_arrow().type
    for value in (NUMBERS[dtype][0] - 1, NUMBERS[dtype][1] + 1):
        with pytest.raises((pa.ArrowInvalid, OverflowError)) as refused:
            pa.array([*others, value], arrow)
        with pytest.raises(SchemaError, match="'x' do not make a column") as caught:
            received([{"x": item} for item in [*others, value]], pl.Schema({"x": dtype}))
        assert caught.value.hint == str(refused.value).splitlines()[0]


FLOATS = (
    pl.Float32,
    pl.List(pl.Float32),
    pl.Array(pl.Float32, 1),
    pl.Struct({"f": pl.List(pl.Float32), "n": pl.Int64}),
)


def nested(value, dtype):
    """The value at the bottom of a value of this type."""
    if isinstance(dtype, pl.Struct):
        return {"f": [value], "n": 1}
    return [value] if isinstance(dtype, pl.List | pl.Array) else value


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("value", [1e300, -1e300, 3.4028236e38, np.float64(1e39)])
def test_a_float_that_is_too_large_for_its_type_is_refused(dtype, value):
    others = [{"x": nested(item, dtype)} for item in (float("inf"), float("-inf"), 1.5)]
    with pytest.raises(SchemaError, match="'x' do not make a column") as caught:
        received([*others, {"x": nested(value, dtype)}], pl.Schema({"x": dtype}))
    assert caught.value.hint == "a float is too large for the type"


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_floats_that_fit_are_rounded_to_their_type_and_infinity_stays(dtype):
    values = [float("inf"), 3.4028235e38, float("-inf"), 0.1, float("nan"), 1e-300]
    (batch,) = received([{"x": nested(value, dtype)} for value in values] + [{}], pl.Schema({"x": dtype}))
    expected = pl.Series("x", [nested(value, dtype) for value in values] + [None], dtype)
    assert_frame_equal(batch, expected.to_frame(), check_exact=True)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([np.array([1, 2]), None, np.array([3])], [[1, 2], None, [3]]),
        ([np.array([1, 2], np.int32)], [[1, 2]]),
        ([np.array([1], np.uint8), np.array([-2], np.int8), np.array([])], [[1], [-2], []]),
        ([[1], np.array([2]), (3,)], [[1], [2], [3]]),
        ([np.array([2**62 + 1]), np.array([1], np.uint64)], [[2**62 + 1], [1]]),
    ],
)
def test_arrays_are_lists_of_their_values(values, expected):
    (batch,) = received([{"x": value} for value in values], pl.Schema({"x": pl.List(pl.Int64)}))
    assert batch["x"].to_list() == expected


@pytest.mark.parametrize(
    "dtype, value, expected",
    [
        (pl.List(pl.List(pl.Int64)), np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (pl.List(pl.List(pl.Int64)), [np.array([1, 2]), [3]], [[1, 2], [3]]),
        (pl.Array(pl.Int64, 2), np.array([1, 2]), [1, 2]),
        (pl.Struct({"a": pl.List(pl.Int64)}), {"a": np.array([1, 2])}, {"a": [1, 2]}),
        (pl.List(pl.Float32), np.array([0.5, np.inf], np.float32), [0.5, np.inf]),
        (pl.List(pl.Float32), np.array([0.5], np.float64), [0.5]),
        (pl.List(pl.Boolean), np.array([True, False]), [True, False]),
        (pl.List(pl.String), np.array(["a", "b"]), ["a", "b"]),
        (pl.Int64, np.array(5), 5),
    ],
    ids=str,
)
def test_arrays_may_be_anywhere_in_a_record(dtype, value, expected):
    (batch,) = received([{"x": value}], pl.Schema({"x": dtype}))
    assert batch.schema == {"x": dtype}
    assert batch["x"].to_list() == [expected]


@pytest.mark.parametrize(
    "dtype, value",
    [
        (pl.List(pl.Int64), np.array([1.5])),
        (pl.List(pl.Int64), np.array([True])),
        (pl.List(pl.Int8), np.array([300])),
        (pl.List(pl.Int64), np.array([2**63], np.uint64)),
        (pl.List(pl.Float64), np.array([2**53 + 1])),
        (pl.List(pl.Float32), np.array([1e300])),
        (pl.List(pl.Int64), np.array([1], "m8[ns]")),
        (pl.Int64, np.array([1])),
    ],
)
def test_no_value_of_an_array_changes(dtype, value):
    with pytest.raises(SchemaError, match=r"'x'|x: "):
        received([{"x": value}], pl.Schema({"x": dtype}))


@pytest.mark.parametrize(
    "values, dtype",
    [
        ([np.array([1, 2], np.int32), None], pl.List(pl.Int32)),
        ([np.array([0.5], np.float32)], pl.List(pl.Float32)),
        ([np.array([1]), np.array([1.5])], pl.List(pl.Float64)),
        ([np.array([1]), [1.5]], pl.List(pl.Float64)),
        ([np.array([[1, 2]])], pl.List(pl.List(pl.Int64))),
    ],
)
def test_the_first_records_may_have_arrays(values, dtype):
    (batch,) = received([[{"x": value} for value in values]], None)
    assert batch.schema == {"x": dtype}
    expected = [None if value is None else np.asarray(value).tolist() for value in values]
    assert batch["x"].to_list() == expected


def test_arrays_of_several_types_are_not_rounded():
    with pytest.raises(SchemaError, match="'x'"):
        received([[{"x": np.array([2**53 + 1])}, {"x": np.array([0.5])}]], None)


NAIVE, ZONED = datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "first",
    [
        [{"x": [NAIVE, ZONED]}],
        [{"x": [ZONED]}, {"x": None}, {"x": [None, NAIVE]}],
        [{"x": {"a": NAIVE}}, {"x": {"a": ZONED}}],
        [{"x": [{"a": [NAIVE]}, {"a": [ZONED]}]}],
        [{"x": [time(1, tzinfo=UTC)]}],
        [{"x": {"a": time(1, tzinfo=UTC)}}],
    ],
)
def test_the_first_records_need_zones_that_agree_at_any_depth(first):
    with pytest.raises(SchemaError, match="'x' do not make a column") as caught:
        received([first], None)
    assert caught.value.expected == "times that all have a zone, or none"


@pytest.mark.parametrize("value", [[NAIVE, NAIVE], {"a": [NAIVE]}, {"a": [ZONED, ZONED], "b": time(1)}])
def test_first_records_with_zones_that_agree_keep_them(value):
    (batch,) = received([[{"x": value}, {"x": None}]], None)
    assert batch["x"].to_list() == [value, None]


@pytest.mark.parametrize(
    "first, later",
    [
        (None, 1),
        (None, [1]),
        ([], [1]),
        ([None], ["a"]),
        ({}, {"a": 1}),
        ({"a": None}, {"a": 1}),
        ({"a": []}, {"a": [0.5]}),
    ],
)
def test_first_values_that_show_no_type_ask_for_a_schema(first, later):
    with pytest.raises(SchemaError, match="'x' do not make a column") as caught:
        received([{"x": first}, {"x": first}, {"x": later}], None)
    assert str(caught.value.hint).startswith("pass schema=")


def test_values_of_several_types_say_what_to_do():
    with pytest.raises(SchemaError, match="'x' do not make a column") as caught:
        received([{"x": 1}, {"x": "a"}], pl.Schema({"x": pl.Int64}))
    assert str(caught.value.hint).startswith("convert the values before sending them")
