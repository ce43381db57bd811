"""Which record of a block cannot be read, and why: told by the parser that refused it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from arrowstream.errors import SourceError
from arrowstream.io.files.text.formats import TextFormat, Uneven
from arrowstream.io.files.text.unknown_key import unknown_key

_SHOWN = 60
_STRAY_QUOTE = 'a quote inside a field is written twice, and the field in quotes: "5"" pipe"'

_LINES = (
    "or read lines with Source.from_fn and parse them in map(fn), where on_error(...) can leave out broken ones "
    "(the README shows how)"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A block that could not be read.

    Parameters
    ----------
    path
        The file.
    format, schema
        How the block was read.
    adapt
        What was made of the rows.
    block
        Its bytes.
    line
        Line of the file on which it begins, counted from 1; None if lines were not kept.
    """

    path: str
    format: TextFormat
    schema: pl.Schema
    adapt: Callable[[pl.LazyFrame], pl.LazyFrame]
    block: bytes
    line: int | None

    def explain(self, error: BaseException, first_row: int) -> SourceError:
        """The error that names file, row, line, column and value."""
        ends = self.format.ends(self.block)
        if isinstance(error, RaggedRecord):
            bad, uneven = error.uneven.record, error.uneven
        else:
            fine = error.knows if isinstance(error, UnknownKey) else self._reads
            bad, uneven = self._first_bad([int(end) for end in (0, *ends)], fine), None
        start = int(ends[bad - 1]) if bad else 0
        record = self.block[start : int(ends[bad])]
        rows_before = self._rows(self.block[:start])
        row = first_row + rows_before + 1
        where = f"row {row}"
        if self.line is not None:
            where += f" (line {self.line + self.block.count(bytes([10]), 0, start)})"
        text = _shorten(record)
        if uneven is not None:
            return SourceError(
                f"{where} of {self.path} has {'more' if uneven.found > uneven.expected else 'fewer'} "
                "fields than there are columns",
                position=f"{self.path} {where}",
                expected=f"{uneven.expected} fields",
                found=f"{uneven.found} fields: {text}",
                hint=_STRAY_QUOTE
                if b"\n" in record.rstrip(b"\r\n")
                else "quote fields that hold the delimiter; if all rows are like this, see with_delimiter()",
            )
        if isinstance(error, UnknownKey):
            key = unknown_key(record, error.known) or error.key
            return SourceError(
                f"{where} of {self.path} has a key that is no column: {'.'.join(key)!r}",
                position=f"{self.path} {where}",
                expected=f"some of {', '.join(error.known)}",
                found=text,
                hint=f"name it with its type: schema={{{key[0]!r}: ...}}; or leave out with_strict_keys()",
            )
        column = self._column(self.block[: int(ends[bad])])
        if column is None:
            return SourceError(
                f"{where} of {self.path} cannot be read",
                position=f"{self.path} {where}",
                expected="a well-formed record in UTF-8",
                found=f"{text}: {str(error).splitlines()[0]}",
                hint=self._what_to_do(record),
            )
        dtype = self.schema[column]
        return SourceError(
            f"{where} of {self.path} does not fit its column {column!r}",
            position=f"{self.path} {where}",
            expected=f"{column}: {dtype}",
            found=self._value(record, column) or text,
            hint=f"repair this row, or read the column as another type: schema={{{column!r}: {_wider(dtype)}}}",
        )

    def _what_to_do(self, record: bytes) -> str:
        """About a record that is not well-formed."""
        if self.format.quotes and b'"' in record:
            return _STRAY_QUOTE
        repair = "repair this row, or check that the file has the format it is read as"
        # A line of NDJSON is a record, whatever is in it; lines are not kept where a JSON array is read.
        return repair if self.format.quotes or self.line is None else f"{repair}; {_LINES}"

    def _first_bad(self, cuts: list[int], fine: Callable[[bytes], bool]) -> int:
        """The first record that is refused, by halving what is read from the first record on.

        Always from the first one: what a date looks like, the parser learns there.
        """
        low, high = 0, len(cuts) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if fine(self.block[: cuts[middle]]):
                low = middle
            else:
                high = middle
        return low

    def _reads(self, part: bytes) -> bool:
        return self._try(self.format.scan(part, self.schema)) is not None

    def _try(self, rows: pl.LazyFrame, *, adapted: bool = False) -> pl.DataFrame | None:
        try:
            return (rows if adapted else self.adapt(rows)).collect()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            return None

    def _rows(self, part: bytes) -> int:
        frame = self._try(self.format.scan(part, self.schema)) if part else None
        return 0 if frame is None else frame.height

    def _column(self, part: bytes) -> str | None:
        """The column that is refused at the end of `part`, if all others can be read as text."""
        lenient = pl.Schema(dict.fromkeys(self.schema, pl.String()))
        if self._try(self.format.scan(part, lenient), adapted=True) is None:
            return None
        refused = (
            name
            for name, dtype in self.schema.items()
            if self._try(self.format.scan(part, pl.Schema({**lenient, name: dtype})), adapted=True) is None
        )
        return next(refused, None)

    def _value(self, record: bytes, column: str) -> str | None:
        lenient = pl.Schema(dict.fromkeys(self.schema, pl.String()))
        frame = self._try(self.format.scan(record, lenient).select(column), adapted=True)
        return None if frame is None else repr(frame.item(0, 0))


class RaggedRecord(Exception):
    """Raised while a block is read, and explained once the number of its first row is known."""

    def __init__(self, uneven: Uneven) -> None:
        super().__init__(f"record {uneven.record} has {uneven.found} fields")
        self.uneven = uneven


class UnknownKey(Exception):
    """Raised while a block is read, and explained once the number of its first row is known."""

    def __init__(self, key: tuple[str, ...], known: pl.Schema) -> None:
        super().__init__(".".join(key))
        self.key = key
        self.known = known

    def knows(self, part: bytes) -> bool:
        """Whether all keys in a part of the block are known."""
        return unknown_key(part, self.known) is None


def _wider(dtype: pl.DataType) -> str:
    """A type to suggest that takes more."""
    return "pl.Float64 or pl.String" if dtype.is_integer() else "pl.String"


def _shorten(record: bytes) -> str:
    text = record.decode("utf-8", "replace").rstrip("\r\n")
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
