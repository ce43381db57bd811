"""Rows of CSV in which every record has one field for each column.

Polars gives nulls for the fields that a short record lacks, and refuses a longer record only if all columns are read.
So the last column is read whatever the query needs: if it holds no null, no record is short.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from arrowstream.core.failures import FAILURES
from arrowstream.io.files.text.csv_format import Csv
from arrowstream.io.files.text.formats import Uneven
from arrowstream.io.files.text.record_errors import ChangedValue, RaggedRecord
from arrowstream.io.files.text.records import Positions, byte_view, count, positions, with_last

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

_NEWLINE = ord("\n")


class CsvRows:
    """Parser of a file's blocks, which several threads may use at a time.

    Parameters
    ----------
    format
        Format of the records, with the names of the file's columns.
    schema
        Types of columns; a column without one is text.
    columns
        Names of the columns to read; those that the file lacks are left out.
    """

    __slots__ = ("_all", "_changeable", "_format", "_needed", "_reads_all", "_schema", "_some")

    def __init__(self, format: Csv, schema: pl.Schema, columns: Collection[str]) -> None:
        self._format = format
        self._needed = [name for name in format.names if name in columns]
        self._all = list(format.names)
        self._some = [name for name in self._all if name in columns or name == self._all[-1]]
        self._schema = pl.Schema({name: schema.get(name, pl.String()) for name in self._needed})
        """Types of the needed columns; the others are read as text. Even fields that Polars skips must be UTF-8."""
        self._changeable = [name for name, dtype in self._schema.items() if can_change(dtype)]
        self._reads_all = len(self._some) == len(self._all)
        """True if reading all columns is expected to take less time than finding the ends of all fields."""

    def read(self, block: bytes, newlines: int | None = None) -> pl.DataFrame:
        """Return the rows of a checked block.

        Parameters
        ----------
        block
            Whole records.
        newlines
            Number of newlines in the block, if it is known.

        Raises
        ------
        RaggedRecord
            A record has too few or too many fields.
        ChangedValue
            A value is not exact as its column's type: too large for Float32, or with more decimals than a Decimal.
        polars.exceptions.PolarsError
            A value does not fit its column's type.
        """
        format = self._format
        reads_all = self._reads_all or format.has_quotes(block)
        read = self._all if reads_all else self._some
        scan = format.scan(block, self._schema)
        try:
            rows = (scan if reads_all else scan.select(read)).collect(engine="in-memory")
        except FAILURES:
            _refuse_uneven(format, block)
            raise
        may_be_short = rows[read[-1]].null_count() > 0
        # Polars takes a delimiter at the very end of a text for the end of a record.
        may_be_long = not reads_all or not block.endswith(b"\n")
        if (may_be_short or may_be_long) and not self._adds_up(block, newlines, may_be_short and may_be_long):
            _refuse_uneven(format, block)
            self._reads_all = True  # for the next blocks
        if self._changeable:
            self._refuse_changed(block, rows)
        return rows.select(self._needed) if self._needed and self._needed != read else rows

    def _refuse_changed(self, block: bytes, rows: pl.DataFrame) -> None:
        """Raise ChangedValue for the first value of a checked block that its column's type has changed."""
        names = [name for name in self._changeable if may_have_changed(rows[name])]
        if not names:
            return
        texts = self._format.scan(block, pl.Schema()).select(names).collect(engine="in-memory")
        wrong = {name: self._format.changed(texts[name], rows[name]).arg_true() for name in names}
        first = min(((int(at[0]), name) for name, at in wrong.items() if len(at)), default=None)
        if first is not None:
            raise ChangedValue(*first)

    def _adds_up(self, block: bytes, newlines: int | None, uneven: bool) -> bool:
        """Return True if the number of delimiters shows that all records have as many fields as there are columns.

        That is not so if fields may hold delimiters, or if some records may be short and others long.
        """
        if uneven or self._format.has_quotes(block):
            return False
        lines = count(block, _NEWLINE) if newlines is None else newlines
        records = lines + (not block.endswith(b"\n"))
        return count(block, self._format.delimiter) == (len(self._all) - 1) * records


def can_change(dtype: PolarsDataType) -> bool:
    """Return whether Polars changes some texts of numbers that it reads as a type, and does not refuse them."""
    return dtype == pl.Float32 or dtype.is_decimal()


def may_have_changed(values: pl.Series) -> bool:
    """Return whether values of a type that can change some may be other ones than their texts."""
    return values.dtype.is_decimal() or bool(values.is_infinite().any())


def _refuse_uneven(format: Csv, block: bytes) -> None:
    """Raise RaggedRecord for the first record of a checked block with too few or too many fields."""
    ends, delimiters = _ends_and_delimiters(format, block)
    expected = len(format.names)
    records, found = uneven_records(block, with_last(ends + 1, block), delimiters, expected)
    if len(records):
        raise RaggedRecord(Uneven(int(records[0]), expected, int(found[0])))


def _ends_and_delimiters(format: Csv, block: bytes) -> tuple[Positions, Positions]:
    """Return the positions of the newlines and of the delimiters outside quoted fields of a checked block."""
    if not format.has_quotes(block):
        return positions(block, _NEWLINE), positions(block, format.delimiter)
    view = byte_view(block)
    at = np.flatnonzero((view == format.quote) | (view == format.delimiter) | (view == _NEWLINE))
    kinds = view[at]
    outside = np.cumsum(kinds == format.quote, dtype=np.uint8) % 2 == 0
    return at[outside & (kinds == _NEWLINE)], at[outside & (kinds == format.delimiter)]


def uneven_records(
    block: bytes, ends: Positions, delimiters: Positions, expected: int
) -> tuple[Positions, Positions]:
    """Return the records with too few or too many fields, and how many each has; both of shape (n,), int64.

    Parameters
    ----------
    block
        The bytes.
    ends
        Ends of its records, ascending. Shape (m,), int64.
    delimiters
        Positions of the delimiters outside quoted fields, ascending. Shape (k,), int64.
    expected
        Number of fields of a record.
    """
    found = np.diff(np.searchsorted(delimiters, ends), prepend=0) + 1
    starts = np.concatenate(([0], ends[:-1]))
    # Polars turns a blank line, only a line end ("\n" or "\r\n"), into a row of nulls.
    blank = (ends - starts) <= 2
    for record in np.flatnonzero((found != expected) & blank):
        blank[record] = not block[starts[record] : ends[record]].strip(b"\r\n")
    wrong = np.flatnonzero((found != expected) & ~blank)
    return wrong, found[wrong]
