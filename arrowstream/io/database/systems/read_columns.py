"""What a query gives, and how it becomes rows of Polars without a change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import to_frame
from arrowstream.core.hints import did_you_mean
from arrowstream.core.rows.arrow_types import polars_schema
from arrowstream.errors import SchemaError, SourceError


@dataclass(frozen=True, slots=True)
class ReadColumn:
    """A column of a query.

    Parameters
    ----------
    name
        Its name.
    dtype
        Type of its values.
    value
        Makes the values of what the driver gives.
    refused
        What values must be, with an expression that finds the others.
    driver
        Type of what the driver gives, where it must be asked for it; else None.
    """

    name: str
    dtype: pl.DataType
    value: pl.Expr
    refused: tuple[tuple[str, pl.Expr], ...] = ()
    driver: pl.DataType | None = None

    def declared(self, dtype: pl.DataType) -> ReadColumn:
        """Return the column with the type that a user declares."""
        value = self.value if dtype == self.dtype else self.value.cast(dtype)
        return replace(self, dtype=dtype, value=value)


def each_once(names: Iterable[str]) -> None:
    """Raise SchemaError if two columns have one name."""
    polars_schema(pa.schema([(name, pa.int8()) for name in names]))


def check_declared(label: str, names: Iterable[str], declared: pl.Schema) -> None:
    """Raise SchemaError if a user declares a column that a query does not give."""
    known = list(names)
    for name in declared:
        if name not in known:
            raise SchemaError(
                f"{label} has no column {name!r}",
                expected=f"columns of {', '.join(known)}",
                hint=did_you_mean(name, known),
            )


class QueryDecoding:
    """Makes frames of the record batches of a query.

    Parameters
    ----------
    label
        The query, for errors.
    columns
        Its columns.
    """

    def __init__(self, label: str, columns: Sequence[ReadColumn]) -> None:
        self._label = label
        self._driver = {column.name: column.driver for column in columns if column.driver is not None}
        self.schema = pl.Schema({column.name: column.dtype for column in columns})
        self._values = [column.value.alias(column.name) for column in columns]
        found = [(column.name, *refused) for column in columns for refused in column.refused]
        self._reasons = [(name, reason) for name, reason, _ in found]
        self._checks = [check.any().alias(str(number)) for number, (*_, check) in enumerate(found)]

    def decode(self, record: pa.RecordBatch) -> pl.DataFrame:
        """Return the rows of a batch.

        Raises
        ------
        SourceError
            A value is none of its column's type.
        """
        frame = raw_frame(record)
        for name, dtype in self._driver.items():
            if frame.schema[name] != dtype:
                raise SourceError(
                    f"{self._label} has a value that is none of its column's type in {name!r}",
                    expected=f"values of {dtype}",
                    found=f"values of {frame.schema[name]} among them",
                    hint=f"declare a type that holds all of them, such as schema={{{name!r}: str}}",
                )
        try:
            if self._checks:
                for (name, reason), found in zip(
                    self._reasons, frame.select(self._checks).row(0), strict=True
                ):
                    if found:
                        raise SourceError(
                            f"{self._label} has a value that cannot be read in the column {name!r}",
                            expected=reason,
                            hint=f"declare the column as text, schema={{{name!r}: str}}, or leave out such rows",
                        )
            return frame.select(self._values)
        except pl.exceptions.PolarsError as error:
            raise SourceError(
                f"{self._label} has a value that is none of its column's type",
                expected=", ".join(f"{name}: {dtype}" for name, dtype in self.schema.items()),
                found=str(error).splitlines()[0],
                hint="declare the type that the column has with schema={...}",
            ) from error


def raw_frame(record: pa.RecordBatch) -> pl.DataFrame:
    """Return a batch as a frame, types of Arrow's extensions as what they are stored as."""
    arrays = [array.storage if isinstance(array, pa.ExtensionArray) else array for array in record.columns]
    return to_frame(pa.RecordBatch.from_arrays(arrays, record.schema.names))
