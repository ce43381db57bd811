"""Records that come as dicts, made into batches a column at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, time
from itertools import chain
from operator import methodcaller
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.hints import did_you_mean
from arrowstream.core.ingest import batches_of, conform
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.frame_of import frame_of
from arrowstream.errors import SchemaError
from arrowstream.io.memory.arrays_in_records import are_of_one_array_type, without_arrays
from arrowstream.io.memory.exact_values import UNFIT, ExactType, zones_agree

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

Records = Sequence[dict[Any, Any]]


def records_of(item: Any) -> Records | None:
    """Return the records of an item: a dict is one, a list of dicts is several; None for anything else."""
    if isinstance(item, dict):
        return (item,)
    if isinstance(item, list) and all(issubclass(kind, dict) for kind in set(map(type, item))):
        return item
    return None


class RecordColumns:
    """Columns of records in one schema, planned once.

    Parameters
    ----------
    schema
        Schema of the batches. A record without one of its keys has a null there; another key is an error.
    """

    __slots__ = ("_arrow", "_columns", "_names", "_schema")

    def __init__(self, schema: pl.Schema) -> None:
        self._schema = schema
        self._arrow = arrow_schema(schema)
        self._names = frozenset(schema)
        self._columns = [_Column(name, schema[name], self._arrow.field(name).type) for name in schema]

    def batch(self, records: Records) -> Batch:
        """Return the records as one batch.

        Raises
        ------
        SchemaError
            A record has a key that is not a column, or a value that does not fit its column; the error names it.
        """
        if not all(map(self._names.issuperset, records)):
            raise self._unknown(records)
        values = [column.values(records) for column in self._columns]
        if all(map(_Column.are_exact, self._columns, values)):
            arrays = list(map(_Column.array, self._columns, values))
            return Batch(pa.RecordBatch.from_arrays(arrays, schema=self._arrow))
        return Batch(frame_of(map(_Column.series, self._columns, values)))

    def _unknown(self, records: Records) -> SchemaError:
        key = next(key for key in chain.from_iterable(records) if key not in self._names)
        return SchemaError(
            f"a record has the key {key!r}, which is not a column of its stream",
            expected=", ".join(f"{name}: {dtype}" for name, dtype in self._schema.items()),
            found=f"{key!r}",
            hint=did_you_mean(str(key), self._names) or "add the column to schema=..., or leave the key out",
        )


def guess_batch(records: Records) -> Batch:
    """Return records as a batch whose column types follow from their values."""
    names = list(dict.fromkeys(chain.from_iterable(records)))
    if unfit := [name for name in names if not isinstance(name, str)]:
        raise SchemaError("a record's key is not a string", expected="names of columns", found=repr(unfit[0]))
    columns = {name: list(map(methodcaller("get", name), records)) for name in names}
    arrays = {}
    for name, values in columns.items():
        # pyarrow rounds integers where it finds arrays of several types.
        values = values if are_of_one_array_type(values) else without_arrays(values)
        arrays[name] = _guess(name, values)
        # pyarrow takes a time without a zone for UTC if others have one, and drops the zone of a time of day.
        if not zones_agree(values, arrays[name].type):
            raise _no_column(name, values, "times that all have a zone, or none", None)
    return _guessed(arrays)


class _Column:
    """The values under one key."""

    __slots__ = ("_dtype", "_exact", "_get", "_name", "_untyped")

    def __init__(self, name: str, dtype: pl.DataType, arrow: pa.DataType) -> None:
        self._name = name
        self._dtype = dtype
        self._exact = ExactType(arrow)
        self._untyped = _has_no_type(dtype)
        self._get: Callable[[dict[Any, Any]], Any] = methodcaller("get", name)

    def values(self, records: Records) -> list[Any]:
        """Return the value of each record; NumPy arrays become lists unless they have exactly the column's type."""
        values = list(map(self._get, records))
        return values if self.are_exact(values) else without_arrays(values)

    def are_exact(self, values: list[Any]) -> bool:
        return self._exact.holds(values)

    def array(self, values: list[Any]) -> pa.Array:
        """Return exact values as an array; raise SchemaError if one does not fit."""
        try:
            return self._exact.array(values)
        except UNFIT as error:
            raise _no_column(self._name, values, str(self._dtype), error) from error

    def series(self, values: list[Any]) -> pl.Series:
        """Return values of any Python types, cast without a change, or refused.

        Each type is cast separately, so that a value does not depend on those that came with it.
        """
        if self.are_exact(values):
            return self._conformed(self.array(values))
        if self._untyped:
            raise _no_column(self._name, values, str(self._dtype), _UNTYPED)
        numbers: dict[type, int] = {}
        kinds = np.array([numbers.setdefault(kind, len(numbers)) for kind in map(type, values)])
        places = [np.flatnonzero(kinds == number) for number in numbers.values()]
        try:
            parts = [self._of_one_type([values[place] for place in part]) for part in places]
        except SchemaError as error:
            if len(numbers.keys() - {NoneType}) == 1:
                raise
            raise _no_column(self._name, values, str(self._dtype), _MIXED) from error
        return pl.concat(parts).gather(np.argsort(np.concatenate(places)))

    def _of_one_type(self, values: list[Any]) -> pl.Series:
        if self.are_exact(values):
            return self._conformed(self.array(values))
        if isinstance(values[0], list | tuple | dict | datetime | time):
            # pyarrow would look at all of them at once, and drop or invent zones.
            raise _no_column(self._name, values, str(self._dtype), None)
        return self._conformed(_guess(self._name, values))

    def _conformed(self, array: pa.Array) -> pl.Series:
        schema = pl.Schema({self._name: self._dtype})
        return conform(_guessed({self._name: array}), schema).polars().to_series()


_MIXED = "convert the values before sending them, or pass a type that holds all of them in schema=..."
_UNTYPED = "pass schema=... to the source: the first records had no value that shows the column's type"


def _has_no_type(dtype: PolarsDataType) -> bool:
    """Return whether a type, at any depth, is that of nulls only."""
    if isinstance(dtype, pl.Struct):
        return not dtype.fields or any(map(_has_no_type, dtype.to_schema().values()))
    if isinstance(dtype, pl.List | pl.Array):
        return _has_no_type(dtype.inner)
    return dtype == pl.Null


def _guessed(arrays: dict[str, pa.Array]) -> Batch:
    (batch,) = batches_of(pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays)))
    return batch


def _guess(name: str, values: list[Any]) -> pa.Array:
    """Return values as an array of the type that they have."""
    try:
        return pa.array(values)
    except UNFIT as error:
        raise _no_column(name, values, "values of one type", error) from error


def _no_column(name: str, values: list[Any], expected: str, error: BaseException | str | None) -> SchemaError:
    return SchemaError(
        f"values under the key {name!r} do not make a column",
        expected=expected,
        found=", ".join(sorted(kind.__name__ for kind in set(map(type, values)))),
        hint=next(iter(str(error or "").splitlines()), None),
    )
