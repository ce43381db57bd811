"""Rows of CSV and NDJSON that cannot be read are put aside, and their neighbours are kept exactly."""

import csv
import gzip
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from effort import examples
from hypothesis import HealthCheck, example, given, settings

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.errors import ArrowstreamError, PlanError, SinkError, SourceError
from arrowstream.io.files.text.bad import sift_ndjson
from arrowstream.io.files.text.bad.sift_ndjson import broken, lines_of, sifted_ndjson
from arrowstream.io.files.text.bad.sound_records import sound_records
from arrowstream.io.files.text.csv_format import Csv
from arrowstream.io.files.text.ndjson_format import Ndjson
from arrowstream.io.files.text.ndjson_rows import NdjsonRows
from arrowstream.io.sink import SinkSpec
from arrowstream.jobs.job import Job
from arrowstream.runtime.report import RunReport

Bad = list[tuple[int, int, str]]
"""Row, line and text of each bad row."""


def into(frames: list[pl.DataFrame]) -> SinkSpec:
    return Sink.to_fn(lambda rows: frames.append(pl.DataFrame(rows)))


def read(path: Any, schema: Any = None, **options: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the good rows, and the bad ones."""
    good: list[pl.DataFrame] = []
    bad: list[pl.DataFrame] = []
    source = Source.from_file(path, schema=schema, bad_rows=into(bad), **options)
    pipeline = Pipeline.builder().source(source).sink(into(good)).build()
    report = pipeline.run_sync()
    columns = {"file": pl.String, "row": pl.Int64, "line": pl.Int64, "error": pl.String, "text": pl.String}
    found = pl.concat([pl.DataFrame(schema=columns), *bad])
    assert report.lost_rows == 0 and report.rows_in == report.rows_out + found.height
    return pl.concat([pl.DataFrame(schema=source.schema()), *good]), found


def places(bad: pl.DataFrame) -> Bad:
    return bad.select("row", "line", "text").rows()


def by_the_csv_module(text: str, width: int, fits: Callable[[list[str]], bool]) -> tuple[list[Any], Bad]:
    """Records of the csv module; where it refuses one, its first line is bad and the next line begins another."""
    lines = text.split("\n")
    lines = [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    good: list[Any] = []
    bad: Bad = []
    at = row = 0
    while at < len(lines):
        row += 1
        reader = csv.reader(iter(lines[at:]), strict=True)
        try:
            fields = next(reader) or [""] * width
        except csv.Error:
            bad.append((row, at + 2, lines[at].rstrip("\r\n")))
            at += 1
            continue
        taken = "".join(lines[at : at + reader.line_num])
        if len(fields) == width and fits(fields):
            good.append(tuple(fields))
        else:
            bad.append((row, at + 2, taken.rstrip("\r\n")))
        at += reader.line_num
    return good, bad


def csv_texts() -> st.SearchStrategy[str]:
    tokens = ['"', ",", "\n", "a", "1", "\r\n", '""', '","', '"\n"', "1,b\n", '2,"x"\n', "é"]
    return st.lists(st.sampled_from(tokens), max_size=16).map("".join)


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=csv_texts(), block=st.integers(1, 9) | st.just(1 << 20), window=st.integers(1, 9))
@example(text='1,"open\n2,x\n3,"y"z\n4,"q"\n5\n', block=1 << 20, window=1)
@example(text='1,a\n2,"two\nlines"\n3,"x\n', block=3, window=4)
@example(text='1,"a"b,"\n1,x\n', block=4, window=2)
def test_good_and_bad_rows_of_csv_are_those_of_the_csv_module(
    text: str, block: int, window: int, tmp_path: Path
) -> None:
    file = tmp_path / "any.csv"
    file.write_bytes(f"x,y\n{text}".encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        patch.setattr("arrowstream.io.files.text.bad.sound_records._WINDOW", window)
        good, bad = read(file, {"x": pl.Int64, "y": pl.String})
    rows, refused = by_the_csv_module(text, 2, lambda fields: fields[0] in ("", *_digits(fields[0])))
    expected = [(int(x) if x else None, y) for x, y in rows]
    assert [(x, y or "") for x, y in good.rows()] == expected
    assert places(bad) == refused


def _digits(field: str) -> tuple[str, ...]:
    return (field,) if field.isascii() and field.isdigit() else ()


def ndjson_lines() -> st.SearchStrategy[list[bytes]]:
    values = ["1", "null", '"t"', "1.5", "[1]", '{"q": 2}', '{"q": "z"}', "tru", '"\\ud800"', "NaN", "true"]
    pair = st.tuples(st.sampled_from("aso"), st.sampled_from(values)).map(lambda at: f'"{at[0]}": {at[1]}')
    objects = st.lists(pair, max_size=3).map(lambda pairs: f"{{{', '.join(pairs)}}}".encode())
    others = [b"", b"  ", b"5", b"null", b"[]", b'{"a": 1', b'{"a": 1} {"a": 2}', b'{"s": "\xff"}', b"\x0c"]
    return st.lists(objects | st.sampled_from(others), max_size=8)


NDJSON_SCHEMA = pl.Schema({"a": pl.Int64(), "s": pl.String(), "o": pl.Struct({"q": pl.Int64()})})


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=ndjson_lines(), block=st.integers(1, 40) | st.just(1 << 20), ended=st.booleans())
@example(lines=[b'{"a": 1, "a": "x"}', b'{"a": null, "a": 1}', b'{"a": "x", "a": 1}'], block=99, ended=True)
@example(lines=[b'{"o": {"q": 1}}', b'{"o": 5}', b'{"o": {"q": "z"}}'], block=1 << 20, ended=False)
def test_a_line_of_ndjson_is_bad_if_it_cannot_be_read_alone(
    lines: list[bytes], block: int, ended: bool, tmp_path: Path
) -> None:
    file = tmp_path / "any.ndjson"
    file.write_bytes(b"\n".join(lines) + (b"\n" if ended else b""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        good, bad = read(file, NDJSON_SCHEMA)
    kept: list[pl.DataFrame] = []
    refused: Bad = []
    row = 0
    for number, line in enumerate(lines, 1):
        (tmp_path / "one.ndjson").write_bytes(line)
        try:
            source = Source.from_file(tmp_path / "one.ndjson", schema=NDJSON_SCHEMA)
            kept.append(Pipeline.builder().source(source).collect_sync())
            row += kept[-1].height  # a line may hold several objects
        except SourceError:
            row += 1
            refused.append((row, number, line.decode("utf-8", "backslashreplace")))
    assert places(bad) == refused
    names = NDJSON_SCHEMA.names()
    alone = pl.concat([pl.DataFrame(schema=NDJSON_SCHEMA), *(frame.select(names) for frame in kept)])
    assert good.select(names).rows() == alone.rows()


@settings(max_examples=examples(40))
@given(line=st.text('{}[]",:\\u0019eE+-.naN \t', max_size=12).map(lambda text: f'{{"a": {text}}}'.encode()))
def test_what_polars_reads_is_json_to_python(line: bytes) -> None:
    """A good line is never put aside because another line of its block is broken."""
    try:
        Ndjson().scan(Ndjson().checked(line), pl.Schema({"a": pl.String()})).collect()
    except Exception:
        return
    assert not broken([line])


def test_each_error_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(
        b'n,d,s\n1,2024-01-02,x\nz,,\n3\n4,,"q"r\n5,,"open\n6,,\xff\n7,,a\rb\n\n8,tomorrow,\n9,,ok\n'
    )
    good, bad = read(file, {"n": pl.Int64, "d": pl.Date})
    assert good["n"].to_list() == [1, None, 9]
    assert bad.drop("file").rows() == [
        (2, 3, "column 'n': 'z' is no Int64", "z,,"),
        (3, 4, "1 field, where 3 are expected", "3"),
        (4, 5, "text after a closing quote", '4,,"q"r'),
        (5, 6, "a quote that is opened and never closed", '5,,"open'),
        (6, 7, "invalid UTF-8", "6,,\\xff"),
        (7, 8, "a carriage return that ends no line", "7,,a\rb"),
        (9, 10, "column 'd': 'tomorrow' is no Date", "8,tomorrow,"),
    ]
    assert bad["file"].unique().to_list() == [str(file)]

    file = tmp_path / "a.ndjson"
    file.write_bytes(
        b'{"a": 1}\n{"a": "x"}\n{"a":\n\n5\n{"s": "\xff"}\n'
        b'{"o": [1]}\n{"o": {"q": "z"}}\n{"s": "\\ud800"}\n{"a": NaN}\n'
    )
    good, bad = read(file, NDJSON_SCHEMA)
    assert good["a"].to_list() == [1]
    assert bad.drop("file", "text").rows() == [
        (2, 2, "column 'a': \"x\" is no Int64"),
        (3, 3, "no JSON: Expecting value: line 1 column 6 (char 5)"),
        (4, 5, "no object"),
        (5, 6, "invalid UTF-8: invalid start byte at byte 7"),
        (6, 7, "column 'o': [1] is no Struct({'q': Int64})"),
        (7, 8, "column 'o': {\"q\": \"z\"} is no Struct({'q': Int64})"),
        (8, 9, "lone surrogate"),
        (9, 10, "no JSON: NaN is no number: line 1 column 1 (char 0)"),
    ]


def test_values_inside_of_columns_and_limits_of_python(tmp_path: Path) -> None:
    lines = [
        '{"l": [1]}',
        '{"l": 5}',
        '{"l": [1, "z"]}',
        '{"n": 1e999}',
        f'{{"n": {"1" * 5000}}}',
        '{"l": [null]}',
    ]
    file = tmp_path / "a.ndjson"
    file.write_text("\n".join(lines))
    good, bad = read(file, {"l": pl.List(pl.Int64), "n": pl.Float64})
    assert good["l"].to_list() == [[1], [None]]
    assert bad["text"].to_list() == lines[1:5]


def test_of_types_without_a_common_one_the_first_is_inferred(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text(
        '{"a": 1, "o": {"x": 1}}\n{"a": 1.5, "o": [1]}\n{"n": 1e999}\n{"o": {"y": "t"}}\n{"\\ud800": 1}\n'
    )
    good, bad = read(file)
    assert good.schema["o"] == pl.Struct({"x": pl.Int64, "y": pl.String})
    assert good.schema["a"] == pl.Float64
    assert [row for row, *_ in places(bad)] == [2, 3, 5]


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("bad", "schema"),
    [
        ('{"a": "\\ud800"}', {"a": pl.Int64}),
        ('{"b": "\\ud800"}', {"a": pl.Int64}),
        ('{"b": {"\\udc00": 1}}', {"a": pl.Int64}),
        ('{"a": 1.5, "c": ["\\ud83d"]}', {"a": pl.Int64}),
        ('{"a": 1.5, "c": ["\\ud83d\\ude00"]}', {"a": pl.Float64, "c": pl.List(pl.String)}),
    ],
)
def test_half_of_a_surrogate_pair_makes_no_type_and_no_column(bad: str, schema: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    for lines in (['{"a": 1}', bad], [bad, '{"a": 1}'], ['{"a": 1}{}', bad]):
        file.write_text("\n".join([*lines, ""]))
        good, found = read(file)
        assert good.schema == schema
        assert found["text"].to_list() == ([] if "ude00" in bad else [bad])


NUMBERS = [
    "{}",
    '{"a":1,"a":2}',
    '{"a":1} {"a":4}',
    '{"a":12345678901234567890}',
    '{"a":1.10}',
    '{"a":-1E-400}',
    '{"a":1e200}',
    '{"l":["x",1.0]}',
    '{"z":1.0}',
    '{"z":"q"}',
    '{"o":{"a":true}}',
]
TOO_LARGE = [
    '{"b":"\\ud800"}',
    '{"a":1e400}',
    '{"l":[1e400]}',
    f'{{"a":{"1" * 400}}}',
    '{"o":{"a":1E+400}}',
    '{"z":1e400}',
]


def test_a_row_is_bad_or_good_whatever_rows_are_before_it(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    schema = {"a": pl.String, "b": pl.String, "l": pl.List(pl.String), "o": pl.Struct({"a": pl.String})}
    file.write_text("\n".join([*NUMBERS[:3], '{"a":1e400}', '{"a":12345678901234567890}', '{"b":"\\ud800"}']))
    good, bad = read(file, {"a": pl.String})
    assert good["a"].to_list() == [None, "1", "1", "4", "12345678901234567890"]
    assert places(bad) == [(5, 4, '{"a":1e400}'), (7, 6, '{"b":"\\ud800"}')]

    def rows_of(*lines: str) -> list[Any]:
        parser = NdjsonRows(pl.Schema(schema))
        with suppress(pl.exceptions.PolarsError):
            parser.read(b'{"a":1}\n')  # from now on it expects numbers in text columns
        apart = Ndjson().apart("\n".join([*lines, ""]).encode())
        block = "\n".join([*lines, ""]).encode() if apart is None else apart.data
        rows, _, _ = sifted_ndjson(
            lines_of(block), pl.Schema(schema), lambda part: checked_rows(parser, part)
        )
        return rows.rows()

    alone = {line: rows_of(line) for line in NUMBERS}
    assert all(rows_of(line) == [] for line in TOO_LARGE)
    for line in NUMBERS:
        for bad_line in TOO_LARGE:
            expected = [*alone[NUMBERS[1]], *alone[line], *alone[NUMBERS[3]]]
            assert rows_of(NUMBERS[1], line, bad_line, NUMBERS[3]) == expected, (line, bad_line)


def checked_rows(parser: NdjsonRows, part: bytes) -> pl.DataFrame:
    return parser.read(Ndjson().checked(part))[0]


@pytest.mark.untraced
@pytest.mark.parametrize("value", ["2.0", '"1"', "1.50", '"\\u00e9"', '"é"', "[1,  2.0]", '{"q" : 1.0}'])
def test_the_error_of_a_row_has_the_value_as_it_is_written(value: str, tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text(f'{{"b": 1.0, "a": 1}}\n{{"b": 2.0, "a": {value}, "a": 7}}\n', encoding="utf-8")
    _, bad = read(file, {"a": pl.Int64})
    assert bad["error"].to_list() == [f"column 'a': {value} is no Int64"]


def test_values_of_several_formats_of_dates_are_each_read_alone(tmp_path: Path) -> None:
    """Which rows are bad does not depend on the first date of a block."""
    file = tmp_path / "a.csv"
    file.write_text("d,t\n2024/03/04,x\n05/06/2024,y\nnever,z\n2024-7-8,\n")
    good, bad = read(file, {"d": pl.Date})
    assert good["d"].dt.to_string().to_list() == ["2024-03-04", "2024-07-08"]
    assert places(bad) == [(2, 3, "05/06/2024,y"), (3, 4, "never,z")]


def test_types_are_inferred_without_bad_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'a,b\nonly\n"x"y,1\n1,2\n\xff,3\n')
    (tmp_path / "a.ndjson").write_bytes(b'{"a":\n{"a": 1}\n"x"\n')
    for name in ("a.csv", "a.ndjson"):
        good, _ = read(tmp_path / name)
        assert good.schema["a"] == pl.Int64 and good["a"].to_list() == [1]
    (tmp_path / "none.csv").write_text("a,b\n")
    assert read(tmp_path / "none.csv")[0].is_empty()


def test_a_flawed_header_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('a,"b\n1,2\n')
    with pytest.raises(SourceError, match="the header of"):
        read(file)


def test_a_row_is_bad_whatever_the_steps_need(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a,b\n1,2\n3,x\n")
    for paths in (file, [file] * 3):
        source = Source.from_file(paths, schema={"b": pl.Int64}, bad_rows="skip")
        frame = Pipeline.builder().source(source).select("a").collect_sync()
        assert set(frame["a"].to_list()) == {1}


def test_skipped_rows_are_counted_and_the_first_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a,b\n1,2\nx,3\ny,4\n")
    pipeline = Pipeline.builder().source(Source.from_file(file, schema={"a": pl.Int64}, bad_rows="skip"))
    pipeline = pipeline.sink(Sink.to_file(tmp_path / "out.parquet"))
    assert "bad rows are skipped" in pipeline.build().explain()
    report: RunReport = pipeline.build().run_sync()
    assert (report.rows_in, report.rows_out, report.lost_rows) == (3, 1, 2)
    assert f"2 rows left out as bad, first in row 2 (line 3) of {file}: column 'a': 'x' is no Int64" in str(
        report
    )


def test_values_of_late_keys_are_counted_among_good_rows_only(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text('{"a": 1}\n' * 10_000 + '{"a": \n{"a": 2, "late": 1}\n{"a": "x", "late": 1}\n')
    source = Source.from_file(file, schema={"a": pl.Int64}, bad_rows="skip")
    pipeline = Pipeline.builder().source(source).sink(Sink.to_fn(lambda frame: None)).build()
    report = pipeline.run_sync()
    assert report.lost_rows == 2
    assert "1 value left out" in str(report) and "(line 10002)" in str(report)


def test_an_unknown_key_is_a_bad_row_if_keys_are_strict(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text('{"a": 1}\n' * 10_000 + '{"a": 2, "late": 1}\n{"a": 3}\n')
    good, bad = read(file, strict_keys=True)
    assert good.height == 10_001
    assert bad["error"].to_list() == ["a key that is no column: 'late'"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zip"])
def test_bad_rows_of_many_small_and_packed_files_have_their_places(tmp_path: Path, suffix: str) -> None:
    texts = [b"a,b\n1,2\n", b"a,b\n3,4\n5\n6,7\n", b'a,b\n"8"x,1\n9,9\n', b"a,b\n10,11\n"]
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.csv{suffix}"
        if suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("inside.csv", text)
        else:
            path.write_bytes(gzip.compress(text) if suffix else text)
    good, bad = read(tmp_path)
    assert good["a"].to_list() == [1, 3, 6, 9, 10]
    assert [(Path(file).name[0], *rest) for file, *rest in bad.select("file", "row", "line").rows()] == [
        ("1", 2, 3),
        ("2", 1, 2),
    ]


def _not_six(frame: pl.DataFrame) -> pl.DataFrame:
    if 6 in frame["a"]:
        raise ValueError("six")
    return frame


def test_rows_after_bad_ones_keep_their_positions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 12)
    file = tmp_path / "a.csv"
    file.write_text("a,b\n1,1\nx,2\n3,3\n4,4\n5,5\n6,0\n")
    dead: list[pl.DataFrame] = []
    source = Source.from_file(file, schema={"a": pl.Int64}, bad_rows="skip")
    builder = Pipeline.builder().source(source).map(_not_six, frame="polars")
    builder = builder.on_error(ErrorHandler.dead_letter(into(dead)))
    builder.collect_sync()
    assert dead[0]["position"].to_list() == [f"{file} rows 5-6"]


def test_a_limit_ends_the_run_among_bad_rows(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a\n" + "1\nx,y\n" * 50)
    bad: list[pl.DataFrame] = []
    source = Source.from_file(file, bad_rows=into(bad))
    out: list[pl.DataFrame] = []
    pipeline = Pipeline.builder().source(source).sink(into(out)).build()
    report = pipeline.run_sync(limit=10)
    assert report.rows_out == 10 and pl.concat(out).height == 10


def test_the_sink_of_bad_rows_is_part_of_the_plan(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\nx,y\n")
    (tmp_path / "b.csv").write_text("a\n2\nz,y\n")
    bad = Sink.to_file(tmp_path / "bad.ndjson")
    sources = [Source.from_file(tmp_path / name, bad_rows=bad) for name in ("a.csv", "b.csv")]
    builder = Pipeline.builder().source(sources[0]).merge(Pipeline.builder().source(sources[1]))
    pipeline = builder.sink(Sink.to_file(tmp_path / "out.parquet")).build()
    assert pipeline.explain().count(f"bad rows: {bad.label}") == 2
    pipeline.run_sync()
    rows = [json.loads(line) for line in (tmp_path / "bad.ndjson").read_text().splitlines()]
    assert sorted(row["text"] for row in rows) == ["x,y", "z,y"]
    assert sorted(pl.read_parquet(tmp_path / "out.parquet")["a"]) == [1, 2]
    with pytest.raises(PlanError, match="two sinks write to the same place"):
        Pipeline.builder().source(sources[0]).sink(Sink.to_file(tmp_path / "bad.ndjson")).build()


def test_bad_rows_of_earlier_runs_stay(tmp_path: Path) -> None:
    for name in ("bad.csv", "bad/"):
        for run in (1, 2):
            (tmp_path / "x.csv").write_text(f"x\n1\nbad{run}\n")
            sink = Sink.to_file(f"{tmp_path}/{name}")
            source = Source.from_file(tmp_path / "x.csv", schema={"x": int}, bad_rows=sink)
            assert Pipeline.builder().source(source).collect_sync()["x"].to_list() == [1]
        kept = Pipeline.builder().source(Source.from_file(f"{tmp_path}/{name}")).collect_sync()
        assert sorted(kept["text"]) == ["bad1", "bad2"]


def test_no_rows_are_visible_if_the_sink_of_bad_rows_fails(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\nx,y\n")

    def fail(frame: pl.DataFrame) -> None:
        raise ValueError("no more room")

    source = Source.from_file(tmp_path / "a.csv", bad_rows=Sink.to_fn(fail))
    pipeline = Pipeline.builder().source(source).sink(Sink.to_file(tmp_path / "out.parquet")).build()
    with pytest.raises(SinkError, match="no more room") as caught:
        pipeline.run_sync()
    assert caught.value.stage == "bad rows of source"
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(
    ("bad_rows", "message"),
    [
        ("drop", "(?s)bad_rows= has another value.*did you mean 'skip'"),
        ("out", "(?s)bad_rows= has another value.*to_file\\('bad.ndjson'\\)"),
        ("bad/", "(?s)bad_rows= has another value.*to_file\\('bad/'\\)"),
        (Path("put aside"), "(?s)bad_rows= has another value.*to_file\\('put aside'\\)"),
        (None, "(?s)bad_rows= has another value.*to_file\\('bad.ndjson'\\)"),
        (Sink.to_file("x.csv").on_error(ErrorHandler.skip()), "one sink without handlers"),
    ],
)
def test_another_value_is_refused(bad_rows: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Source.from_file("a.csv", bad_rows=bad_rows)


def test_only_csv_ndjson_and_lines_have_bad_rows(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(PlanError, match="only CSV or LINES or NDJSON files have bad_rows"):
        Source.from_file(tmp_path / "a.parquet", bad_rows="skip").schema()


@pytest.mark.untraced
def test_python_parses_only_the_lines_around_a_bad_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {700: '{"id": 1,', 1_500: '{"id": "x"}', 1_501: "[1]", 4_999: '{"id": 1, "of": 3}'}
    lines = [
        bad.get(number, f'{{"id": {number}, "of": {{"n": {number}, "tags": ["t"]}}}}')
        for number in range(5_000)
    ]
    (tmp_path / "a.ndjson").write_text("\n".join(lines))
    looked_at: list[int] = []
    errors = sift_ndjson._errors
    monkeypatch.setattr(
        sift_ndjson, "_errors", lambda part, *rest: [looked_at.append(len(part)), errors(part, *rest)][1]
    )
    schema = {"id": pl.Int64, "of": pl.Struct({"n": pl.Int64, "tags": pl.List(pl.String)})}
    good, aside = read(tmp_path / "a.ndjson", schema)
    assert good["id"].to_list() == [number for number in range(5_000) if number not in bad]
    assert good.equals(pl.DataFrame([json.loads(lines[number]) for number in good["id"]], schema=schema))
    assert places(aside) == [(number + 1, number + 1, text) for number, text in bad.items()]
    assert [text.partition(":")[0] for text in aside["error"]] == [
        "no JSON",
        "column 'id'",
        "no object",
        "column 'of'",
    ]
    assert 0 < sum(looked_at) < 500


def test_a_job_names_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\nx,y\n")
    for number, bad_rows in enumerate(
        ['"skip"', f'{{ kind = "file", path = "{tmp_path}/bad.ndjson" }}', '"error"']
    ):
        job = tmp_path / "job.toml"
        job.write_text(
            f'[source]\nkind = "file"\npath = "{tmp_path}/a.csv"\nbad_rows = {bad_rows}\n'
            f'[sink]\nkind = "file"\npath = "{tmp_path}/{number}.parquet"\n'
        )
        rows, _ = Job.load(job).preview(1) if number < 2 else (pl.DataFrame({"a": [1]}), None)
        assert rows["a"].to_list() == [1] and (number > 1 or not (tmp_path / "bad.ndjson").exists())
        pipeline = Job.load(job).pipeline()
        if number == 2:
            with pytest.raises(SourceError, match="has more fields"):
                pipeline.run_sync()
        else:
            assert pipeline.run_sync().rows_out == 1
    assert pl.read_ndjson(tmp_path / "bad.ndjson")["text"].to_list() == ["x,y"]


def test_a_record_that_is_too_long_is_an_unclosed_quote() -> None:
    """Wherever the stream is cut."""
    by_comma = Csv().read_quotes
    text = b'1,"short"\n2,"too\nlong\nby far"\n3,"open\n4,x\n'
    expected = [b'2,"too\n', b'3,"open\n']
    block, used = sound_records(text, by_comma, last=True, longest=16)
    assert [gap.text for gap in block.gaps] == expected and used == len(text)
    assert block.data == b'1,"short"\nlong\nby far"\n4,x\n'
    cut, used = sound_records(text[:32], by_comma, last=False, longest=16)
    assert [gap.text for gap in cut.gaps] == expected[:1]
    rest, _ = sound_records(text[used:], by_comma, last=True, longest=16)
    assert cut.data + rest.data == block.data


@pytest.mark.parametrize("block", [1, 7, 16, 1 << 20])
def test_comments_and_bad_rows_stand_side_by_side(block: int, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    rows = "".join(f'{number},"text {number}\n# of a field"\n' for number in range(40))
    file.write_text(f'a,b\n# first\n1,x\n{rows}2,y"z"" q\nbad\n# a comment\n3,"open\n# not closed')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        patch.setattr("arrowstream.io.files.text.bad.sound_records._WINDOW", 8)
        good, bad = read(file, {"a": pl.Int64, "b": pl.String}, comment_prefix="#")
    kept = [(number, f"text {number}\n# of a field") for number in range(40)]
    assert good.rows()[:41] == [(1, "x"), *kept]
    assert "bad" in bad["text"].to_list() and '3,"open' in bad["text"].to_list()


def test_a_key_that_comes_twice_is_read_as_its_first_value_among_bad_rows(tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    file.write_text('{"a":[1]}\n{"a":null,"a":[2]}\n{"a":["x"]}\n{"a":[3]}\n')
    good, bad = read(file, {"a": pl.List(pl.Int64)})
    assert good["a"].to_list() == [[1], None, [3]]
    assert places(bad) == [(3, 3, '{"a":["x"]}')]


@pytest.mark.parametrize("block", [1, 4, 1 << 20])
def test_blank_lines_before_a_header(block: int, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("\n\n\n\n\na,b\n1,x\nbad\n2,y\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", block)
        good, bad = read(file, {"a": pl.Int64})
    assert good.rows() == [(1, "x"), (2, "y")]
    assert places(bad) == [(2, 8, "bad")]


def test_long_rows_after_a_bad_one_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    rows = [(number, f"a text of {number}\nand more of it") for number in range(30)]
    lines = "".join(f'{number},"{text}"\n' for number, text in rows)
    file.write_text(f'a,b\n0,"y" q\n{lines}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrowstream.io.files.text.bad.sound_records._WINDOW", 8)
        good, bad = read(file, {"a": pl.Int64, "b": pl.String})
    assert good.rows() == rows
    assert places(bad) == [(1, 2, '0,"y" q')]


@pytest.mark.parametrize("value", ["error", "skip", "ignore"])
def test_bad_rows_of_a_job_are_one_of_two_words(value: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    job = tmp_path / "j.toml"
    job.write_text(
        f'[source]\nkind = "file"\npath = "x.csv"\nbad_rows = "{value}"\nnull_values = ["NA"]\n'
        '[sink]\nkind = "file"\npath = "y.csv"\n'
    )
    if value == "ignore":
        with pytest.raises(ArrowstreamError, match="bad_rows"):
            Job.load(job)
    else:
        assert Job.load(job).pipeline().run_sync().rows_out == 1


def test_a_path_in_a_job_is_to_be_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    for written, hint in {
        "bad.ndjson": 'a sink is a table, such as { kind = "file", path = "bad.ndjson" }',
        "ignore": "unknown name 'ignore' (did you mean 'skip'?)",
    }.items():
        (tmp_path / "job.toml").write_text(
            f'[source]\nkind = "file"\npath = "a.csv"\nbad_rows = "{written}"\n'
            '[sink]\nkind = "file"\npath = "b.csv"\n'
        )
        with pytest.raises(ArrowstreamError) as caught:
            Job.load(tmp_path / "job.toml")
        assert hint in str(caught.value)
