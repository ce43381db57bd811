"""Every record of CSV has one field for each column, whichever columns a query needs."""

import csv
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from effort import examples
from hypothesis import HealthCheck, example, given, settings

from arrowstream import Pipeline, Source
from arrowstream.errors import SourceError
from arrowstream.io.files.text.bad import sift
from arrowstream.io.files.text.csv_format import Csv
from arrowstream.io.files.text.csv_rows import CsvRows
from arrowstream.io.files.text.record_errors import RaggedRecord

FIELDS = ["", "1", "x", '"q"', '"a,b"', '"a\nb"', '""']


def read(path: Any, *columns: str, **options: Any) -> pl.DataFrame:
    rows = Pipeline.builder().source(Source.from_file(path, **options))
    return (rows.select(*columns) if columns else rows).collect_sync()


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4), min_size=1, max_size=6),
    plain=st.booleans(),
    ended=st.booleans(),
    columns=st.sets(st.sampled_from("abc")),
    counted=st.booleans(),
)
@example([["1", "1", "1"], ["1", "1"], ["1", "1", "1", "1"]], True, True, {"a"}, True)
@example([["1", "1", ""], ["1", "1"], ["1", "1", "1", "1"]], True, True, {"c"}, False)
@example([["1", "1", "1"], ["1", "1", "1", ""]], True, False, {"a", "b", "c"}, False)
@example([['"q"', "1", ""], ["1", "1"]], False, True, {"b"}, False)
def test_rows_are_those_of_the_csv_module_or_the_first_uneven_record_is_found(
    records: list[list[str]], plain: bool, ended: bool, columns: set[str], counted: bool
) -> None:
    if plain:
        records = [
            [field.strip('"').replace(",", "").replace("\n", "") for field in record] for record in records
        ]
    block = "\n".join(",".join(record) for record in records).encode() + b"\n" * ended
    # A line without anything is a row of nulls; without a line end it is none.
    expected = [row or ["", "", ""] for row in csv.reader(block.decode().splitlines(keepends=True))]
    uneven = next((number for number, row in enumerate(expected) if len(row) != 3), None)
    rows = CsvRows(Csv(names=("a", "b", "c")), pl.Schema({"b": pl.String}), columns)
    for _ in range(2):  # the first block may change how the next ones are read
        try:
            found = rows.read(block, block.count(b"\n") if counted else None)
        except RaggedRecord as error:
            assert error.uneven.record == uneven
        else:
            assert uneven is None
            kept = [tuple(row["abc".index(name)] or "" for name in sorted(columns)) for row in expected]
            if columns:
                assert found.columns == sorted(columns)
                assert [tuple(value or "" for value in row) for row in found.rows()] == kept
            assert found.height == len(expected)


@pytest.mark.untraced
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("columns", [("b",), ("c",), ("a", "c"), ()])
def test_a_longer_record_does_not_make_up_for_a_shorter_one(
    quote: str, columns: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"a,b,c\n1,2,{quote}3{quote}\n4,5\n6,7,8,9\n")
    for path in (file, [file, file, file]):  # the others are read together
        with pytest.raises(
            SourceError, match=r"row 2 \(line 3\) of .* has fewer fields than there are columns"
        ):
            read(path, *columns)
    assert read(file, "a", bad_rows="skip")["a"].to_list() == [1]
    (tmp_path / "good.csv").write_text("a,b,c\n1,2,3\n")
    with pytest.raises(SourceError, match=r"row 2 \(line 3\) of .*a.csv has fewer fields"):
        read([tmp_path / "good.csv", file, file], *columns)


def test_only_needed_columns_have_to_be_readable(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    schema = {"a": pl.Int64, "b": pl.Int64, "c": pl.Int64}
    for text in (b"a,b,c\n1,2,x\n", b'a,b,c\n"1",2,x\n'):
        file.write_bytes(text)
        assert read(file, "a", schema=schema)["a"].to_list() == [1]
        with pytest.raises(SourceError, match=r"row 1 \(line 2\)"):
            read(file, "a", "c", schema=schema)


def test_types_are_not_inferred_where_all_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.csv"
    file.write_text("b,a\nx,1\ny,2\n")

    def fail(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(Csv, "infer", fail)
    for options in ({}, {"bad_rows": "skip"}):
        rows = Pipeline.builder().source(Source.from_file(file, schema={"a": int, "b": str}, **options))
        assert list(rows.schema().items()) == [("b", pl.String), ("a", pl.Int64)]
        assert rows.collect_sync().rows() == [("x", 1), ("y", 2)]
    with pytest.raises(AssertionError):
        read(file, schema={"a": int})


def test_good_rows_need_no_search_for_bad_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError

    for name in ("broken", "sifted_ndjson", "sifted_csv", "lines_of"):
        monkeypatch.setattr(sift, name, fail)
    (tmp_path / "a.ndjson").write_text('{"a": 1, "b": "x"}\n{"b": "5"}\n\n{"a": null}\n')
    found = read(tmp_path / "a.ndjson", bad_rows="skip", schema={"b": pl.String})
    assert found.rows() == [(1, "x"), (None, "5"), (None, None)]
    (tmp_path / "a.csv").write_text('a,b\n1,"x\n,"\n2,\n')
    assert read(tmp_path / "a.csv", bad_rows="skip").rows() == [(1, "x\n,"), (2, None)]
