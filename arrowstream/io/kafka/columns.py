"""The columns of Kafka records before their values are decoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.hints import did_you_mean
from arrowstream.core.messages import VALUE
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.errors import PlanError
from arrowstream.io.kafka.partition_name import Partition

METADATA: Final[Mapping[str, pl.DataType]] = {
    "key": pl.Binary(),
    "timestamp": pl.Datetime("ms", "UTC"),
    "topic": pl.String(),
    "partition": pl.Int32(),
    "offset": pl.Int64(),
    "headers": pl.List(pl.Struct({"key": pl.String(), "value": pl.Binary()})),
}
"""What a record has in addition to its value, with the types of the columns."""


@dataclass(frozen=True, slots=True)
class SourceColumns:
    """The columns of raw batches: the value, and what was asked for of the metadata.

    Parameters
    ----------
    metadata
        Pairs of a name in `METADATA` and the name of its column.
    """

    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def schema(self) -> pl.Schema:
        """Names and types of the columns of raw batches."""
        return pl.Schema({VALUE: pl.Binary(), **{name: METADATA[kind] for kind, name in self.metadata}})

    def has(self, kind: str) -> bool:
        """Return True if this part of the metadata is a column."""
        return any(kind == each for each, _ in self.metadata)

    def batch(
        self, partition: Partition, values: pa.Array, metadata: Mapping[str, pa.Array]
    ) -> pa.RecordBatch:
        """Return the rows of one partition.

        Parameters
        ----------
        partition
            Their topic and partition.
        values
            The values, as large binary.
        metadata
            Keys, timestamps, offsets and headers, as far as they are columns, in any of Arrow's types for them.
        """
        schema = arrow_schema(self.schema)
        rows = len(values)
        columns = [values]
        for (kind, _), field in zip(self.metadata, list(schema)[1:], strict=True):
            if kind == "topic":
                columns.append(pa.repeat(pa.scalar(partition[0], field.type), rows))
            elif kind == "partition":
                columns.append(pa.array(np.full(rows, partition[1], np.int32)))
            else:
                column = metadata[kind]
                columns.append(column if column.type == field.type else column.cast(field.type))
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def columns_of(metadata: object) -> SourceColumns:
    """Return the columns that a user asks for: a name, several names, or a dict of names and columns' names.

    Raises
    ------
    PlanError
        A name is unknown, or two columns have the same name.
    """
    pairs = metadata.items() if isinstance(metadata, Mapping) else [(name, name) for name in _names(metadata)]
    taken = {VALUE}
    for kind, name in pairs:
        if kind not in METADATA:
            raise PlanError(
                f"a Kafka record has no {kind!r}",
                expected=f"metadata= names of {', '.join(METADATA)}",
                found=repr(metadata),
                hint=did_you_mean(kind, METADATA) if isinstance(kind, str) else None,
            )
        if not isinstance(name, str) or not name or name in taken:
            raise PlanError(
                "metadata= needs a name of its own for each column",
                expected=f"texts that are not empty, other than {VALUE!r}, each once",
                found=repr(metadata),
            )
        taken.add(name)
    return SourceColumns(tuple(pairs))


def _names(metadata: object) -> list[Any]:
    if isinstance(metadata, Iterable) and not isinstance(metadata, str):
        return list(metadata)
    return [metadata]
