"""Columns out of the datums of one schema."""

from __future__ import annotations

from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.io.files.avro.types import AvroType
from arrowstream.io.messages.avro import datums
from arrowstream.io.messages.avro.columns import column_of
from arrowstream.io.messages.avro.program import AvroProgram, BadDatum, ReadSlots
from arrowstream.io.messages.wire.byte_ranges import ByteRanges, Int64s, offsets_of


class DatumReader:
    """Reader of the datums of one schema.

    Parameters
    ----------
    fields
        Types of the fields of a row.

    Attributes
    ----------
    schema : polars.Schema
        Names and types of the columns.
    """

    def __init__(self, fields: dict[str, AvroType]) -> None:
        program = AvroProgram()
        self.schema = pl.Schema({name: kind.dtype for name, kind in fields.items()})
        self._columns = {name: column_of(program, kind.schema, kind.dtype) for name, kind in fields.items()}
        # Symbols of enums are numbers up to here.
        self._converts = {name: kind.convert for name, kind in fields.items() if kind.convert is not None}
        self._steps = np.array(program.steps, np.int64)
        self._fills = np.array(program.fills, np.int64)
        self._slots, self._loops = program.slots, program.loops

    def read(self, places: ByteRanges) -> pl.DataFrame:
        """Return the rows of datums.

        Raises
        ------
        BadDatum
            A datum is not what the schema says.
        """
        rows = len(places.starts)
        counts = np.full(self._slots, rows, np.int64)
        if self._loops:
            counts = self._run(places, np.zeros(self._slots, np.int64), np.empty(0, np.int64))
        bases = offsets_of(counts)
        out = np.empty(max(1, int(bases[-1])), np.int64)
        slots = ReadSlots(places.data, out, bases, self._run(places, bases, out))
        arrays = {name: column.array(slots, None) for name, column in self._columns.items()}
        frame = cast(pl.DataFrame, pl.from_arrow(pa.table(arrays)))
        return frame.with_columns(
            convert(pl.col(name))
            for name, convert in self._converts.items()
            if frame.schema[name] != self.schema[name]
        )

    def _run(self, places: ByteRanges, bases: Int64s, out: Int64s) -> Int64s:
        counts = np.zeros(self._slots, np.int64)
        starts, ends = (np.ascontiguousarray(bounds) for bounds in (places.starts, places.ends))
        loops = np.zeros((max(1, self._loops), 2), np.int64)
        arguments = (places.data, starts, ends, self._steps, self._fills, bases, counts, out, loops)
        row, fault = datums.read_datums(*arguments)
        if fault:
            raise BadDatum(int(row), datums.FAULTS[fault])
        return counts
