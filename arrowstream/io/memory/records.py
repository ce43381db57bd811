"""Records that come as dicts, made into batches a column at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, time
from decimal import Decimal
from itertools import chain
from operator import methodcaller
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, arrow_schema
from arrowstream.core.hints import did_you_mean
from arrowstream.core.ingest import batches_of, conform
from arrowstream.errors import SchemaError

Records = Sequence[dict[Any, Any]]

_UNFIT = (pa.ArrowException, ValueError, TypeError, OverflowError)
_INTEGER: frozenset[type] = frozenset({int, type(None)})
_REAL: frozenset[type] = frozenset({float, type(None)})
_EXACT: dict[pa.DataType, frozenset[type]] = {
    **dict.fromkeys((pa.int8(), pa.int16(), pa.int32(), pa.int64()), _INTEGER),
    **dict.fromkeys((pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()), _INTEGER),
    **dict.fromkeys((pa.float32(), pa.float64()), _REAL),
    pa.bool_(): frozenset({bool, type(None)}),
    pa.large_string(): frozenset({str, type(None)}),
    pa.large_binary(): frozenset({bytes, type(None)}),
    pa.date32(): frozenset({date, type(None)}),
    pa.time64("ns"): frozenset({time, type(None)}),
}
"""Python types whose values pyarrow keeps as they are, or refuses, when it makes an array of this type.

Other values could change: pyarrow makes the integer 1 of 1.5.
"""


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
        self._columns = [(name, _getter(name), _of_type(self._arrow.field(name).type)) for name in schema]

    def batch(self, records: Records) -> Batch:
        """Return the records as one batch.

        Raises
        ------
        SchemaError
            A record has a key that is not a column, or a value that does not fit its column; the error names it.
        """
        if not all(map(self._names.issuperset, records)):
            raise self._unknown(records)
        try:
            arrays = [make(list(map(get, records))) for _, get, make in self._columns]
        except _UNFIT:
            return self._cast(records)
        return Batch(pa.RecordBatch.from_arrays(arrays, schema=self._arrow))

    def _cast(self, records: Records) -> Batch:
        """Return records with values of other Python types than planned: cast without a change, or refused."""
        arrays = [_array(name, list(map(get, records)), make) for name, get, make in self._columns]
        return conform(_guessed(list(self._schema), arrays), self._schema)

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
    guess = _of_type(pa.null())
    return _guessed(names, [_array(name, list(map(_getter(name), records)), guess) for name in names])


def _guessed(names: list[str], arrays: list[pa.Array]) -> Batch:
    (batch,) = batches_of(pa.RecordBatch.from_arrays(arrays, names=names))
    return batch


def _getter(name: str) -> Callable[[dict[Any, Any]], Any]:
    return methodcaller("get", name)


Make = Callable[[list[Any]], pa.Array]


def _of_type(dtype: pa.DataType) -> Make:
    """Return a function that makes an array of this type, or raises if pyarrow might change a value."""
    kinds = _EXACT.get(dtype, frozenset())
    if pa.types.is_decimal(dtype):
        kinds = frozenset({Decimal, type(None)})

    def make(values: list[Any]) -> pa.Array:
        if kinds.issuperset(map(type, values)):
            return pa.array(values, dtype)
        raise TypeError

    return make


def _array(name: str, values: list[Any], make: Make) -> pa.Array:
    """Return values as an array, of the planned type if they are of it exactly, else of the type that they have."""
    try:
        return make(values)
    except _UNFIT:
        pass
    try:
        return pa.array(values)
    except _UNFIT as error:
        raise SchemaError(
            f"values under the key {name!r} do not make a column",
            expected="values of one type",
            found=", ".join(sorted(kind.__name__ for kind in set(map(type, values)))),
            hint=next(iter(str(error).splitlines()), None),
        ) from error
