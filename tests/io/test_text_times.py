"""Dates and times in CSV, NDJSON, JSON, messages and names of folders: as they are written, or refused."""

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context
from hypothesis import given
from hypothesis import strategies as st

from arrowstream import Pipeline, Source
from arrowstream.errors import BadMessage, SchemaError, SourceError
from arrowstream.io.files.columnar.given_types import Misfit
from arrowstream.io.files.text.times import checked_times, read_times, times_as_texts
from arrowstream.io.messages.formats import decoder
from arrowstream.testing import TestSink

US, MS, NS = pl.Datetime("us"), pl.Datetime("ms"), pl.Datetime("ns")
IN_UTC, NS_UTC, BERLIN = (
    pl.Datetime("us", "UTC"),
    pl.Datetime("ns", "UTC"),
    pl.Datetime("us", "Europe/Berlin"),
)
NOON = datetime(2026, 1, 31, 12)

VALUES: list[tuple[Any, str, Any]] = [
    (pl.Date(), "2026-01-31", date(2026, 1, 31)),
    (pl.Date(), "2026/01/31", date(2026, 1, 31)),
    (pl.Date(), "2026-1-31", date(2026, 1, 31)),
    (pl.Date(), "0001-01-01", date(1, 1, 1)),
    (US, "2026-01-31T12:00:00", NOON),
    (US, "2026-01-31 12:00", NOON),
    (US, "2026/01/31 12:00:00.000000000", NOON),
    (US, "2026-01-31", datetime(2026, 1, 31)),
    (US, "2026-01-31T12:00:00Z", NOON),
    (US, "2026-01-31T12:00:00-00:00", NOON),
    (US, "2026-01-31T12:00:00.5", NOON + timedelta(seconds=0.5)),
    (US, "2026-01-31T12:00:00.123456000", NOON + timedelta(microseconds=123_456)),
    (US, "2500-01-01T00:00:00", datetime(2500, 1, 1)),
    (MS, "2026-01-31T12:00:00.123", NOON + timedelta(milliseconds=123)),
    (NS, "2026-01-31T12:00:00.123456", NOON + timedelta(microseconds=123_456)),
    (NS_UTC, "2026-01-31T12:00:00.000000000Z", NOON.replace(tzinfo=UTC)),
    (IN_UTC, "2026-01-31T12:00:00Z", NOON.replace(tzinfo=UTC)),
    (IN_UTC, "2026-01-31T12:00:00", NOON.replace(tzinfo=UTC)),
    (IN_UTC, "2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    (IN_UTC, "2026-01-31 12:00:00.25-0530", datetime(2026, 1, 31, 17, 30, 0, 250_000, tzinfo=UTC)),
    (BERLIN, "2026-01-31T12:00:00+01:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
    (BERLIN, "2026-01-31T12:00:00Z", NOON.replace(tzinfo=UTC)),
]
REFUSED: list[tuple[Any, str]] = [
    (pl.Date(), "03/04/2026"),
    (pl.Date(), "13/04/2026"),
    (pl.Date(), "03-04-2026"),
    (pl.Date(), "03.04.2026"),
    (pl.Date(), "03/04/26"),
    (pl.Date(), "20260403"),
    (pl.Date(), "2026-04/03"),
    (pl.Date(), "2026- 4-03"),
    (pl.Date(), "2026-02-29"),
    (pl.Date(), "2026-01-31T12:00:00"),
    (US, "03/04/2026 12:00:00"),
    (US, "2026-01-31T12:00:00.123456789"),
    (US, "2026-01-31T12:00:00+02:00"),
    (US, "2026-01-31T12:00:00+0200"),
    (US, "2026-01-31T24:00:00"),
    (US, "2026-01-31T12:00:60"),
    (MS, "2026-01-31T12:00:60.5"),
    (IN_UTC, "2026-01-31 12:00:60-05:30"),
    (MS, "2026-01-31T12:00:00.1234"),
    (NS, "2500-01-01T00:00:00"),
    (NS, "1600-01-01"),
    (NS_UTC, "2500-01-01T00:00:00+02:00"),
    (IN_UTC, "2026-01-31T12:00:00.1234567Z"),
    (BERLIN, "2026-01-31T12:00:00"),
    (BERLIN, "2026-01-31"),
]


def read_csv(dtype: Any, texts: list[Any], tmp_path: Path) -> list[Any]:
    file = tmp_path / "some.csv"
    file.write_text(
        "".join(f"{text},1\n" for text in ["at", *("" if text is None else text for text in texts)])
    )
    return (
        Pipeline.builder().source(Source.from_file(file, schema={"at": dtype})).collect_sync()["at"].to_list()
    )


def read_ndjson(dtype: Any, texts: list[Any], tmp_path: Path) -> list[Any]:
    file = tmp_path / "some.ndjson"
    file.write_text("".join(json.dumps({"at": text}) + "\n" for text in texts))
    return (
        Pipeline.builder().source(Source.from_file(file, schema={"at": dtype})).collect_sync()["at"].to_list()
    )


def read_nested(dtype: Any, texts: list[Any], tmp_path: Path) -> list[Any]:
    file = tmp_path / "some.json"
    file.write_text(json.dumps([{"all": [{"at": text, "x": 1.5} for text in texts]}, {"all": None}]))
    nested = pl.List(pl.Struct({"at": dtype, "x": pl.Float32}))
    rows = Pipeline.builder().source(Source.from_file(file, schema={"all": nested})).collect_sync()
    assert rows.schema == {"all": nested} and rows["all"][1] is None
    return rows["all"].explode().struct.field("at").to_list()[: len(texts)]


def decode(format: Any, dtype: Any, values: list[str]) -> list[Any]:
    decoding = decoder(format, pl.Schema({"at": dtype, "x": pl.Int64})).open(context())
    return decoding.decode(pl.Series([value.encode() for value in values]).to_arrow()).frame["at"].to_list()


def decode_json(dtype: Any, texts: list[Any], tmp_path: Path) -> list[Any]:
    return decode("json", dtype, [json.dumps({"at": text, "x": 1}) for text in texts])


def decode_csv(dtype: Any, texts: list[Any], tmp_path: Path) -> list[Any]:
    return decode("csv", dtype, [f"{'' if text is None else text},1" for text in texts])


WAYS = pytest.mark.parametrize("read", [read_csv, read_ndjson, read_nested, decode_json, decode_csv])


@pytest.mark.untraced
@WAYS
@pytest.mark.parametrize(("dtype", "text", "expected"), VALUES, ids=str)
def test_a_date_or_time_has_the_value_that_is_written(
    dtype: Any, text: str, expected: Any, read: Any, tmp_path: Path
) -> None:
    assert read(dtype, [text, None], tmp_path) == [expected, None]
    other = "1999-9-09" if dtype == pl.Date else "1999-09-09T01:02:03.5Z"
    first, second, third = read(dtype, [other, text, None], tmp_path)
    assert first is not None and (second, third) == (expected, None)


@pytest.mark.parametrize(
    "read",
    [
        read_csv,
        read_ndjson,
        pytest.param(read_nested, marks=pytest.mark.untraced),
        decode_json,
        pytest.param(decode_csv, marks=pytest.mark.untraced),
    ],
)
@pytest.mark.parametrize(("dtype", "text"), REFUSED, ids=str)
def test_what_would_be_another_value_is_refused(dtype: Any, text: str, read: Any, tmp_path: Path) -> None:
    other = "1999-9-09" if dtype == pl.Date else "1999-09-09T01:02:03.5Z"
    for texts in ([text], [text, text], [other, text]):
        with pytest.raises((SourceError, BadMessage)) as raised:
            read(dtype, texts, tmp_path)
        assert text in str(raised.value)


CLOCKS = [
    ("12:00:00", time(12)),
    ("1:02:03", time(1, 2, 3)),
    ("12:00", time(12)),
    (" 23:59:59.25", time(23, 59, 59, 250_000)),
    ("12:00:00.1234560000", time(12, 0, 0, 123_456)),
]
NO_CLOCKS = [
    "12:00:60",
    "12:00:60.5",
    "24:00:00",
    "12:60",
    "12:00:00.1234567891",
    "12:00:00Z",
    "120000",
    "12",
]
CLOCK_WAYS = pytest.mark.parametrize("read", [read_csv, decode_json, decode_csv])


@CLOCK_WAYS
@pytest.mark.parametrize(("text", "expected"), CLOCKS)
def test_a_time_of_day_has_the_value_that_is_written(
    text: str, expected: Any, read: Any, tmp_path: Path
) -> None:
    assert read(pl.Time(), [text, None], tmp_path) == [expected, None]
    assert read(pl.Time(), ["0:00:00.5", text, None], tmp_path)[1:] == [expected, None]


@CLOCK_WAYS
@pytest.mark.parametrize("text", NO_CLOCKS)
def test_a_time_of_day_that_would_be_another_is_refused(text: str, read: Any, tmp_path: Path) -> None:
    for texts in ([text], ["12:00:00", text], ["0:00", text]):
        with pytest.raises((SourceError, BadMessage)) as raised:
            read(pl.Time(), texts, tmp_path)
        assert text in str(raised.value)


@given(
    st.lists(st.tuples(st.integers(0, 24 * 3600 * 10**9 - 1), st.integers(9, 12)), min_size=1, max_size=20)
)
def test_times_of_day_keep_their_nanoseconds(some: list[tuple[int, int]]) -> None:
    times = pl.Series([at for at, _ in some], dtype=pl.Int64).cast(pl.Time)
    zeros = pl.Series(["0" * (digits - 9) for _, digits in some])
    assert read_times(times.dt.to_string("%H:%M:%S%.9f") + zeros, pl.Time()).equals(times)


@pytest.mark.parametrize("dtype", [pl.Date, US, pl.Time], ids=str)
def test_a_field_that_is_empty_is_null_in_quotes_too(dtype: Any, tmp_path: Path) -> None:
    good = "12:00:00" if dtype == pl.Time else "2026-01-31"
    assert read_csv(dtype, [good, '""', None], tmp_path)[1:] == [None, None]


RULES: list[tuple[Any, str, str]] = [
    (pl.Date(), "03/04/2026", "which number is the day"),
    (US, "03/04/2026 12:00", "which number is the day"),
    (US, "2026-01-31T12:00:00+02:00", "takes no offset but that of UTC"),
    (BERLIN, "2026-01-31T12:00:00", "needs its offset"),
    (BERLIN, "31/01/2026 12:00+01:00", "which number is the day"),
    (pl.Time(), "12:00:60", "seconds from 0 to 59"),
]


@pytest.mark.parametrize(("dtype", "text", "rule"), RULES, ids=str)
def test_an_error_of_a_time_names_the_rule(dtype: Any, text: str, rule: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as raised:
        read_csv(dtype, [text], tmp_path)
    assert rule in raised.value.hint


@WAYS
def test_what_is_no_text_is_no_time_either(read: Any, tmp_path: Path) -> None:
    with pytest.raises((SourceError, BadMessage)):
        read(pl.Date(), ["2026-01-31", 20_000], tmp_path)


@pytest.mark.parametrize("text", ["^", "]", "\\", "[0-9]", "+", "not a date", ""])
def test_any_text_may_stand_where_a_time_is_expected(text: str) -> None:
    assert read_times(pl.Series([text, "2026-01-31"]), pl.Date()).to_list() == [None, date(2026, 1, 31)]
    assert read_times(pl.Series([text]), US).to_list() == [None]


def test_types_without_times_are_kept() -> None:
    for dtype in (pl.List(pl.Int64()), pl.Array(pl.Int64(), 2), pl.Struct({"a": pl.Int64()}), pl.Int64()):
        assert times_as_texts(dtype) is dtype
    both = pl.Struct({"a": pl.Array(pl.Date(), 2), "b": pl.Int64()})
    assert times_as_texts(both) == pl.Struct({"a": pl.Array(pl.String(), 2), "b": pl.Int64()})


def test_a_text_that_is_no_time_is_an_error_or_null() -> None:
    texts = pl.Series("at", ["2026-01-31", "", None])
    with pytest.raises(Misfit, match="at"):
        checked_times(texts, pl.Date(), lenient=False, skips_empty=False)
    for lenient, skips_empty in ((True, False), (False, True)):
        found = checked_times(texts, pl.Date(), lenient=lenient, skips_empty=skips_empty)
        assert found.to_list() == [date(2026, 1, 31), None, None]
    with pytest.raises(Misfit):
        checked_times(pl.Series(["never", ""]), pl.Date(), lenient=False, skips_empty=True)


def test_empty_fields_of_csv_are_nulls(tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text('at,x\n"",1\n,2\n2026-01-31,3\n')
    rows = Pipeline.builder().source(Source.from_file(file, schema={"at": pl.Date})).collect_sync()
    assert rows["at"].to_list() == [None, None, date(2026, 1, 31)]


@pytest.mark.parametrize("format", ["csv", "ndjson"])
def test_bad_dates_are_put_aside_whatever_the_others_look_like(format: str, tmp_path: Path) -> None:
    texts = ["03/04/2026", "2026-01-31", "2026/2/1", "31.12.2026", "2026-03-01"]
    lines = (
        ["at,x", *(f"{text},1" for text in texts)]
        if format == "csv"
        else [json.dumps({"at": text, "x": 1}) for text in texts]
    )
    file = tmp_path / f"some.{format}"
    file.write_text("\n".join(lines) + "\n")
    bad = TestSink()
    source = Source.from_file(file, schema={"at": pl.Date, "x": pl.Int64}, bad_rows=bad)
    rows = Pipeline.builder().source(source).collect_sync()
    assert rows["at"].to_list() == [date(2026, 1, 31), date(2026, 2, 1), date(2026, 3, 1)]
    assert [error for error in bad.frame()["error"].to_list() if "is no Date" in error] == bad.frame()[
        "error"
    ].to_list()
    assert bad.frame().height == 2


def test_the_error_says_what_is_read_and_how_to_read_other_forms(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as raised:
        read_csv(pl.Date(), ["2026-01-31", "03/04/2026"], tmp_path)
    assert "row 2 (line 3)" in str(raised.value) and "year first" in raised.value.hint


def folders(at: Path, key: str, names: list[str]) -> Path:
    for name in names:
        (at / f"{key}={name}").mkdir()
        pl.DataFrame({"x": [1]}).write_parquet(at / f"{key}={name}" / "a.parquet")
    return at / "**/*.parquet"


@pytest.mark.parametrize("names", [["03-04-2026", "31-01-2026"], ["03-04-2026", "2026-01-31"]], ids=str)
def test_folders_whose_day_would_be_guessed_are_texts(names: list[str], tmp_path: Path) -> None:
    files = folders(tmp_path, "day", names)
    assert sorted(Pipeline.builder().source(Source.from_file(files)).collect_sync()["day"]) == sorted(names)
    with pytest.raises(SchemaError, match="partition"):
        Pipeline.builder().source(Source.from_file(files, schema={"day": pl.Date})).collect_sync()


@pytest.mark.parametrize(("name", "dtype"), [("some", pl.Int64), ("1e300", pl.Float32)])
def test_a_folder_that_its_type_does_not_hold_is_an_error(name: str, dtype: Any, tmp_path: Path) -> None:
    files = folders(tmp_path, "n", [name])
    with pytest.raises(SchemaError, match="partition"):
        Pipeline.builder().source(Source.from_file(files, schema={"n": dtype})).collect_sync()


def test_folders_of_dates_are_dates(tmp_path: Path) -> None:
    files = folders(tmp_path, "day", ["2026-01-31", "2026-02-01"])
    days = [date(2026, 1, 31), date(2026, 2, 1)]
    for schema in (None, {"day": pl.Date}):
        source = Source.from_file(files, schema=schema)
        assert sorted(Pipeline.builder().source(source).collect_sync()["day"]) == days


def test_a_bad_time_of_messages_is_named() -> None:
    good = ['{"at": "2026-01-31T12:00:00Z"}'] * 5
    with pytest.raises(BadMessage) as caught:
        decode("json", IN_UTC, [*good, '{"at": "2026-13-31T12:00:00Z"}', *good])
    assert caught.value.index == 5


FORMS = [
    "%Y-%m-%d %H:%M:%S%.6f",
    "%Y/%m/%dT%H:%M:%S%.9f",
    "%Y-%m-%dT%H:%M:%S%.6fZ",
    "%Y-%m-%dT%H:%M:%S%.6f+00:00",
]


@given(st.lists(st.tuples(st.datetimes() | st.none(), st.sampled_from(FORMS)), min_size=1, max_size=20))
def test_any_times_in_any_forms_are_those_that_were_written(some: list[Any]) -> None:
    texts = pl.Series(
        [None if at is None else pl.Series([at], dtype=US).dt.to_string(form)[0] for at, form in some],
        dtype=pl.String,
    )
    assert read_times(texts, US).to_list() == [at for at, _ in some]


@given(st.lists(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)), min_size=1))
def test_nanoseconds_hold_the_time_or_nothing(times: list[datetime]) -> None:
    texts = pl.Series([time.isoformat() for time in times])
    reached = [datetime(1677, 9, 22) < time < datetime(2262, 4, 11) for time in times]
    found = read_times(texts, NS)
    assert [time is not None for time in found.to_list()] == reached or any(
        abs(time.year - 1677) <= 1 or abs(time.year - 2262) <= 1 for time in times
    )
    assert all(value in (None, time) for value, time in zip(found.cast(US).to_list(), times, strict=True))


@given(
    st.lists(
        st.datetimes(timezones=st.integers(-720, 720).map(lambda m: timezone(timedelta(minutes=m)))),
        min_size=1,
    )
)
def test_any_offsets_give_the_same_moments(times: list[datetime]) -> None:
    kept = [time for time in times if 1 < time.year < 9999]
    found = read_times(pl.Series([time.isoformat() for time in kept], dtype=pl.String), IN_UTC)
    assert found.to_list() == kept
