"""Schemas that users declare: the same forms everywhere, with the same meaning."""

import asyncio
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from arrowstream import Pipeline, Processor, Source, channel
from arrowstream.core.rows.empty_frames import no_rows, nulls
from arrowstream.core.schemas import declared_schema
from arrowstream.errors import ArrowstreamError, PlanError, SchemaError
from arrowstream.testing import TestSource

FORMS: dict[str, Any] = {
    "Polars' schema": pl.Schema({"x": pl.Int64, "day": pl.Date}),
    "Arrow's schema": pa.schema([("x", pa.int64()), ("day", pa.date32())]),
    "dict of Polars types": {"x": pl.Int64(), "day": pl.Date},
    "dict of Arrow types": {"x": pa.int64(), "day": pa.date32()},
    "dict of Python types": {"x": int, "day": dt.date},
    "pairs": [("x", pl.Int64), ("day", pa.date32())],
    "pairs in a tuple": (("x", int), ["day", pl.Date]),
}
FRAME = pl.DataFrame({"x": [1, 2], "day": [dt.date(2026, 1, 1)] * 2})


def builder() -> Any:
    return Pipeline.builder().source(Source.from_frame(FRAME))


def of_file(schema: Any, tmp_path: Path) -> Any:
    FRAME.write_csv(tmp_path / "rows.csv")
    return Source.from_file(tmp_path / "rows.csv", schema=schema).schema()


def of_processor(schema: Any, tmp_path: Path) -> Any:
    class Same(Processor):
        def output_schema(self, incoming: pl.Schema) -> Any:
            return schema

        async def process(self, batch: pa.RecordBatch) -> pa.RecordBatch:
            return batch

    return builder().process(Same()).schema()


async def nothing() -> None:
    return None


PLACES: dict[str, Callable[[Any, Path], Any]] = {
    "from_frame": lambda schema, path: Source.from_frame(FRAME, schema=schema).schema(),
    "from_channel": lambda schema, path: Source.from_channel(channel()[1], schema=schema).schema(),
    "from_fn": lambda schema, path: Source.from_fn(nothing, schema=schema).schema(),
    "from_file": of_file,
    "map": lambda schema, path: builder().map(lambda batch: batch, schema=schema).schema(),
    "flat_map": lambda schema, path: builder().flat_map(lambda batch: [batch], schema=schema).schema(),
    "filter_map": lambda schema, path: builder().filter_map(lambda batch: batch, schema=schema).schema(),
    "parallel_map": lambda schema, path: builder().parallel_map(len, schema=schema).schema(),
    "TestSource": lambda schema, path: TestSource.from_frames([FRAME], schema=schema).schema(),
}


@pytest.mark.parametrize("place", [*PLACES, "process"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_taken_everywhere(form: str, place: str, tmp_path: Path) -> None:
    found = (of_processor if place == "process" else PLACES[place])(FORMS[form], tmp_path)
    assert found == pl.Schema({"x": pl.Int64(), "day": pl.Date()})


WRONG: dict[str, Any] = {
    "a text": "x",
    "a number": 3,
    "names alone": ["x", "y"],
    "triples": [("x", int, int)],
    "no name": [(1, int)],
    "no type": {"x": 1},
    "the text of a type": {"x": "Int64"},
    "None": {"x": None},
    "a name twice": [("x", int), ("x", int)],
    "objects": {"x": pl.Object},
    "an Arrow type Polars lacks": {"x": pa.union([pa.field("a", pa.int8())], "sparse")},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_schema_is_refused_everywhere(wrong: str, place: str, tmp_path: Path) -> None:
    with pytest.raises((PlanError, SchemaError)) as raised:
        PLACES[place](WRONG[wrong], tmp_path)
    assert raised.value.expected and raised.value.found


def test_types_are_completed() -> None:
    schema = declared_schema(
        "map", {"t": pl.Datetime, "a": pa.list_(pa.int64()), "n": float, "s": pa.string()}
    )
    assert schema == pl.Schema(
        {"t": pl.Datetime("us"), "a": pl.List(pl.Int64), "n": pl.Float64(), "s": pl.String()}
    )
    assert declared_schema("map", None) is None


def test_rows_are_cast_to_what_was_declared() -> None:
    frame = pl.DataFrame({"x": [1]}, schema={"x": pl.Int8})
    source = Source.from_frame(frame, schema=pa.schema([("x", pa.int32())]))
    assert Pipeline.builder().source(source).collect_sync().schema == pl.Schema({"x": pl.Int32()})


def test_a_stream_is_checked_against_it() -> None:
    async def run() -> None:
        sender, receiver = channel()
        await sender.send(pl.DataFrame({"y": [1]}))
        sender.close()
        source = Source.from_channel(receiver, schema=[("x", pa.int64())])
        await Pipeline.builder().source(source).collect()

    with pytest.raises(ArrowstreamError, match="schema of its stream"):
        asyncio.run(run())


TYPES = [
    *(pl.Int8(), pl.UInt64(), pl.Int128(), pl.Float32(), pl.Boolean(), pl.String(), pl.Binary(), pl.Null()),
    *(pl.Date(), pl.Time(), pl.Datetime("ns"), pl.Datetime("ms", "Europe/Berlin"), pl.Duration("us")),
    *(pl.Decimal(20, 2), pl.Categorical(), pl.Enum(["a", "b"]), pl.Object()),
    *(
        pl.List(pl.List(pl.Enum(["a"]))),
        pl.Array(pl.Int64(), 2),
        pl.Struct({"a": pl.Struct({"b": pl.Int8()})}),
    ),
]


@pytest.mark.parametrize("columns", [0, len(TYPES), 250])
def test_frames_without_values_have_the_schema_whether_they_are_kept_or_new(columns: int) -> None:
    schema = pl.Schema({f"c{number}": TYPES[number % len(TYPES)] for number in range(columns)})
    for _ in range(2):
        empty = no_rows(schema)
        assert (empty.schema, empty.height) == (schema, 0)
        for height in (2, 3):
            frame = nulls(schema, height)
            assert (frame.schema, frame.height) == (schema, height if columns else 0)
            assert all(column.null_count() == height for column in frame)
    renamed = pl.Schema({f"d{number}": dtype for number, dtype in enumerate(schema.values())})
    assert (no_rows(renamed).schema, nulls(renamed, 2).schema) == (renamed, renamed)
