"""Types of the columns of text files, inferred or given, hold every value of the rows."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from contexts import context

from arrowstream import Source
from arrowstream.errors import SourceError


def rows(path: Path | list[Path], **options: Any) -> tuple[pl.Schema, list[tuple[Any, ...]], tuple[Any, ...]]:
    """Schema, rows and notes of a file."""
    source = Source.from_file(path, **options)
    reader = source.open(context())
    try:
        frames = [batch.polars() for batch in iter(reader.read, None)]
        return (
            source.schema(),
            pl.concat([pl.DataFrame(schema=source.schema()), *frames]).rows(),
            reader.notes,
        )
    finally:
        reader.close()


def packed(path: Path, text: bytes) -> Path:
    match path.suffix:
        case ".gz":
            path.write_bytes(gzip.compress(text))
        case ".zst":
            path.write_bytes(pa.compress(text, codec="zstd", asbytes=True))
        case ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("x", text)
        case _:
            path.write_bytes(text)
    return path


CSV = "a,b\n1,x\n2.5,ü"
NDJSON = '{"a": 1, "b": "x"}\n{"a": 2.5, "b": "ü"}'


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("x.csv", CSV, {}),
        ("x.csv", CSV.replace("x", '"x\ny"').replace("ü", '"ü\nz"'), {}),
        ("x.csv", "# c\n" + CSV + "\n# d", {"comment_prefix": "#"}),
        ("x.csv", CSV[4:], {"has_header": False}),
        ("x.csv.gz", CSV, {}),
        ("x.csv.zst", CSV, {}),
        ("x.csv.zip", CSV, {}),
        ("x.csv", CSV, {"encoding": "utf-16"}),
        ("x.csv", CSV.replace("ü", "\udce2\udc82"), {"encoding": "utf8-lossy"}),
        ("x.csv", CSV[4:].replace("ü", "\udce2\udc82"), {"encoding": "utf8-lossy", "has_header": False}),
        ("x.csv", "nothing\n" + CSV, {"skip_lines": 1}),
        ("x.ndjson", NDJSON, {}),
        ("x.ndjson", NDJSON + "\n \t", {}),
        ("x.ndjson.gz", NDJSON, {}),
        ("x.ndjson.zip", NDJSON, {}),
        ("x.ndjson", NDJSON, {"encoding": "utf-16"}),
        ("x.json", NDJSON, {}),
        ("x.json", f"[{NDJSON.replace(chr(10), ',')}]", {}),
        ("x.json", f"[{NDJSON.replace(chr(10), ',')}] ", {}),
    ],
)
@pytest.mark.parametrize("bad_rows", ["error", "skip"])
def test_a_last_line_without_a_newline_is_among_the_rows_that_types_are_inferred_from(
    name, text, options, bad_rows, tmp_path
):
    if name != "x.json":
        options = options | {"bad_rows": bad_rows}
    encoding = options.get("encoding", "utf-8").replace("utf8-lossy", "utf-8")
    expected = rows(packed(tmp_path / name, f"{text}\n".encode(encoding, "surrogateescape")), **options)
    found = rows(packed(tmp_path / f"without-{name}", text.encode(encoding, "surrogateescape")), **options)
    assert found == expected
    assert expected[0].dtypes()[0] == pl.Float64


LARGE, ROUNDED = pl.Schema({"a": pl.Float32}), pl.Schema({"a": pl.Decimal(9, 2)})


@pytest.mark.parametrize(
    ("name", "schema", "good", "bad", "options"),
    [
        ("x.csv", LARGE, ["1.5", "inf", "-Infinity", "", "3e38"], ["1e300", "-4e38"], {}),
        ("x.csv", LARGE, ["1,5", "2"], ["1,5e300"], {"decimal_comma": True, "delimiter": ";"}),
        ("x.csv", ROUNDED, ["1.5", "", "-0.250", "7", ".5", "0.00000"], ["1.255", "-0.001"], {}),
        ("x.csv", ROUNDED, ["1,5", "2,25"], ["1,255"], {"decimal_comma": True, "delimiter": ";"}),
        ("x.csv", ROUNDED, ["1.5", "none"], ["1.5.5", "1.255"], {"null_values": ["none"]}),
        ("x.ndjson", LARGE, ["1.5", "null", "3e38"], ["1e300", "-4e38"], {}),
        ("x.ndjson", {"a": pl.List(pl.Float32)}, ["[1.5, null]", "null", "[]"], ["[1, 1e300]"], {}),
        ("x.ndjson", {"a": pl.Array(pl.Float32, 2)}, ["[1.5, 2]"], ["[1, 1e300]"], {}),
        ("x.ndjson", {"a": pl.Struct({"b": pl.Float32})}, ['{"b": 1.5}', "null"], ['{"b": 1e300}'], {}),
    ],
)
def test_a_number_that_its_type_would_change_is_a_bad_row(name, schema, good, bad, options, tmp_path):
    path = tmp_path / name
    is_csv = path.suffix == ".csv"

    def write(values: list[str]) -> None:
        lines = ["a;b" if "delimiter" in options else "a,b"] if is_csv else []
        lines += [
            f'"{value}"{lines[0][1]}{row}' if is_csv else f'{{"a": {value}, "b": {row}}}'
            for row, value in enumerate(values)
        ]
        path.write_text("\n".join(lines) + "\n")

    write(good)
    expected = rows(path, schema=schema, **options)[1]
    for wrong in bad:
        write([*good, wrong, *good])
        with pytest.raises(SourceError) as caught:
            rows(path, schema=schema, **options)
        error = caught.value
        row = len(good) + 1
        assert f"row {row} (line {row + is_csv}) of {path} does not fit its column 'a'" in str(error)
        assert error.expected == f"a: {schema['a']}"
        assert wrong in error.found
        files = [tmp_path / f"{number}-{name}" for number in range(4)]  # all but the first are read together
        for file in files[:3]:
            file.write_text(path.read_text().replace(wrong, good[0]))
        files[3].write_text(path.read_text())
        with pytest.raises(SourceError, match=rf"row {row} .*{files[3].name} does not fit"):
            rows(files, schema=schema, **options)
        found = rows(path, schema=schema, bad_rows="skip", **options)
        assert [row[0] for row in found[1]] == [row[0] for row in expected * 2]
        assert [note.count for note in found[2]] == [1]
