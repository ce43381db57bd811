"""Arrays of Python values that keep every value as it is, at any depth, or refuse it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from operator import attrgetter, methodcaller
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa

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


class ExactType:
    """A type, and how values of it are checked and made into an array, planned once."""

    __slots__ = ("_plain", "_type", "_wide")

    def __init__(self, dtype: pa.DataType) -> None:
        self._type = dtype
        self._wide = widened(dtype)
        self._plain: frozenset[type] = frozenset({_PLAIN[dtype], NoneType} if dtype in _PLAIN else ())

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
        array = pa.array(values, self._wide)
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


def widened(dtype: pa.DataType) -> pa.DataType:
    """Return the type with microseconds in place of other units: pyarrow would cut those off without a word.

    Examples
    --------
    >>> widened(pa.large_list(pa.timestamp("ms", "UTC")))
    LargeListType(large_list<item: timestamp[us, tz=UTC]>)
    """
    if pa.types.is_struct(dtype):
        return pa.struct([_widened(dtype.field(place)) for place in range(dtype.num_fields)])
    if pa.types.is_large_list(dtype):
        return pa.large_list(_widened(dtype.value_field))
    if pa.types.is_fixed_size_list(dtype):
        return pa.list_(_widened(dtype.value_field), dtype.list_size)
    if pa.types.is_timestamp(dtype):
        return pa.timestamp("us", dtype.tz)
    return pa.duration("us") if pa.types.is_duration(dtype) else dtype


def _widened(field: pa.Field) -> pa.Field:
    return field.with_type(widened(field.type))


def _are(kinds: Iterable[type], allowed: type | tuple[type, ...], but: type | tuple[()] = ()) -> bool:
    return all(issubclass(kind, allowed) and not issubclass(kind, but) for kind in kinds)
