"""Arrays of Python values that keep every value as it is, at any depth, or refuse it."""

from __future__ import annotations

from array import array as packed
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from operator import attrgetter, methodcaller
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa

from arrowstream.io.memory.arrays_in_records import have_type

UNFIT = (pa.ArrowException, ValueError, TypeError, OverflowError)
"""What pyarrow raises for values that do not fit a type."""

_INTEGER = (int, np.integer)
_ZONE = attrgetter("tzinfo")
_PLAIN: dict[pa.DataType, type] = {
    **dict.fromkeys((pa.int8(), pa.int16(), pa.int32(), pa.int64()), int),
    **dict.fromkeys((pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()), int),
    **dict.fromkeys((pa.float32(), pa.float64()), float),
    pa.bool_(): bool,
    pa.large_string(): str,
    pa.large_binary(): bytes,
    pa.date32(): date,
}
_CODES: dict[pa.DataType, tuple[str, type]] = {
    pa.int64(): ("q", int),
    pa.int32(): ("i", int),
    pa.uint64(): ("Q", int),
    pa.uint32(): ("I", int),
    pa.float64(): ("d", float),
}
"""The types whose values Python's `array` lays out as Arrow does, each with its code and the type of its values."""


class ExactType:
    """A type, and how values of it are checked and made into an array, planned once."""

    __slots__ = ("_code", "_doubles", "_numbers", "_plain", "_type", "_wide")

    def __init__(self, dtype: pa.DataType) -> None:
        self._type = dtype
        self._wide = widened(dtype)
        self._doubles = _with_doubles(self._wide)
        self._plain: frozenset[type] = frozenset({_PLAIN[dtype], NoneType} if dtype in _PLAIN else ())
        code: tuple[str | None, type] = _CODES.get(dtype, (None, NoneType))
        self._code, self._numbers = code[0], frozenset(code[1:])

    def holds(self, values: list[Any]) -> bool:
        """Return whether `array` makes an array of these values without changing one, or refuses them."""
        return self._plain.issuperset(map(type, values)) or are_exact(values, self._type)

    def array(self, values: list[Any]) -> pa.Array:
        """Return values that the type holds as an array.

        Raises
        ------
        pyarrow.ArrowException, ValueError, TypeError, OverflowError
            A value does not fit.
        """
        if self._code is not None and self._numbers.issuperset(map(type, values)):
            try:
                # 1.5 us for one value, where pa.array takes 3.5 us.
                buffer = pa.py_buffer(packed(self._code, values))
                return pa.Array.from_buffers(self._type, len(values), [None, buffer])
            except OverflowError:
                pass  # the error below names the value
        array = pa.array(values, self._wide)
        # pyarrow makes infinity of a float that is too large for the type.
        infinite = _infinite(array) if self._doubles != self._wide else 0
        if infinite and infinite != _infinite(pa.array(values, self._doubles)):
            raise ValueError("a float is too large for the type")
        return array if self._wide == self._type else array.cast(self._type)


def are_exact(values: list[Any], dtype: pa.DataType) -> bool:
    """Return whether pyarrow makes an array of `widened(dtype)` of these values, or refuses, but changes none.

    Other values could change: pyarrow makes the integer 1 of 1.5, and UTC of a time without a zone.

    Examples
    --------
    >>> are_exact([1, None], pa.int64()), are_exact([1.5], pa.int64())
    (True, False)
    >>> are_exact([[1], []], pa.large_list(pa.float64())), are_exact([[True]], pa.large_list(pa.float64()))
    (True, False)
    """
    kinds = set(map(type, values)) - {NoneType}
    if pa.types.is_struct(dtype):
        fields = [dtype.field(place) for place in range(dtype.num_fields)]
        there = list(filter(None, values))
        return (
            _are(kinds, dict)
            and all(map(frozenset(field.name for field in fields).issuperset, there))
            and all(
                are_exact(list(map(methodcaller("get", field.name), there)), field.type) for field in fields
            )
        )
    if pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype):
        if np.ndarray in kinds:
            return pa.types.is_large_list(dtype) and have_type(values, dtype.value_type)
        return _are(kinds, (list, tuple)) and are_exact(
            list(chain.from_iterable(filter(None, values))), dtype.value_type
        )
    if pa.types.is_timestamp(dtype):
        zones = (
            set(map(type, map(_ZONE, filter(None, values)))) if kinds <= {datetime} else {NoneType, object}
        )
        return zones <= {NoneType} if dtype.tz is None else NoneType not in zones
    if pa.types.is_time(dtype):
        return kinds <= {time} and not any(map(_ZONE, filter(None, values)))
    if pa.types.is_date(dtype):
        return _are(kinds, date, datetime)
    return _are_scalars(kinds, dtype)


def _are_scalars(kinds: set[type], dtype: pa.DataType) -> bool:
    if pa.types.is_integer(dtype):
        return _are(kinds, _INTEGER, bool)
    if pa.types.is_floating(dtype):
        return _are(kinds, (float, *_INTEGER), bool)
    if pa.types.is_decimal(dtype):
        return _are(kinds, Decimal)
    if pa.types.is_duration(dtype):
        return kinds <= {timedelta}
    if pa.types.is_boolean(dtype):
        return kinds <= {bool}
    if pa.types.is_large_string(dtype):
        return _are(kinds, str)
    if pa.types.is_large_binary(dtype):
        return kinds <= {bytes}
    return pa.types.is_null(dtype) and not kinds


def zones_agree(values: list[Any], dtype: pa.DataType) -> bool:
    """Return whether all datetimes of a column, at any depth, have a zone, or none has, and no time of day has one.

    Parameters
    ----------
    values
        The values, of any types.
    dtype
        The type that pyarrow gives a column of these values.

    Examples
    --------
    >>> from datetime import UTC
    >>> there, zoned = datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)
    >>> [zones_agree(values, pa.list_(pa.timestamp("us"))) for values in ([[there, there]], [[there], [zoned]])]
    [True, False]
    """
    there = [value for value in values if value is not None]
    if pa.types.is_struct(dtype):
        fields = [dtype.field(place) for place in range(dtype.num_fields)]
        return all(zones_agree([value.get(field.name) for value in there], field.type) for field in fields)
    if pa.types.is_list(dtype):
        return zones_agree(list(chain.from_iterable(there)), dtype.value_type)
    zoned = {getattr(value, "tzinfo", None) is not None for value in there}
    if pa.types.is_timestamp(dtype):
        return len(zoned) < 2
    return not (pa.types.is_time(dtype) and True in zoned)


def _infinite(array: pa.Array) -> int:
    """Return the number of infinite values in an array, at any depth."""
    if pa.types.is_struct(array.type):
        return sum(map(_infinite, array.flatten()))
    if pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type):
        return _infinite(array.flatten())
    if pa.types.is_floating(array.type):
        return int(np.isinf(array.to_numpy(zero_copy_only=False)).sum())
    return 0


def _with_doubles(dtype: pa.DataType) -> pa.DataType:
    """Return the type with double in place of shorter floats."""
    return _mapped(dtype, lambda leaf: pa.float64() if pa.types.is_floating(leaf) else leaf)


def widened(dtype: pa.DataType) -> pa.DataType:
    """Return the type with microseconds in place of other units: pyarrow would cut those off without a word.

    Examples
    --------
    >>> widened(pa.large_list(pa.timestamp("ms", "UTC")))
    LargeListType(large_list<item: timestamp[us, tz=UTC]>)
    """
    return _mapped(dtype, _widened_leaf)


def _widened_leaf(dtype: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(dtype):
        return pa.timestamp("us", dtype.tz)
    return pa.duration("us") if pa.types.is_duration(dtype) else dtype


def _mapped(dtype: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """Return a type with other types in place of those that hold no others."""

    def inner(field: pa.Field) -> pa.Field:
        return field.with_type(_mapped(field.type, change))

    if pa.types.is_struct(dtype):
        return pa.struct([inner(dtype.field(place)) for place in range(dtype.num_fields)])
    if pa.types.is_large_list(dtype):
        return pa.large_list(inner(dtype.value_field))
    if pa.types.is_fixed_size_list(dtype):
        return pa.list_(inner(dtype.value_field), dtype.list_size)
    return change(dtype)


def _are(kinds: Iterable[type], allowed: type | tuple[type, ...], but: type | tuple[()] = ()) -> bool:
    return all(issubclass(kind, allowed) and not issubclass(kind, but) for kind in kinds)
