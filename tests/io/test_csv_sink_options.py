"""Options of CSV sinks: what is written is read back under the same names."""

from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import ArrowstreamError, JobError, PlanError, SchemaError
from arrowstream.jobs.assignments import Assignment
from arrowstream.jobs.job import Job

ROWS = pl.DataFrame(
    {"x": [1.5, None, -0.25], "t": ["a;b", None, ""], "n": [1, 2, None], "q": ["it's", '5"', "\n"]}
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(rows: pl.DataFrame, path: str, **options: Any) -> None:
    Pipeline.builder().source(Source.from_frame(rows)).sink(Sink.to_file(path, **options)).build().run_sync()


def read(path: str, **options: Any) -> pl.DataFrame:
    return Pipeline.builder().source(Source.from_file(path, **options)).collect_sync()


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.floats(allow_nan=False, width=64),
            st.none() | st.text("a;|,'\"\t\n#é ", max_size=4),
            st.none() | st.booleans(),
        ),
        max_size=6,
    ),
    delimiter=st.sampled_from([None, ";", "|", "\t"]),
    quote_char=st.sampled_from(['"', "'"]),
    has_header=st.booleans(),
    null_values=st.sampled_from([None, "NA", "\\N"]),
    decimal_comma=st.booleans(),
    style=st.sampled_from(["necessary", "always", "non_numeric"]),
    path=st.sampled_from(["a.csv", "a.tsv.gz", "parts/"]),
)
def test_rows_are_read_back_under_the_same_options(
    rows: list[Any], style: str, path: str, tmp_path: Path, **options: Any
) -> None:
    if options["decimal_comma"] and options["delimiter"] is None:
        options["delimiter"] = ";"
    frame = pl.DataFrame(rows, {"x": pl.Float64, "t": pl.String, "b": pl.Boolean}, orient="row")
    if style == "always" and options["null_values"] is None:
        frame = frame.with_columns(pl.col("t").fill_null(""))
    folder = {"format": "csv", "mode": "overwrite"} if path == "parts/" else {}
    write(frame, path, quote_style=style, **folder, **options)
    format = {"format": "csv"} if folder else {}
    if not frame.height and not options["has_header"]:
        return  # a file of no bytes
    assert_frame_equal(read(path, schema=frame.schema, **format, **options), frame)


def test_the_bytes_are_those_of_the_options() -> None:
    options = {"delimiter": ";", "quote_char": "'", "null_values": "NA", "decimal_comma": True}
    write(ROWS, "a.csv", has_header=False, **options)
    assert Path("a.csv").read_text() == "1,5;'a;b';1;'it''s'\nNA;NA;2;5\"\n-0,25;'';NA;'\n'\n"
    write(ROWS.select("t", "n"), "b.csv", quote_style="non_numeric")
    assert Path("b.csv").read_text() == '"t","n"\n"a;b",1\n,2\n"",\n'
    times = pl.DataFrame(
        {"d": [date(2013, 1, 2)], "m": [datetime(2013, 1, 2, 3)], "t": [time(4, 5)], "f": [2 / 3]}
    )
    formats = {"date_format": "%d.%m.%Y", "datetime_format": "%Y-%m-%d %H:%M", "time_format": "%H:%M"}
    write(times, "c.csv", float_precision=2, **formats)
    assert Path("c.csv").read_text() == "d,m,t,f\n02.01.2013,2013-01-02 03:00,04:05,0.67\n"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"delimiter": ";;"}, "cannot be a delimiter"),
        ({"delimiter": "."}, "numbers and times contain it"),
        ({"delimiter": "e"}, "numbers and times contain it"),
        ({"quote_char": ""}, "cannot be a quote_char"),
        ({"quote_char": None}, "quotes where fields need them"),
        ({"delimiter": "'", "quote_char": "'"}, "cannot be a delimiter"),
        ({"null_values": ["NA"]}, "one text"),
        ({"null_values": "a,b"}, "would end a field"),
        ({"null_values": "a\n"}, "would end a field"),
        ({"quote_style": "never"}, "no choice 'never'"),
        ({"float_precision": -1}, "float_precision"),
        ({"date_format": "%Q"}, "no date_format"),
        ({"date_format": ""}, "no date_format"),
        ({"datetime_format": 3}, "no datetime_format"),
        ({"datetime_format": "%Y%Q"}, "no datetime_format"),
        ({"time_format": "%H,%M"}, "would end a field"),
        ({"date_format": "%e.%m.%Y", "delimiter": " "}, "would end a field"),
        ({"has_header": 1}, "has_header"),
        ({"decimal_comma": True, "delimiter": ","}, "between fields"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(ArrowstreamError) as raised:
        Sink.to_file("a.csv", **options)
    assert what in str(raised.value)


def test_options_that_do_not_fit_to_the_file_are_refused() -> None:
    for path, options, what in [
        ("a.parquet", {"delimiter": ";"}, "delimiter is for CSV files"),
        (
            "a.ndjson",
            {"has_header": False, "null_values": "-"},
            "has_header and null_values are for CSV files",
        ),
        ("a.csv", {"decimal_comma": True}, "a comma cannot be in numbers and between fields"),
        ("a.csv", {"date_format": "%b %d, %Y", "delimiter": None}, "would end a field"),
        ("a.tsv", {"datetime_format": "%d\t%m"}, "would end a field"),
    ]:
        with pytest.raises(PlanError, match=what):
            write(ROWS, path, **options)
    write(ROWS.select("x"), "a.tsv", decimal_comma=True)
    assert Path("a.tsv").read_text() == "x\n1,5\n\n-0,25\n"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_formats_that_show_the_zone_are_for_times_in_a_zone(zone: str) -> None:
    rows = pl.DataFrame({"t": [datetime(2013, 7, 1, 12), None]}).with_columns(
        pl.col("t").dt.replace_time_zone(zone)
    )
    for format in ("%Y-%m-%dT%H:%M:%S%z", "%d.%m.%Y %H:%M %Z", "%+"):
        write(rows, "a.csv", datetime_format=format, mode="overwrite")
        shown = rows["t"].dt.to_string(format)[0]
        assert Path("a.csv").read_text() == f"t\n{shown}\n\n"
        with pytest.raises(SchemaError, match="shows the zone, and column 't' has none"):
            write(rows.with_columns(pl.col("t").dt.replace_time_zone(None)), "b.csv", datetime_format=format)


@pytest.mark.parametrize("target", ["a.csv", "parts/"])
def test_rows_are_appended_only_to_files_of_the_same_layout(target: str) -> None:
    rows = pl.DataFrame({"a": [1], "b": [2]})
    options = {"format": "csv", "mode": "append"}
    write(rows, target, delimiter=";", **options)
    write(rows, target, delimiter=";", quote_style="always", **options)
    found = read(target, format="csv", delimiter=";")
    assert found.rows() == [(1, 2), (1, 2)]
    for wrong, what in [
        ({}, "';' between its fields"),
        ({"delimiter": "|"}, "';' between its fields"),
    ]:
        with pytest.raises(SchemaError, match=what):
            write(rows, target, **wrong, **options)
    with pytest.raises(SchemaError, match="none of these columns, or no header"):
        write(rows.rename({"a": "x", "b": "y"}), target, delimiter=";", **options)
    with pytest.raises(SchemaError, match="no column 'c'"):
        write(rows.rename({"b": "c"}), target, delimiter=";", **options)
    with pytest.raises(SchemaError, match="another number of columns"):
        write(rows.select("a"), target, delimiter=";", has_header=False, **options)
    assert read(target, format="csv", delimiter=";").equals(found)


@pytest.mark.parametrize("target", ["a.csv", "parts/"])
def test_files_without_a_header_are_appended_to_by_number_of_columns(target: str) -> None:
    options = {"format": "csv", "mode": "append", "has_header": False}
    write(pl.DataFrame(schema={"a": pl.Int64, "b": pl.Int64}), target, **options)
    for value in (1, 2):
        write(pl.DataFrame({"a": [value], "b": [value]}), target, **options)
    schema = {"a": pl.Int64, "b": pl.Int64}
    assert read(target, format="csv", has_header=False, schema=schema).sort("a").rows() == [(1, 1), (2, 2)]
    with pytest.raises(SchemaError, match="another number of columns"):
        write(pl.DataFrame({"a": [3]}), target, **options)
    with pytest.raises(SchemaError, match="',' between its fields"):
        write(pl.DataFrame({"a": [3], "b": [3]}), target, delimiter="|", **options)
    with pytest.raises(SchemaError, match="none of these columns, or no header"):
        write(pl.DataFrame({"a": [3], "b": [3]}), target, format="csv", mode="append")


def test_rows_are_appended_after_blank_lines(here: Path) -> None:
    rows = pl.DataFrame({"a": [1], "b": [2]})
    Path("a.csv").write_text("\n\r\na,b\n5,6\n")
    write(rows, "a.csv", mode="append")
    assert read("a.csv").rows() == [(5, 6), (1, 2)]
    nulls = pl.DataFrame({"a": [None, None]}, schema={"a": pl.Int64})
    for _ in range(2):
        write(nulls, "b.csv", mode="append", has_header=False)
    assert read("b.csv", has_header=False, schema={"a": pl.Int64})["a"].to_list() == [None] * 4
    Path("c.csv").write_text("\n\n")
    with pytest.raises(SchemaError, match=r"c.csv has only blank lines"):
        write(rows, "c.csv", mode="append")
    assert Path("c.csv").read_text() == "\n\n"


def test_a_name_with_a_space_is_no_other_delimiter() -> None:
    write(pl.DataFrame({"a, b": [1]}), "a.csv")
    with pytest.raises(SchemaError, match="no column 'x'"):
        write(pl.DataFrame({"x": [1], "y": [2]}), "a.csv", mode="append")


def test_each_part_file_and_each_piece_of_a_stream_has_the_layout(here: Path) -> None:
    rows = pl.DataFrame({"k": [1, 1, 2], "x": [1.5, 2.5, 3.5]})
    layout = {"delimiter": ";", "decimal_comma": True, "has_header": False}
    write(rows, "parts", partition_by="k", format="csv", max_rows_per_file=1, **layout)
    assert sorted(file.read_text() for file in here.glob("parts/*/*.csv")) == ["1,5\n", "2,5\n", "3,5\n"]
    writer = Sink.to_file("a.csv", compression=None, sort_by="x", **layout)
    Pipeline.builder().source(Source.from_frame([rows[2:], rows[:2]])).sink(writer).build().run_sync()
    assert Path("a.csv").read_text() == "1;1,5\n1;2,5\n2;3,5\n"


def test_jobs_have_the_same_options() -> None:
    ROWS.write_parquet("in.parquet")
    Path("job.toml").write_text(
        '[source]\nkind = "file"\npath = "in.parquet"\n[sink]\nkind = "file"\npath = "out.csv"\ndelimiter = ";"\n'
        'has_header = false\nnull_values = "NA"\ndecimal_comma = true\nquote_char = "\'"\nquote_style = "necessary"\n'
        'float_precision = 3\ndate_format = "%d.%m.%Y"\n'
    )
    Job.load("job.toml").pipeline().run_sync()
    assert Path("out.csv").read_text().splitlines()[:2] == ["1,500;'a;b';1;'it''s'", 'NA;NA;2;5"']
    with pytest.raises(JobError, match="quote_style"):
        Job.load("job.toml", assignments=[Assignment.written("sink.quote_style=never")]).pipeline()
