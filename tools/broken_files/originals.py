"""The sound files that the damaged ones are made from, and the types that they are read with."""

from __future__ import annotations

import io
import json
import random

import polars as pl

Schema = dict[str, pl.DataType]

CSV: Schema = {"id": pl.Int64(), "price": pl.Float64(), "name": pl.String(), "ok": pl.Boolean()}
JSON: Schema = {
    "id": pl.Int64(),
    "price": pl.Float64(),
    "name": pl.String(),
    "tags": pl.List(pl.Int64()),
    "place": pl.Struct({"x": pl.Int64(), "y": pl.String()}),
}

_NAMES = [
    "x",
    "",
    'says "hi"',
    "a,b",
    "two\nlines",
    "é😀",
    "back\\slash",
    "1.10",
    "null",
    "[1]",
    '{"a":1}',
    " ",
]
_PRICES = [0.0, -1.5, 2.25, 1e300, 0.1, 12345678901234567.0, -0.0, 3.0]
_IDS = [0, 1, -1, 7, 2**63 - 1, -(2**63), 9007199254740993]


def csv(draw: random.Random) -> bytes:
    """Write a CSV file of up to 12 rows, some fields enclosed in quotes."""
    end = draw.choice(["\n", "\r\n"])
    lines = [",".join(CSV)]
    lines += [csv_record(draw) for _ in range(draw.randint(1, 12))]
    return (end.join(lines) + draw.choice([end, ""])).encode()


def csv_record(draw: random.Random) -> str:
    """Write a record of CSV, some fields enclosed in quotes."""
    fields = [
        str(draw.choice(_IDS)),
        repr(draw.choice(_PRICES)),
        draw.choice(_NAMES),
        draw.choice(["true", "false"]),
    ]
    return ",".join(_field(field, draw) for field in fields)


def ndjson(draw: random.Random) -> bytes:
    """Write an NDJSON file of up to 12 objects."""
    lines = [_object(draw) for _ in range(draw.randint(1, 12))]
    return ("\n".join(lines) + draw.choice(["\n", ""])).encode()


def json_array(draw: random.Random) -> bytes:
    """Write a JSON file with an array of up to 12 objects."""
    comma = draw.choice([",", ",\n", " , "])
    return ("[" + comma.join(_object(draw) for _ in range(draw.randint(1, 12))) + "]").encode()


def parquet(draw: random.Random) -> bytes:
    """Write a Parquet file of up to 300 rows, with a codec and the size of row groups drawn."""
    rows = draw.randint(1, 300)
    frame = pl.DataFrame(
        {
            "id": [draw.choice([*_IDS, None]) for _ in range(rows)],
            "name": [draw.choice([*_NAMES, None]) for _ in range(rows)],
            "tags": [draw.choice([[], [1, 2], None, [None]]) for _ in range(rows)],
        },
        schema={"id": pl.Int64(), "name": pl.String(), "tags": pl.List(pl.Int64())},
    )
    file = io.BytesIO()
    codec = draw.choice(["uncompressed", "snappy", "zstd", "lz4", "gzip"])
    frame.write_parquet(file, compression=codec, row_group_size=draw.choice([50, 1000]))  # type: ignore[arg-type]
    return file.getvalue()


def _field(text: str, draw: random.Random) -> str:
    if any(sign in text for sign in '",\n') or draw.random() < 0.2:
        return '"' + text.replace('"', '""') + '"'
    return text


def _object(draw: random.Random) -> str:
    row = {
        "id": draw.choice(_IDS),
        "price": draw.choice(_PRICES),
        "name": draw.choice(_NAMES),
        "tags": draw.choice([[], [1, 2], None]),
        "place": draw.choice([{"x": 1, "y": "z"}, {"x": None, "y": ""}, None]),
    }
    for key in list(row):
        if draw.random() < 0.1:
            del row[key]
    return json.dumps(row, ensure_ascii=draw.random() < 0.5)
