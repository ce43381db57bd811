"""Types given by schema= for files that have others: values that survive are read, any other one is an error."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import product

import polars as pl
import pytest
from polars.testing import assert_series_equal

from arrowstream import Pipeline, Source
from arrowstream.errors import SchemaError, SourceError, StageError
from arrowstream.io.files.columnar.given_types import (
    Misfit,
    can_lose,
    changed,
    checked_cast,
    misfits,
    without_misfits,
)

WRITE = {
    "parquet": lambda frame, path: frame.write_parquet(path, row_group_size=2),
    "arrow": pl.DataFrame.write_ipc,
    "avro": pl.DataFrame.write_avro,
    "xlsx": pl.DataFrame.write_excel,
}
NAN, BIG, NOON, DAY = float("nan"), 2**53 + 1, datetime(2024, 1, 1, 12), date(2024, 1, 1)
MIDNIGHT = datetime(2024, 1, 1)
SECOND, TICK = timedelta(seconds=1), timedelta(microseconds=1)

# Type in the file, type given, values that survive and what they become, values that do not.
PAIRS = [
    (pl.Float64(), pl.Int64(), [1.0, -0.0, 2.0**60], [1, 0, 2**60], [2.5, 1e300, NAN]),
    (pl.Float64(), pl.Boolean(), [0.0, 1.0], [False, True], [2.5, NAN]),
    (pl.Float64(), pl.Float32(), [0.5, NAN, 0.1], [0.5, NAN, 0.1], [1e300]),
    (pl.Float64(), pl.Decimal(10, 2), [0.1, 2.25], [Decimal("0.10"), Decimal("2.25")], [0.125, NAN, 1e12]),
    (pl.Float64(), pl.Duration("us"), [1.0], [TICK], [1.5]),
    (pl.Float64(), pl.String(), [2.5], ["2.5"], []),
    (pl.Int64(), pl.Float64(), [2**53, -1], [2.0**53, -1.0], [BIG, 2**63 - 1]),
    (pl.Int64(), pl.Int8(), [127], [127], [128]),
    (pl.Int64(), pl.Boolean(), [0, 1], [False, True], [2]),
    (pl.Int64(), pl.Decimal(3, 1), [99], [Decimal("99.0")], [100]),
    (pl.Int8(), pl.Float64(), [1], [1.0], []),
    (pl.Boolean(), pl.Int64(), [True], [1], []),
    (pl.Decimal(9, 2), pl.Decimal(9, 1), [Decimal("1.20")], [Decimal("1.2")], [Decimal("1.25")]),
    (pl.Decimal(9, 2), pl.Int64(), [Decimal("1.00")], [1], [Decimal("1.25")]),
    (pl.Decimal(38, 2), pl.Float64(), [Decimal("1.10")], [1.1], [Decimal("12345678901234567890.12")]),
    (pl.Datetime("us"), pl.Date(), [MIDNIGHT], [DAY], [NOON]),
    (pl.Datetime("us"), pl.Datetime("ms"), [NOON], [NOON], [NOON + TICK]),
    (pl.Datetime("us"), pl.Datetime("ns"), [NOON], [NOON], [datetime(3000, 1, 1)]),
    (pl.Datetime("us"), pl.Datetime("us", "UTC"), [datetime(3000, 1, 1)], None, []),
    (pl.Datetime("us"), pl.Time(), [], [], [NOON]),
    (pl.Date(), pl.Datetime("us"), [DAY], [MIDNIGHT], []),
    (pl.Duration("us"), pl.Duration("ms"), [SECOND], [SECOND], [SECOND + TICK]),
    (pl.Time(), pl.Duration("us"), [time(0, 0, 1)], [SECOND], []),
    (pl.String(), pl.Int64(), ["7", "007"], [7, 7], ["2.5", "x"]),
    (pl.String(), pl.Float32(), ["0.1", "-inf"], [0.1, -float("inf")], ["1e300", "x"]),
    (pl.String(), pl.Decimal(9, 2), ["1.5", "1.500"], [Decimal("1.50")] * 2, ["1.505"]),
    (pl.Binary(), pl.String(), [b"x"], ["x"], [b"\xff"]),
    (pl.Binary(), pl.Int64(), [], [], [b"1"]),
    (pl.List(pl.Float64()), pl.List(pl.Int64()), [[1.0, None], []], [[1, None], []], [[1.0, 2.5]]),
    (pl.List(pl.String()), pl.List(pl.Float32()), [["1.50"]], [[1.5]], [["1.5", "1e300"]]),
    (pl.List(pl.Int64()), pl.Array(pl.Int64(), 2), [[1, 2]], [[1, 2]], [[1], [1, 2, 3]]),
    (pl.Array(pl.Float64(), 2), pl.List(pl.Int64()), [[1.0, 2.0]], [[1, 2]], [[1.0, 2.5]]),
    (
        pl.List(pl.Struct({"a": pl.Float64()})),
        pl.List(pl.Struct({"a": pl.Int64()})),
        [[{"a": 1.0}, {"a": None}]],
        [[{"a": 1}, {"a": None}]],
        [[{"a": 1.0}, {"a": 2.5}]],
    ),
    (
        pl.Struct({"a": pl.Float64(), "b": pl.String()}),
        pl.Struct({"a": pl.Int64(), "b": pl.String()}),
        [{"a": 1.0, "b": "x"}],
        [{"a": 1, "b": "x"}],
        [{"a": 2.5, "b": "x"}],
    ),
    (
        pl.Struct({"a": pl.Float64(), "b": pl.Int64()}),
        pl.Struct({"a": pl.Float64()}),
        [],
        [],
        [{"a": 1.0, "b": 2}],
    ),
]


def source(path, dtype):
    return Pipeline.builder().source(Source.from_file(path, schema={"x": dtype}))


def written(format, values, dtype, tmp_path):
    """Write values after a null, and the numbers of their rows; gives the path."""
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.{format}"
    column = pl.Series("x", [None, *values], dtype)
    WRITE[format](pl.DataFrame({"n": range(1, len(column) + 1), "x": column}), path)
    return path


@pytest.mark.parametrize(
    ("stored", "given", "fit", "become", "unfit"), PAIRS, ids=[f"{pair[0]} as {pair[1]}" for pair in PAIRS]
)
def test_a_value_is_read_as_the_type_given_or_is_an_error(stored, given, fit, become, unfit, tmp_path):
    expected = (
        pl.Series("x", [None, *fit], stored).cast(given)
        if become is None
        else pl.Series("x", [None, *become], given)
    )
    if stored != pl.Binary:
        values = pl.Series("x", [None, *fit, *unfit], stored)
        assert misfits(values, given).to_list() == [False] * (len(fit) + 1) + [True] * len(unfit)
    for format in ("parquet", "arrow"):
        if fit:
            path = written(format, fit, stored, tmp_path)
            assert_series_equal(source(path, given).collect_sync()["x"], expected, check_exact=True)
        for value in unfit:
            path = written(format, [*fit, value], stored, tmp_path)
            row = len(fit) + 2
            with pytest.raises(SourceError, match=r"the type that schema= gives column 'x'") as error:
                source(path, given).collect_sync()
            assert error.value.position == f"{path} row {row}"
            assert error.value.expected == f"x: {given}, with every value unchanged"
            assert "out of schema=" in error.value.hint
            assert source(path, given).filter(pl.col("n") < row).select("n").collect_sync().height == row - 1


@pytest.mark.parametrize("format", WRITE)
@pytest.mark.parametrize(
    ("given", "become"),
    [(pl.Int64(), [None, 1]), (pl.Boolean(), [None, True]), (pl.Decimal(9, 0), [None, Decimal(1)])],
    ids=str,
)
def test_every_format_names_row_column_value_and_type(format, given, become, tmp_path):
    path = written(format, [1.0, 2.5, 3.5, 7.5], pl.Float64, tmp_path)
    found = source(path, given)
    for rows, row, value in ((pl.lit(True), 3, 2.5), (pl.col("n") != 3, 4, 3.5), (pl.col("n") > 4, 5, 7.5)):
        with pytest.raises(SourceError, match=f"row {row} of .* does not fit the type that schema=") as error:
            found.filter(rows).collect_sync()
        assert error.value.position == f"{path} row {row}"
        assert error.value.found == f"{value} (Float64)"
        assert "leave 'x' out of schema=, and round or cast it" in error.value.hint
    with pytest.raises(SourceError, match="row 3 of"):
        found.filter(pl.col("x") == pl.lit(1).cast(given)).collect_sync()
    assert found.filter(pl.col("n") < 3).collect_sync()["x"].to_list() == become
    assert found.select("n").collect_sync()["n"].to_list() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("format", WRITE)
def test_a_step_that_fails_is_not_an_error_of_schema(format, tmp_path):
    path = written(format, [1.0, 2.5], pl.Float64, tmp_path)
    steps = source(path, int).filter(pl.col("n") == 2).select(y=pl.format("y{}", "x").cast(pl.Int64))
    with pytest.raises(StageError, match="the pipeline's first steps, which run inside the read, failed"):
        steps.collect_sync()


def test_nulls_fit_any_type(tmp_path):
    for stored in (pl.Binary, pl.Datetime("us"), pl.Float64):
        path = written("parquet", [], stored, tmp_path)
        assert source(path, pl.Time).collect_sync()["x"].to_list() == [None]


def test_small_files_and_partitions_are_checked_like_a_single_file(tmp_path):
    for number in range(6):
        folder = tmp_path / f"in/k={number}"
        folder.mkdir(parents=True)
        pl.DataFrame({"x": [1.0, 2.5 if number == 4 else 2.0]}).write_parquet(folder / "a.parquet")
    with pytest.raises(SourceError, match=r"row 2 of .*k=4/a.parquet does not fit the type that schema="):
        source(tmp_path / "in", int).collect_sync()
    found = source(tmp_path / "in", int).filter(pl.col("k") != 4).collect_sync()
    assert found.schema == {"x": pl.Int64(), "k": pl.Int64()} and found["x"].to_list() == [1, 2] * 5


@pytest.mark.parametrize(
    ("value", "given", "become"),
    [
        ("2.5", pl.Int64(), None),
        ("1e300", pl.Float32(), None),
        ("1.239", pl.Decimal(5, 2), None),
        ("1.20", pl.Decimal(5, 2), Decimal("1.20")),
    ],
)
def test_a_partition_is_not_changed_either(value, given, become, tmp_path):
    for part in ("1.5", value):
        (tmp_path / f"x={part}").mkdir()
        pl.DataFrame({"n": [1]}).write_parquet(tmp_path / f"x={part}/a.parquet")
    if become is not None:
        assert become in source(tmp_path, given).collect_sync()["x"].to_list()
        return
    with pytest.raises(SchemaError, match="a partition does not fit the type of its column 'x'") as error:
        source(tmp_path, given).collect_sync()
    assert error.value.found in (repr(value), f"'1.5', {value!r}") and "out of schema=" in error.value.hint


def test_files_of_several_types_get_the_type_given(tmp_path):
    for number, values in enumerate(([1, 2], [1.0, 2.0], [1.0, 2.5])):
        pl.DataFrame({"x": values}).write_parquet(tmp_path / f"{number}.parquet")
    files = [tmp_path / f"{number}.parquet" for number in range(3)]
    assert can_lose(pl.Float64(), pl.Int64()) and not can_lose(pl.Int32(), pl.Float64())
    widened = Source.from_file(files[1:], schema={"x": int}, widen=True)
    with pytest.raises(SourceError, match=r"row 2 of .*2.parquet does not fit the type that schema="):
        Pipeline.builder().source(widened).collect_sync()


def test_a_cast_that_cannot_change_a_value_is_left_to_polars():
    pairs = [
        (pl.Int64(), pl.Int8()),
        (pl.UInt8(), pl.Int64()),
        (pl.Int32(), pl.Float64()),
        (pl.String(), pl.Int64()),
        (pl.Null(), pl.Int64()),
        (pl.Int64(), pl.String()),
        (pl.Float32(), pl.Float64()),
        (pl.Datetime("us"), pl.Datetime("us", "UTC")),
        (pl.List(pl.Int8()), pl.List(pl.Int64())),
    ]
    assert not any(can_lose(stored, given) for stored, given in pairs)
    assert misfits(pl.Series([1, 300], dtype=pl.Int64), pl.Int8()).to_list() == [False, True]
    assert checked_cast(pl.Series([1.0]), pl.Int64()).to_list() == [1]
    with pytest.raises(Misfit, match="x"):
        checked_cast(pl.Series("x", [1.5]), pl.Int64())


@pytest.mark.parametrize(
    ("values", "given", "expected"),
    [
        (pl.Series([1.5, None, 1e300]), pl.Float32(), [1.5, None, None]),
        (pl.Series([[1.5, None], [1e300], None]), pl.List(pl.Float32), [[1.5, None], None, None]),
        (pl.Series([{"a": 1.5}, {"a": 1e300}]), pl.Struct({"a": pl.Float32}), [{"a": 1.5}, None]),
    ],
)
def test_values_that_do_not_survive_are_null_on_request(values, given, expected):
    assert_series_equal(without_misfits(values, given), pl.Series(expected, dtype=given))


def test_texts_of_numbers_have_more_decimals_than_a_type_as_python_counts_them():
    signs, wholes, exponents = ("", "-", " +"), ("", "0", "7", "1200"), ("", "e0", "E+2", "e-3", "e-5")
    fractions = ("", ".", ".0", ".5", ".50", ".123", ".0010", ".00000")
    texts = [
        f"{sign}{whole}{fraction}{exponent}"
        for sign, whole, fraction, exponent in product(signs, wholes, fractions, exponents)
        if whole or len(fraction) > 1
    ]
    for scale in range(5):
        numbers = [Decimal(text) for text in texts]
        expected = [number != round(number, scale) for number in numbers]
        cast = pl.Series([None] * len(texts), dtype=pl.Decimal(38, scale))
        assert changed(pl.Series(texts), cast).to_list() == expected
        assert changed(pl.Series([None, "x"]), cast[:2]).to_list() == [False, False]
