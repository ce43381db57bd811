"""Sheets of Excel files as sources."""

import datetime as dt
import sys

import polars as pl
import pytest
import xlsxwriter
from contexts import context
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import JobError, MissingExtra, PlanError, SourceError, StageError
from arrowstream.io.files.source import FileSource
from arrowstream.jobs.job import Job

PRICES = pl.DataFrame(
    {
        "item": ["tea", None, "milk"],
        "price": [1, 2, 3],
        "weight": [0.5, 1.0, None],
        "day": [dt.date(2020, 1, 1), None, dt.date(1999, 12, 31)],
        "sold": [True, False, None],
    }
)
OTHERS = pl.DataFrame({"n": list(range(1500)), "late": [None] * 1499 + ["x"]})


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.xlsx"
    with xlsxwriter.Workbook(path) as book:
        PRICES.write_excel(book, "Prices")
        OTHERS.write_excel(book, "Others")
        book.add_worksheet("7")
    return path


def read(path, **options):
    return Pipeline.builder().source(Source.from_file(path, **options)).collect_sync()


def test_sheets_by_name_and_number(book):
    assert_frame_equal(read(book), PRICES)
    for sheet in ("Prices", 1):
        assert_frame_equal(read(book, sheet=sheet), PRICES)
    for sheet in ("Others", 2):
        # The type of a column comes from all its rows.
        assert_frame_equal(read(book, sheet=sheet), OTHERS)


def test_a_sheet_that_is_not_there_or_is_empty(book):
    for sheet in ("price", 4, 0):
        with pytest.raises(SourceError, match=f"has no sheet {sheet!r}") as error:
            Source.from_file(book, sheet=sheet).schema()
        assert error.value.expected == "one of 'Prices', 'Others', '7', or a number from 1 to 3"
        assert error.value.hint == ("did you mean 'Prices'?" if sheet == "price" else None)
    with pytest.raises(SourceError, match=r"sheet '7' of .* is empty"):
        Source.from_file(book, sheet="7").schema()
    with pytest.raises(PlanError, match="only EXCEL files have sheet"):
        (book.parent / "x.csv").write_text("a\n1\n")
        Source.from_file(book.parent / "x.csv", sheet=1).schema()


def test_cells_of_every_kind(tmp_path):
    path = tmp_path / "x.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        for row, values in enumerate(
            [[None], ["a", "mixed", "formula"], [1, 2, "=1/0"], [], [3, "x", "=3+4"]]
        ):
            for column, value in enumerate(values):
                if isinstance(value, str) and value.startswith("="):
                    sheet.write_formula(row, column, value, value="#DIV/0!" if "/" in value else 7)
                elif value is not None:
                    sheet.write(row, column, value)
    assert read(path).to_dict(as_series=False) == {"a": [1, 3], "mixed": ["2", "x"], "formula": [None, 7]}
    assert read(path, schema={"a": pl.String})["a"].to_list() == ["1", "3"]


def test_a_column_of_texts_has_every_text_and_number_as_it_is_in_the_sheet(tmp_path):
    path = tmp_path / "x.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        values = ["mixed", "NA", "n/a", "null", "1.50", "x", -2.5e-7, 1e20, 3, True, 1 / 3, "0"]
        for row, value in enumerate(values):
            (sheet.write_string if isinstance(value, str) else sheet.write)(row, 0, value)
            sheet.write(row, 1, "n" if not row else "NA" if row == 1 else row)
    found = read(path)
    texts = ["NA", "n/a", "null", "1.50", "x", "-0.00000025", "100000000000000000000", "3", "true"]
    assert found["mixed"].to_list() == [*texts, "0.3333333333333333", "0"]
    assert found["n"].to_list() == [None, *range(2, 12)]


def test_names_and_values_that_are_not_as_in_the_sheet(tmp_path):
    """A name that is there twice, or not at all; and what is rounded."""
    path = tmp_path / "x.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet, time = book.add_worksheet(), book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
        sheet.write_row(0, 0, ["a", "a_1", "a", None, "third", "mixed", "moment", "hour"])
        sheet.write_row(1, 0, [1, 2.0, 3.5, 4, 1 / 3, 1e-10])
        sheet.write_row(2, 0, [1, 2.0, 3.5, 4, 0.1 + 0.2, 2 / 3])
        sheet.write(3, 5, "x")
        for row, moment in enumerate((dt.datetime(2020, 1, 2, 3, 4, 5, 123_456), dt.datetime(2020, 1, 2)), 1):
            sheet.write_datetime(row, 6, moment, time)
            sheet.write_datetime(row, 7, moment.time(), time)
    found = read(path)
    assert found.to_dict(as_series=False) == {
        "a": [1, 1, None],
        "a_1": [2, 2, None],
        "a_2": [3.5, 3.5, None],
        "__UNNAMED__3": [4, 4, None],
        "third": [pytest.approx(1 / 3, abs=1e-15), pytest.approx(0.3, abs=1e-15), None],
        "mixed": ["1e-10", "0.6666666666666666", "x"],
        "moment": [dt.datetime(2020, 1, 2, 3, 4, 5, 123_000), dt.datetime(2020, 1, 2), None],
        "hour": [dt.datetime(1899, 12, 31, 3, 4, 5, 123_000), dt.datetime(1899, 12, 31), None],
    }
    types = [pl.Int64, pl.Int64, pl.Float64, pl.Int64, pl.Float64, pl.String]
    assert found.dtypes == [*types, pl.Datetime("ms"), pl.Datetime("ms")]


def test_filters_and_failing_steps(book):
    rows = Pipeline.builder().source(Source.from_file(book))
    assert rows.filter(pl.col("price") > 1).select("price").collect_sync()["price"].to_list() == [2, 3]
    with pytest.raises(StageError, match="first steps") as error:
        rows.select(pl.col("item").cast(pl.Int64)).collect_sync()
    assert f"{book} rows 0-3" in str(error.value)
    report = rows.sink(Sink.to_fn(len)).build().run_sync()
    assert report.rows_in == 3
    reader = FileSource.of(book).open(context(), None)
    assert reader.total_rows is None
    reader.close()


def test_several_books_and_a_folder(book):
    with xlsxwriter.Workbook(book.parent / "second.xlsx") as second:
        PRICES.write_excel(second, "Prices")
    rows = read(book.parent, include_file_paths="path")
    assert_frame_equal(rows.drop("path"), pl.concat([PRICES, PRICES]))
    assert rows["path"].unique().sort().to_list() == [str(book), str(book.parent / "second.xlsx")]


def test_damaged_books(tmp_path, book):
    whole = book.read_bytes()
    for content in (b"", b"hello", whole[:-300], whole[:2000], whole[:-200] + b"\0" * 200):
        path = tmp_path / "bad.xlsx"
        path.write_bytes(content)
        with pytest.raises(SourceError, match="cannot be read as an Excel file") as error:
            Source.from_file(path).schema()
        assert error.value.found and (bool(content) or error.value.found == "an empty file")


def test_a_sheet_that_is_damaged(tmp_path, book, monkeypatch):
    def failing(*_, **__):
        raise ValueError("a cell of nowhere")

    monkeypatch.setattr(pl, "read_excel", failing)
    with pytest.raises(SourceError, match="cannot be read as an Excel file") as error:
        Source.from_file(book).schema()
    assert error.value.found == "a cell of nowhere"


def test_excel_is_not_written_and_needs_its_extra(book, monkeypatch):
    with pytest.raises(PlanError, match="excel files are only read") as error:
        Pipeline.builder().source(Source.from_frame(PRICES)).sink(Sink.to_file(book)).build()
    assert "CSV" in error.value.hint
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(MissingExtra, match="needs the extra 'excel'") as missing:
        Source.from_file(book).schema()
    assert missing.value.hint == "pip install 'arrowstream[excel]'"


def test_a_job_names_a_sheet(book, tmp_path):
    job = tmp_path / "job.toml"
    text = f'[source]\nkind = "file"\npath = "{book}"\nsheet = SHEET\n'
    text += f'[sink]\nkind = "file"\npath = "{tmp_path}/out.csv"\n'
    for sheet in ("2", '"Others"'):
        job.write_text(text.replace("SHEET", sheet))
        Job.load(job).pipeline().run_sync()
        assert pl.read_csv(tmp_path / "out.csv").height == 1500
    job.write_text(text.replace("SHEET", "0"))
    with pytest.raises(JobError):
        Job.load(job)
