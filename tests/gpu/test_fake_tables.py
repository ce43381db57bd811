"""The fake GPU's tables: types on their way to it and back, strings, times, joins and sorts as libcudf has them.

Where this machine has a GPU, it is asked the same.
"""

import datetime as dt
import decimal
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from gpu.fake_machines import Bench

pytestmark = [pytest.mark.once, pytest.mark.untraced, pytest.mark.usefixtures("packages")]


ROWS = 11
TEXT = ["", "a", "ab", "Zürich", "東京都", "😀😀", "x" * 40, "9", "\n", "é", "end"]
MOMENTS = [
    dt.datetime(1969, 2, 28, 23, 59) + dt.timedelta(days=97 * row, microseconds=row) for row in range(ROWS)
]
UTC = [moment.replace(tzinfo=dt.UTC) for moment in MOMENTS]
SPANS = [dt.timedelta(seconds=7 * row - 20) for row in range(ROWS)]
MONEY = [decimal.Decimal(row * 37 - 111) / 100 for row in range(ROWS)]
LISTS = [[row] * (row % 3) for row in range(ROWS)]

KINDS: list[tuple[pa.DataType, list[Any]]] = [
    (pa.bool_(), [row % 3 == 0 for row in range(ROWS)]),
    *((kind, list(range(ROWS))) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
    *((kind, list(range(ROWS))) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
    *((kind, [0.5 * row for row in range(ROWS)]) for kind in (pa.float32(), pa.float64())),
    *((kind, TEXT) for kind in (pa.string(), pa.large_string(), pa.string_view())),
    (pa.date32(), [moment.date() for moment in MOMENTS]),
    (pa.timestamp("us"), MOMENTS),
    (pa.timestamp("us", "UTC"), UTC),
    (pa.timestamp("ns", "Europe/Paris"), UTC),
    *((pa.duration(unit), SPANS) for unit in ("s", "ms", "us", "ns")),
    (pa.decimal128(10, 2), MONEY),
    (pa.dictionary(pa.int32(), pa.string()), list("bananabandi")),
    (pa.list_(pa.int64()), LISTS),
    (pa.large_list(pa.string()), [[str(value) for value in row] for row in LISTS]),
    (
        pa.struct({"a": pa.int64(), "b": pa.large_string()}),
        [{"a": row, "b": TEXT[row]} for row in range(ROWS)],
    ),
    (pa.null(), [None] * ROWS),
]


def metadata(bench: Bench, field: pa.Field) -> Any:
    """Say of a field what libcudf forgets."""
    found = bench.plc.interop.ColumnMetadata(name=field.name)
    kind = field.type
    if pa.types.is_timestamp(kind) and kind.tz:
        found.timezone = kind.tz
    if pa.types.is_decimal(kind):
        found.precision = kind.precision
    if pa.types.is_struct(kind):
        found.children_meta = [metadata(bench, child) for child in kind]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = bench.plc.interop.ColumnMetadata(name="offsets")
        found.children_meta = [offsets, metadata(bench, kind.value_field)]
    return found


@pytest.mark.parametrize("variant", ["plain", "nulls", "sliced", "empty"])
@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_values_come_back_as_they_went(
    bench: Bench, kind: pa.DataType, values: list[Any], variant: str
) -> None:
    if variant == "nulls":
        values = [None if row in (0, 4, 9) else value for row, value in enumerate(values)]
    batch = pa.record_batch([pa.array(values, kind)], ["x"])
    if variant == "sliced":
        batch = batch.slice(3, 6)
    if variant == "empty":
        batch = batch.slice(0, 0)
    back = bench.upload(batch).to_arrow(
        metadata=[metadata(bench, batch.schema.field(0))], stream=bench.compute
    )
    assert back.schema.names == ["x"]
    found = back.column(0)
    assert found.to_pylist() == batch.column(0).to_pylist()
    assert found.cast(kind).to_pylist() == batch.column(0).to_pylist()
    # What is nullable follows the data.
    assert back.schema.field(0).nullable == bool(found.null_count) or pa.types.is_null(kind)


@pytest.mark.parametrize(
    ("kind", "back"),
    [
        (pa.large_string(), pa.string()),
        (pa.string_view(), pa.string()),
        (pa.timestamp("ns", "Europe/Paris"), pa.timestamp("ns")),
        (pa.decimal128(10, 2), pa.decimal128(38, 2)),
        (pa.large_list(pa.int64()), pa.list_(pa.field("", pa.int64()))),
        (pa.struct({"a": pa.int64()}), pa.struct([pa.field("", pa.int64())])),
    ],
)
def test_what_nobody_says_of_a_type_is_forgotten(bench: Bench, kind: pa.DataType, back: pa.DataType) -> None:
    column = bench.column(pa.nulls(3, kind))
    assert column.to_arrow(stream=bench.compute).type == back


@pytest.mark.parametrize(
    "kind",
    [
        pa.float16(),
        pa.date64(),
        pa.time32("ms"),
        pa.time64("us"),
        pa.month_day_nano_interval(),
        pa.decimal256(50, 2),
        pa.binary(),
        pa.large_binary(),
        pa.binary(4),
        pa.list_(pa.int64(), 2),
        pa.list_view(pa.int64()),
        pa.map_(pa.string(), pa.int64()),
        pa.dictionary(pa.uint32(), pa.string()),
        pa.struct({"a": pa.binary()}),
    ],
    ids=str,
)
def test_types_that_libcudf_does_not_have_are_refused(bench: Bench, kind: pa.DataType) -> None:
    with pytest.raises((TypeError, RuntimeError, ValueError)):
        bench.column(pa.nulls(3, kind))


def texts(bench: Bench, values: list[str | None], module: str, function: str, *args: Any) -> list[Any]:
    call = getattr(getattr(bench.plc.strings, module), function)
    return bench.values(call(bench.column(values, pa.string()), *args, stream=bench.compute))


def test_strings_are_searched_and_measured(bench: Bench) -> None:
    """cpp/src/strings/search/find.cu, attributes.cu."""
    values = ["été", "", None, "tea"]
    assert texts(bench, values, "attributes", "count_bytes") == [5, 0, None, 3]
    assert texts(bench, values, "attributes", "count_characters") == [3, 0, None, 3]
    assert texts(bench, values, "find", "contains", bench.scalar("t")) == [True, False, None, True]
    assert texts(bench, values, "find", "contains", bench.scalar("")) == [True, True, None, True]
    assert texts(bench, values, "find", "starts_with", bench.scalar("é")) == [True, False, None, False]
    assert texts(bench, values, "find", "ends_with", bench.scalar("é")) == [True, False, None, False]
    assert texts(bench, values, "find", "find", bench.scalar("t")) == [1, -1, None, 0]
    targets = bench.column(["é", None, "a", "b"])
    assert texts(bench, values, "find", "contains", targets) == [True, False, None, False]
    with pytest.raises(RuntimeError, match="must be valid"):
        texts(bench, values, "find", "contains", bench.scalar(None, "STRING"))


def test_strings_are_cut(bench: Bench) -> None:
    """cpp/src/strings/slice.cu; pylibcudf/strings/slice.pyx puts 0 for a stop that is left out."""
    values = ["élan", "", None]

    def cut(start: int | None, stop: int | None) -> list[Any]:
        bounds = (bench.scalar(bound, "INT32") for bound in (start, stop))
        return texts(bench, values, "slice", "slice_strings", *bounds)

    assert cut(1, 3) == ["la", "", None]
    assert cut(-2, None) == ["an", "", None]
    assert cut(None, -1) == ["éla", "", None]
    assert cut(3, 1) == ["", "", None]
    assert texts(bench, values, "slice", "slice_strings", bench.scalar(1, "INT32")) == ["", "", None]
    if bench.machine:  # a device reads half of it
        with pytest.raises(AssertionError, match="INT64"):
            texts(bench, values, "slice", "slice_strings", bench.scalar(1, "INT64"))


def test_strings_are_changed(bench: Bench) -> None:
    """cpp/include/cudf/strings/detail/strip.cuh, pad_impl.cuh; cpp/src/strings/replace/replace.cu, case.cu."""
    values = [" a\t", "\u00a0b", None, ""]
    side = bench.plc.strings.SideType
    # Without characters: blanks of ASCII, and no others.
    assert texts(bench, values, "strip", "strip", side.BOTH) == ["a", "\u00a0b", None, ""]
    assert texts(bench, values, "strip", "strip", side.RIGHT, bench.scalar("\ta")) == [
        " ",
        "\u00a0b",
        None,
        "",
    ]
    assert texts(bench, values, "padding", "pad", 4, side.LEFT, "é") == ["é a\t", "éé\u00a0b", None, "éééé"]
    assert texts(bench, ["fox"], "padding", "pad", 6, side.BOTH, "+") == ["+fox++"]
    assert texts(bench, ["fox", "foxx"], "padding", "pad", 7, side.BOTH, "+") == ["++fox++", "++foxx+"]
    assert texts(bench, ["aaa"], "replace", "replace", bench.scalar("a"), bench.scalar("bb"), 2) == ["bbbba"]
    with pytest.raises(RuntimeError, match="empty"):
        texts(bench, ["aaa"], "replace", "replace", bench.scalar(""), bench.scalar("b"))
    assert texts(bench, ["aB1", None], "case", "to_upper") == ["AB1", None]
    if bench.machine:  # of other letters the fake knows no device's answer, and gives a wrong one
        assert texts(bench, ["ß"], "case", "to_upper") == ["ß\ufffd"]


def test_strings_are_joined(bench: Bench) -> None:
    """cpp/src/strings/combine/concatenate.cu; combine.pyx puts "" for a narep that is left out."""
    table = bench.plc.Table([bench.column(["a", None, None]), bench.column(["b", "c", None])])
    combine = bench.plc.strings.combine

    def joined(narep: Any, policy: Any = combine.SeparatorOnNulls.YES) -> list[Any]:
        dash = bench.scalar("-")
        return bench.values(combine.concatenate(table, dash, narep, None, policy, stream=bench.compute))

    assert joined(None) == ["a-b", "-c", "-"]
    assert joined(bench.scalar(None, "STRING")) == ["a-b", None, None]
    assert joined(bench.scalar("?")) == ["a-b", "?-c", "?-?"]
    assert joined(bench.scalar(""), combine.SeparatorOnNulls.NO) == ["a-b", "c", ""]


def test_members_are_looked_up(bench: Bench) -> None:
    """cpp/src/search/contains_column.cu: NaN equals NaN, and of nulls nothing is known."""
    nan = float("nan")
    haystack, needles = bench.column([nan, 0.0, None]), bench.column([nan, -0.0, None, 1.0])
    found = bench.plc.search.contains(haystack, needles, stream=bench.compute)
    assert bench.values(found) == [True, True, None, False]


def test_calendars_agree_with_polars(bench: Bench) -> None:
    """cpp/src/datetime/datetime_ops.cu: parts below a second are those of the next larger one."""
    ticks = np.random.default_rng(3).integers(-6 * 10**16, 6 * 10**16, 2_000)
    column, moments = (
        bench.column(pa.array(ticks, pa.timestamp("us"))),
        pl.Series(ticks).cast(pl.Datetime("us")),
    )
    datetime = bench.plc.datetime
    part = datetime.DatetimeComponent
    expected = {
        part.YEAR: moments.dt.year(),
        part.MONTH: moments.dt.month(),
        part.DAY: moments.dt.day(),
        part.WEEKDAY: moments.dt.weekday(),
        part.HOUR: moments.dt.hour(),
        part.MINUTE: moments.dt.minute(),
        part.SECOND: moments.dt.second(),
        part.MILLISECOND: moments.dt.millisecond(),
        part.MICROSECOND: moments.dt.microsecond() % 1000,
        part.NANOSECOND: moments.dt.microsecond() * 0,
    }
    for component, series in expected.items():
        found = datetime.extract_datetime_component(column, component, stream=bench.compute)
        assert found.type().id() == bench.plc.TypeId.INT16
        assert bench.values(found) == series.to_list(), component
    assert (
        bench.values(datetime.day_of_year(column, stream=bench.compute)) == moments.dt.ordinal_day().to_list()
    )
    assert (
        bench.values(datetime.extract_quarter(column, stream=bench.compute)) == moments.dt.quarter().to_list()
    )
    assert (
        bench.values(datetime.is_leap_year(column, stream=bench.compute))
        == moments.dt.is_leap_year().to_list()
    )
    last = datetime.last_day_of_month(column, stream=bench.compute)
    assert bench.values(last) == moments.dt.month_end().dt.date().to_list()
    days = datetime.days_in_month(column, stream=bench.compute)
    assert bench.values(days) == moments.dt.month_end().dt.day().to_list()
    hours = datetime.floor_datetimes(column, datetime.RoundingFrequency.HOUR, stream=bench.compute)
    assert bench.values(hours) == moments.dt.truncate("1h").to_list()


def test_half_up_is_away_from_zero(bench: Bench) -> None:
    """cpp/src/round/round.cu."""
    values = bench.column([0.5, -0.5, 1.5, 2.5, 0.49999999999999994, None])
    method = bench.plc.round.RoundingMethod
    up = bench.plc.round.round(values, 0, method.HALF_UP, stream=bench.compute)
    assert bench.values(up) == [1.0, -1.0, 2.0, 3.0, 0.0, None]
    even = bench.plc.round.round(values, 0, method.HALF_EVEN, stream=bench.compute)
    assert bench.values(even) == [0.0, -0.0, 2.0, 2.0, 0.0, None]


def test_groups_agree_with_polars_but_for_the_order(bench: Bench) -> None:
    """cpp/src/groupby/hash/groupby.cu: sums of integers in 64 bits, counts in 32; a null key is dropped or kept."""
    numbers = pa.array([None if row % 5 == 0 else row % 120 for row in range(300)], pa.int8())
    batch = mixed(300, 5).append_column("v", numbers)
    groupby, aggregation = bench.plc.groupby, bench.plc.aggregation
    table = bench.upload(batch.select(["a", "s", "v"]))
    keys, values = bench.plc.Table(table.columns()[:2]), table.columns()[2]
    wanted = [aggregation.sum(), aggregation.min(), aggregation.max()]
    null = bench.plc.types.NullPolicy
    wanted += [aggregation.count(null.INCLUDE), aggregation.count(null.EXCLUDE)]
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    value = pl.col("v")
    kept, sums = groupby.GroupBy(keys, null.INCLUDE).aggregate(
        [groupby.GroupByRequest(values, wanted)], stream=bench.compute
    )
    columns = [*kept.columns(), *sums[0].columns()]
    found = [bench.values(column) for column in columns]
    total = pl.when(value.count() > 0).then(value.cast(pl.Int64).sum())
    aggregates = [total, value.min(), value.max(), pl.len(), value.count()]
    expected = frame.group_by("a", "s").agg(each.alias(str(number)) for number, each in enumerate(aggregates))
    assert sorted(zip(*found, strict=True), key=repr) == sorted(expected.rows(), key=repr)
    kinds = [column.type().id().name for column in columns[2:]]
    assert kinds == ["INT64", "INT8", "INT8", "INT32", "INT32"]
    dropped, _ = groupby.GroupBy(keys).aggregate(
        [groupby.GroupByRequest(values, wanted)], stream=bench.compute
    )
    assert dropped.num_rows() == expected.drop_nulls(["a", "s"]).height


def mixed(rows: int, seed: int) -> pa.RecordBatch:
    random = np.random.default_rng(seed)
    return pa.record_batch(
        {
            "a": pa.array(random.integers(0, 9, rows), mask=random.random(rows) < 0.1),
            "f": random.choice([0.0, -0.0, 1.5, np.nan], rows),
            "s": pa.array(random.choice(["a", "é", "ab", ""], rows), mask=random.random(rows) < 0.1),
        }
    )


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("how", ["inner", "left", "semi", "anti"])
def test_joins_agree_with_polars_but_for_the_order(bench: Bench, how: Any, equal: bool) -> None:
    """cpp/src/join: gather maps; of a row without a match, the lowest INT32."""
    left, right = mixed(200, 1), mixed(60, 2)
    frames = pl.from_arrow(left).with_row_index("l"), pl.from_arrow(right).with_row_index("r")
    assert isinstance(frames[0], pl.DataFrame) and isinstance(frames[1], pl.DataFrame)
    join = {"semi": "left_semi", "anti": "left_anti"}.get(how, how)
    nulls = bench.plc.types.NullEquality.EQUAL if equal else bench.plc.types.NullEquality.UNEQUAL
    maps = getattr(bench.plc.join, f"{join}_join")(
        bench.upload(left), bench.upload(right), nulls, stream=bench.compute
    )
    names = ["l"] if how in ("semi", "anti") else ["l", "r"]
    arrays = [each.to_arrow(stream=bench.compute) for each in (maps if isinstance(maps, tuple) else [maps])]
    found = pl.DataFrame(dict(zip(names, arrays, strict=True)))
    expected = frames[0].join(frames[1], on=left.schema.names, how=how, nulls_equal=equal).select(names)
    no_row = pl.all().replace(-(2**31), None)
    assert sorted(found.select(no_row).rows(), key=repr) == sorted(expected.rows(), key=repr)


def test_sorts_agree_with_polars(bench: Bench) -> None:
    """Null is where it is told to be in an ascending order, and opposite in a descending one."""
    batch = mixed(300, 4)
    order, null = bench.plc.types.Order, bench.plc.types.NullOrder
    found = bench.plc.sorting.stable_sorted_order(
        bench.upload(batch),
        [order.ASCENDING, order.DESCENDING, order.DESCENDING],
        [null.BEFORE, null.AFTER, null.BEFORE],
        stream=bench.compute,
    )
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    expected = frame.with_row_index("row").sort(
        "a", "f", "s", descending=[False, True, True], nulls_last=[False, False, True], maintain_order=True
    )
    assert bench.values(found) == expected["row"].to_list()
