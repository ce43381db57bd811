"""Messages that Protocol Buffers itself defines and that columns have a type for: times, durations and wrappers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.io.messages.wire.varints import BadValue

_PACKAGE: Final = "google.protobuf."
_WRAPPERS: Final = {
    f"{_PACKAGE}{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
}
_ANY_JSON: Final = {f"{_PACKAGE}{name}" for name in ("Struct", "Value", "ListValue")}
_PER_SECOND: Final = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class OutOfRange(Exception):
    """A value that its column does not have.

    Parameters
    ----------
    index
        Its place in the column.
    found
        What is wrong with it.
    """

    def __init__(self, index: int, found: str) -> None:
        super().__init__(found)
        self.index = index


class Known(ABC):
    """The column that a message is.

    Attributes
    ----------
    dtype
        Type of the column.
    """

    dtype: Any

    @abstractmethod
    def column(self, parts: list[pa.Array], bitmap: pa.Buffer | None) -> pa.Array:
        """Return the column of the message's fields, which have no nulls; raise OutOfRange if it cannot be."""

    @abstractmethod
    def parts(self, values: pa.Array) -> list[pa.Array]:
        """Return the fields of values that are not null; raise BadValue if a message does not have one."""


@dataclass(frozen=True, slots=True)
class Wrapper(Known):
    """A value in a message of its own, so that it may be null."""

    dtype: Any

    def column(self, parts: list[pa.Array], bitmap: pa.Buffer | None) -> pa.Array:
        [values] = parts
        return pa.Array.from_buffers(values.type, len(values), [bitmap, *values.buffers()[1:]])

    def parts(self, values: pa.Array) -> list[pa.Array]:
        return [values]


@dataclass(frozen=True, slots=True)
class Moment(Known):
    """A Timestamp or a Duration: seconds and nanoseconds.

    Parameters
    ----------
    dtype
        Datetime in UTC, or Duration.
    least, most
        Smallest and largest number of seconds that the message may have.
    what
        What it holds, for errors.
    """

    dtype: Any
    least: int
    most: int
    what: str

    def column(self, parts: list[pa.Array], bitmap: pa.Buffer | None) -> pa.Array:
        seconds, nanos = (np.asarray(part).astype(np.int64) for part in parts)
        ticks = _PER_SECOND[self.dtype.time_unit]
        lowest = 0 if self.dtype == pl.Datetime else -999_999_999
        least, most = max(self.least, -(2**63) // ticks + 1), min(self.most, 2**63 // ticks - 1)
        wrong = (seconds < least) | (seconds > most) | (nanos < lowest) | (nanos > 999_999_999)
        if wrong.any():
            index = int(np.argmax(wrong))
            found = f"{self.what} of {seconds[index]:,} s and {nanos[index]:,} ns is not one of {self.dtype}"
            fits = self.least <= seconds[index] <= self.most and lowest <= nanos[index] <= 999_999_999
            raise OutOfRange(index, f"{found}, but of 'us': declare it in schema=" if fits else found)
        # Digits that the unit does not have are left out, towards 0.
        values = seconds * ticks + np.sign(nanos) * (np.abs(nanos) // (1_000_000_000 // ticks))
        is_time = self.dtype == pl.Datetime
        unit = self.dtype.time_unit
        kind = pa.timestamp(unit, self.dtype.time_zone) if is_time else pa.duration(unit)
        return pa.Array.from_buffers(kind, len(values), [bitmap, pa.py_buffer(values)])

    def parts(self, values: pa.Array) -> list[pa.Array]:
        ticks = _PER_SECOND[self.dtype.time_unit]
        numbers = np.asarray(values.view(pa.int64()))
        seconds, rest = np.divmod(numbers, ticks)
        if self.dtype == pl.Duration:  # both numbers of a negative one are negative
            up = (seconds < 0) & (rest > 0)
            seconds, rest = seconds + up, rest - up * ticks
        if len(seconds) and (int(seconds.min()) < self.least or int(seconds.max()) > self.most):
            raise BadValue(f"{self.what} of {self.least:,} to {self.most:,} s is all that a message has")
        return [pa.array(seconds), pa.array((rest * (1_000_000_000 // ticks)).astype(np.int32))]


def known(name: str, value: Any, wanted: Any) -> Known | None:
    """Return what a message of a name is as a column; None if it is a struct of its fields.

    Parameters
    ----------
    name
        Full name of the message.
    value
        Type of its first field.
    wanted
        Type of the column that is declared or written, whose unit of time counts; None for nanoseconds.
    """
    if name in _WRAPPERS:
        return Wrapper(value)
    unit = wanted.time_unit if isinstance(wanted, pl.Datetime | pl.Duration) else "ns"
    if name == f"{_PACKAGE}Timestamp":
        return Moment(pl.Datetime(unit, "UTC"), -62_135_596_800, 253_402_300_799, "a time")
    if name == f"{_PACKAGE}Duration":
        return Moment(pl.Duration(unit), -315_576_000_000, 315_576_000_000, "a duration")
    return None


def holds_any_json(name: str) -> bool:
    """Return whether a message of this name holds whatever JSON does, for which no column has a type."""
    return name in _ANY_JSON


def is_of_protobuf(file: str) -> bool:
    """Return whether a file is one that every user of Protocol Buffers has, which is registered nowhere."""
    return file.startswith("google/protobuf/")
