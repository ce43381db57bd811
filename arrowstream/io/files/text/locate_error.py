"""Search for the record of a block that cannot be read, and the reason, by reading parts of the block again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from arrowstream.core.failures import FAILURES
from arrowstream.errors import SourceError
from arrowstream.io.files.text.bad.sift_csv import not_utf8
from arrowstream.io.files.text.formats import FlawedRecord, TextFormat
from arrowstream.io.files.text.json.apart import Apart
from arrowstream.io.files.text.json.restated import Restated
from arrowstream.io.files.text.json.written import written
from arrowstream.io.files.text.ndjson_format import Ndjson, is_blank
from arrowstream.io.files.text.ndjson_rows import NdjsonRows
from arrowstream.io.files.text.record_errors import BadRecord, ChangedValue, RaggedRecord, UnknownKey
from arrowstream.io.files.text.records import Positions

_NONE = np.empty(0, np.int64)

_FEW = 100
"""Largest number of lines that are read one by one instead of halved again."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A block that could not be read.

    Parameters
    ----------
    path
        Path of the file.
    format
        Format of the file.
    schema
        Names and types with which the block was read.
    adapt
        Query on the rows.
    block
        Bytes of the block.
    line
        Line of the file on which the block begins, counted from 1; None if the file's lines were not kept.
    gaps
        Positions in the block where a line was taken out, ascending.
    cuts
        Numbers of the block's lines that do not begin a line of the file, ascending. Shape (n,), int64.
    widens
        Whether types may be widened over the files of the source if the user asks for it.
    can_skip
        Whether bad rows can be put aside if the user asks for it.
    """

    path: str
    format: TextFormat
    schema: pl.Schema
    adapt: Callable[[pl.LazyFrame], pl.LazyFrame]
    block: bytes
    line: int | None
    gaps: tuple[int, ...] = ()
    cuts: Positions = field(default_factory=lambda: _NONE)
    widens: bool = False
    can_skip: bool = False

    def explain(self, error: BaseException, first_row: int) -> SourceError:
        """Make the error that names file, row, line, column and value.

        Parameters
        ----------
        error
            Error raised by reading the block.
        first_row
            Number of the block's first row in the file, counted from 0.
        """
        return self._cut()._explain(error, first_row)

    def _cut(self) -> Fault:
        """Return this fault with each object of the block on a line of its own."""
        apart = self.format.apart(self.block)
        return self if apart is None else replace(self, block=apart.data, cuts=apart.cuts)

    def _explain(self, error: BaseException, first_row: int) -> SourceError:
        block = self.block
        try:
            block = self.format.checked(block)
        except FlawedRecord as flaw:
            error = flaw
        ends = [0, *(int(end) for end in self.format.ends(block))]
        bad = self._bad(error, block, ends)
        before, record = block[: ends[bad]], block[ends[bad] : ends[bad + 1]]
        out = self._taken_out(bad)
        found = BadRecord(self.path, self._where(before, first_row, out), record, self.can_skip)
        longest = self.format.longest
        if isinstance(error, FlawedRecord | RaggedRecord) and len(record.partition(b"\n")[0]) > longest:
            return found.too_long(longest)
        if isinstance(error, FlawedRecord):
            return found.flawed(error, (self.line or 1) + out + block.count(b"\n", 0, error.at))
        if isinstance(error, RaggedRecord):
            return found.ragged(error.uneven, tuple(self.schema))
        if isinstance(error, UnknownKey):
            return found.unknown_key(error)
        column = error.column if isinstance(error, ChangedValue) else self._column(record)
        if column is None and not_utf8(record, np.array([len(record)])):
            return found.flawed(FlawedRecord(bad, "invalid UTF-8", 0), 0)
        if column is None:
            return found.malformed(error, self._repair())
        return found.misfit(column, self.schema[column], self._value(record, column), widens=self.widens)

    def first_loss(self, first_row: int) -> str:
        """Return row, line, file and key of the first value that the rows leave out; there must be one."""
        return self._cut()._first_loss(first_row)

    def _first_loss(self, first_row: int) -> str:
        ends = [0, *(int(end) for end in self.format.ends(self.block))]
        rows = NdjsonRows(self.schema)
        low, high = 0, len(ends) - 1
        while high - low > _FEW:
            middle = (low + high) // 2
            if rows.read(self.block[ends[low] : ends[middle]])[1]:
                high = middle
            else:
                low = middle
        found = Restated(self.block[ends[low] : ends[high]], self.schema).first
        assert found is not None
        line, key = found
        return f"{self._where(self.block[: ends[low + line]], first_row)} of {self.path}, {key}"

    def _taken_out(self, record: int) -> int:
        """Return the number of lines taken out of the block before a record, given its number."""
        ends = self.format.ends(self.block) if self.gaps else _NONE
        return int(np.count_nonzero(np.searchsorted(ends, self.gaps, side="right") <= record))

    def _where(self, before: bytes, first_row: int, out: int = 0) -> str:
        """Return row and line of the record that follows the bytes `before` of the block, and `out` other lines."""
        where = f"row {first_row + self._rows(self.format.checked(before)) + 1}"
        if self.line is None:
            return where
        line = self.line + out + Apart(before, self.cuts).line(before.count(b"\n"))
        return f"{where} (line {line})"

    def _bad(self, error: BaseException, block: bytes, ends: list[int]) -> int:
        """Return the number of the record in the block that cannot be read, counted from 0."""
        if isinstance(error, FlawedRecord):
            return error.record
        if isinstance(error, RaggedRecord):
            return error.uneven.record
        if isinstance(error, ChangedValue):
            return error.record
        return _first_bad(block, ends, error.knows if isinstance(error, UnknownKey) else self._reads)

    def _repair(self) -> str:
        """Return the hint for a record that is not well-formed."""
        repair = "repair this row, or check that the file has the format it is read as"
        # A line of NDJSON is a record, whatever is in it; lines are not kept for a JSON array.
        if self.format.quotes or self.line is None:
            return repair
        if self.block.startswith(b"["):
            return f"{repair}; an array of objects is read by format='json'"
        return f"{repair}, NDJSON with each object on one line"

    def _reads(self, part: bytes) -> bool:
        return self._try(self.format.scan(part, self.schema)) is not None

    def _try(self, rows: pl.LazyFrame, *, adapted: bool = False) -> pl.DataFrame | None:
        try:
            return (rows if adapted else self.adapt(rows)).collect()
        except FAILURES:
            return None

    def _rows(self, part: bytes) -> int:
        """Return the number of rows of whole records, of which some may be bad for another reason."""
        ends = self.format.ends(part)
        if not isinstance(self.format, Ndjson):
            return len(ends)
        return sum(not is_blank(line) for line in part.split(b"\n"))

    def _column(self, record: bytes) -> str | None:
        """Return the column whose value is refused, if all columns can be read as text."""
        lenient = pl.Schema(dict.fromkeys(self.schema, pl.String()))
        if self._try(self.format.scan(record, lenient), adapted=True) is None:
            return None
        refused = (
            name
            for name, dtype in self.schema.items()
            if self._try(self.format.scan(record, pl.Schema({**lenient, name: dtype})), adapted=True) is None
        )
        return next(refused, None)

    def _value(self, record: bytes, column: str) -> str | None:
        if isinstance(self.format, Ndjson):
            return written(record, column)
        lenient = pl.Schema(dict.fromkeys(self.schema, pl.String()))
        frame = self._try(self.format.scan(record, lenient).select(column), adapted=True)
        return None if frame is None else repr(frame.item(0, 0))


def _first_bad(block: bytes, cuts: list[int], fine: Callable[[bytes], bool]) -> int:
    """Return the first record that is refused, by bisection."""
    low, high = 0, len(cuts) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if fine(block[cuts[low] : cuts[middle]]):
            low = middle
        else:
            high = middle
    return low
