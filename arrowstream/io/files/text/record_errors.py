"""Errors for records that cannot be read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from arrowstream.core.hints import delimiter_hint
from arrowstream.core.plural import counted
from arrowstream.errors import SourceError, UnreadableData
from arrowstream.io.files.text.formats import FlawedRecord, Uneven
from arrowstream.io.files.text.json.depth import DEEPEST, DEEPEST_INFERRED
from arrowstream.io.files.text.times import is_time
from arrowstream.io.files.text.unknown_key import unknown_key

_SHOWN = 60
"""Most characters of a record in a message."""

_VALUE_SHOWN = 200
"""Most characters of a value in a message."""

_DOUBLED = 'a quote inside a field is written twice, and the field in quotes: "5"" pipe"'
_OFFSET = re.compile(r"[T ].*(?:Z|[+-][0-9]{2}:?[0-9]{2})\W*$")
_ASIDE = "; or pass bad_rows= a sink, or 'skip', to put such rows aside"
_SPLIT = "quote fields that hold the delimiter; if all rows are like this, pass delimiter="


def shown(value: str) -> str:
    """Return the text of a value as a message holds it: its beginning, if it is long."""
    return (
        value
        if len(value) <= _VALUE_SHOWN
        else value[:_VALUE_SHOWN] + f"… ({counted(len(value), 'characters')})"
    )


class RaggedRecord(Exception):
    """A record with too few or too many fields; explained once the number of the block's first row is known."""

    def __init__(self, uneven: Uneven) -> None:
        super().__init__(f"record {uneven.record} has {counted(uneven.found, 'fields')}")
        self.uneven = uneven


class ChangedValue(Exception):
    """A value that its column's type would change; explained once the number of the block's first row is known.

    Parameters
    ----------
    record
        Number of the record in the block, counted from 0.
    column
        Name of the column.
    """

    def __init__(self, record: int, column: str) -> None:
        super().__init__(f"record {record} has another value in column {column!r}")
        self.record = record
        self.column = column


class UnknownKey(Exception):
    """A key that is not a column; explained once the number of the block's first row is known."""

    def __init__(self, key: tuple[str, ...], known: pl.Schema) -> None:
        super().__init__(".".join(key))
        self.key = key
        self.known = known

    def knows(self, part: bytes) -> bool:
        """Return True if all keys in a part of the block are known."""
        return unknown_key(part, self.known) is None


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot be read, and its place.

    Parameters
    ----------
    path
        Path of the file.
    where
        Row of the record and, if lines are counted, its first line: ``row 2 (line 3)``.
    record
        Bytes of the record.
    can_skip
        Whether such records can be put aside if the user asks for it.
    """

    path: str
    where: str
    record: bytes
    can_skip: bool = False

    def flawed(self, error: FlawedRecord, line: int) -> SourceError:
        """Make the error for a record that Polars would misread; `line` is the line of the flaw."""
        if error.flaw == "lone surrogate":
            return self._error(
                "has half of a surrogate pair, which is no character",
                expected=r"text, or both halves of a pair such as \ud83d\ude00",
                hint="repair the program that cut the text between them",
            )
        if error.flaw == "no object":
            return self._error(
                "has another value where an object is expected",
                expected="an object or null",
                hint="repair this row, or read the column as text: schema={'name': pl.String}",
            )
        if error.flaw == "too deep":
            return self._error(
                "has too many objects and lists inside of each other",
                expected=f"at most {DEEPEST:,}, and {DEEPEST_INFERRED} where types are inferred",
                hint="check where this row comes from: no data needs that many",
            )
        if error.flaw == "carriage return":
            return self._error(
                "holds a carriage return that ends no line",
                expected="lines that end in a newline, or in a carriage return and a newline",
                hint="put the field in quotes, or save the file with the line ends of Unix or Windows",
            )
        if error.flaw == "invalid UTF-8":
            return self._error(
                "is not UTF-8",
                expected="text in UTF-8",
                hint="give the encoding of the file, such as encoding='cp1252', or 'utf8-lossy'",
            )
        if error.flaw == "unclosed quote":
            return self._error(
                f"has a quote that is opened on line {line} and never closed",
                expected="a quote that closes the field",
                hint=_DOUBLED,
            )
        escaped = '; a quote after a backslash (\\") is not read as text' if b'\\"' in self.record else ""
        return self._error(
            f"has text after a closing quote (line {line})",
            expected="a delimiter or a line end after the quote that closes a field",
            hint=_DOUBLED + escaped,
        )

    def too_long(self, longest: int) -> SourceError:
        """Make the error for a record of more than `longest` bytes, which may not be in memory to its end."""
        return self._error(
            "is too long",
            expected=f"records of at most {longest >> 20} MiB",
            found=f"a longer one, which begins with {self._text}",
            hint="check that the file has the format it is read as, and keep such values in files of their own",
        )

    def ragged(self, uneven: Uneven, names: Sequence[str]) -> SourceError:
        """Make the error for a record with too few or too many fields; `names` are those of the columns."""
        split = _DOUBLED if b"\n" in self.record.rstrip(b"\r\n") else _SPLIT
        return self._error(
            f"has {'more' if uneven.found > uneven.expected else 'fewer'} fields than there are columns",
            expected=counted(uneven.expected, "fields"),
            found=f"{counted(uneven.found, 'fields')}: {self._text}",
            hint=(delimiter_hint(names[0]) if len(names) == 1 else None) or split,
        )

    def unknown_key(self, error: UnknownKey) -> SourceError:
        """Make the error for a record with a key that is not a column."""
        key = unknown_key(self.record, error.known) or error.key
        return self._error(
            f"has a key that is no column: {'.'.join(key)!r}",
            expected=f"some of {', '.join(error.known)}",
            hint=f"name it with its type: schema={{{key[0]!r}: ...}}; or leave out strict_keys",
        )

    def malformed(self, error: BaseException, hint: str) -> SourceError:
        """Make the error for a record that is not well-formed."""
        return self._error(
            "cannot be read",
            expected="a well-formed record in UTF-8",
            found=f"{self._text}: {str(error).splitlines()[0]}",
            hint=hint,
        )

    def misfit(self, column: str, dtype: pl.DataType, value: str | None, *, widens: bool) -> SourceError:
        """Make the error for a value that does not fit its column's type, which `widens` over files if asked for."""
        value = None if value is None else shown(value)
        if is_time(dtype):
            return self._error(
                f"does not fit its column {column!r}",
                expected=f"{column}: {dtype}, written like {_example(dtype)}, and no digit lost",
                found=value,
                hint=f"repair this row, or read the column as text, schema={{{column!r}: pl.String}}, and convert it "
                f"by a step: {_rule(dtype, value or '')}",
            )
        widen = " pass widen=True if only some of the files have another type," if widens else ""
        return self._error(
            f"does not fit its column {column!r}",
            expected=f"{column}: {dtype}",
            found=value,
            hint=f"repair this row,{widen} or read the column as another type: "
            f"schema={{{column!r}: {_wider(dtype)}}}",
        )

    def _error(self, what: str, *, expected: str, hint: str, found: str | None = None) -> SourceError:
        return UnreadableData(
            f"{self.where} of {self.path} {what}",
            position=f"{self.path} {self.where}",
            expected=expected,
            found=found or self._text,
            hint=hint + _ASIDE if self.can_skip else hint,
        )

    @property
    def _text(self) -> str:
        text = self.record[: 4 * _SHOWN + 4].decode("utf-8", "replace").rstrip("\r\n")
        return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _rule(dtype: pl.DataType, value: str) -> str:
    """Return the rule on dates and times that a value breaks, as far as its text shows that."""
    if dtype == pl.Time:
        return (
            "times of day have hours, minutes, and seconds from 0 to 59 with at most 9 digits after the point"
        )
    zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
    has_offset = _OFFSET.search(value) is not None
    if isinstance(dtype, pl.Datetime) and has_offset and zone is None:
        return "a column without a time zone takes no offset but that of UTC, and one in UTC takes any"
    if zone not in (None, "UTC") and not has_offset:
        return f"a time in {zone} needs its offset, such as +01:00, since an hour of each autumn comes twice"
    return "dates and times are read with the year first, since others leave open which number is the day"


def _example(dtype: pl.DataType) -> str:
    if dtype == pl.Time:
        return "12:00:00"
    if not isinstance(dtype, pl.Datetime):
        return "2026-01-31"
    return f"2026-01-31T12:00:00{'' if dtype.time_zone is None else '+01:00'}"


def _wider(dtype: pl.DataType) -> str:
    """Return wider types to suggest in place of a type."""
    return "pl.Float64 or pl.String" if dtype.is_integer() or dtype == pl.Float32 else "pl.String"
