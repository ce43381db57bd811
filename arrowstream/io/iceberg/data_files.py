"""Parquet files of a table, which do not belong to it before their commit."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from arrowstream.core.batch import to_record
from arrowstream.errors import SchemaError, SinkError
from arrowstream.io.iceberg.location import IcebergLocation
from arrowstream.io.lake.gathered_files import Key

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile as ManifestFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a table.

    Parameters
    ----------
    path
        Where it is.
    size
        Its bytes.
    spec
        Number of the partitions that it is made for.
    partition
        Value of each of them.
    """

    path: str
    size: int
    spec: int
    partition: list[str | int | bool | None]

    def as_json(self) -> Any:
        """Return the file as part of a handle."""
        return asdict(self)


class DataFileWriter:
    """Writes files of a table.

    Parameters
    ----------
    table
        The table, or one that is staged.
    schema
        The columns as Arrow has them, with the ids that the table gives them.
    before_file
        Called with the path of each file before it is made.
    """

    def __init__(self, table: Table, schema: Any, before_file: Callable[[str], None]) -> None:
        self._io = table.io
        self._places = table.location_provider()
        self._spec = table.spec().spec_id
        self._schema = schema
        self._before_file = before_file

    def write(self, key: Key, frame: pl.DataFrame) -> DataFile:
        """Write the rows of a partition as one file."""
        out = io.BytesIO()
        rows = pa.Table.from_batches([to_record(frame)]).cast(self._schema)
        parquet.write_table(rows, out, compression="zstd", store_decimal_as_integer=True)
        path = self._places.new_data_location(f"{uuid.uuid4()}.parquet")
        self._before_file(path)
        try:
            with self._io.new_output(path).create() as stream:
                stream.write(out.getvalue())
        except BaseException:
            self.delete(path)
            raise
        return DataFile(path, out.tell(), self._spec, list(key))

    def delete(self, path: str) -> None:
        """Remove a file if it is there and can be removed."""
        with suppress(Exception):
            self._io.delete(path)


def manifest_file(location: IcebergLocation, table: Table, file: DataFile) -> ManifestFile:
    """Return a file as a table's manifests have it, with statistics of its columns.

    Raises
    ------
    SinkError
        The file is missing, or is not as it was written.
    SchemaError
        The table has other columns or partitions than when the file was written.
    """
    from pyiceberg.io.pyarrow import (
        compute_statistics_plan,
        data_file_statistics_from_parquet_metadata,
        parquet_path_to_id_mapping,
        pyarrow_to_schema,
    )
    from pyiceberg.manifest import DataFile as ManifestFile
    from pyiceberg.manifest import DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    content = _footer(location, table.io, file)
    schema = pyarrow_to_schema(content.schema.to_arrow_schema())
    _check(location, table, file, schema)
    statistics = data_file_statistics_from_parquet_metadata(
        content,
        compute_statistics_plan(table.schema(), table.properties),
        parquet_path_to_id_mapping(schema),
    )
    return ManifestFile.from_args(
        content=DataFileContent.DATA,
        file_path=file.path,
        file_format=FileFormat.PARQUET,
        partition=Record(*file.partition),
        file_size_in_bytes=file.size,
        sort_order_id=None,
        spec_id=file.spec,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def _footer(location: IcebergLocation, files: FileIO, file: DataFile) -> Any:
    given = files.new_input(file.path)
    found = len(given) if given.exists() else None
    if found != file.size:
        raise SinkError(
            f"a data file for the Iceberg table {location} is damaged",
            expected=f"{file.path} with {file.size:,} bytes",
            found="no file" if found is None else f"{found:,} bytes",
            hint="the rows of the epoch are lost: files that were not part of the table yet have been removed",
        )
    with given.open() as opened:
        return parquet.read_metadata(opened)


def _check(location: IcebergLocation, table: Table, file: DataFile, schema: Schema) -> None:
    """Raise SchemaError if the columns of a file, or its partition, are not those of the table."""
    if table.spec().spec_id != file.spec:
        raise SchemaError(
            f"the Iceberg table {location} has other partitions than when the rows were written",
            expected=f"the partitions of number {file.spec}",
            found=f"number {table.spec().spec_id}: {table.spec()}",
        )
    fields = {field.field_id: (field.name, field.field_type) for field in table.schema().fields}
    for field in schema.fields:
        if fields.get(field.field_id) != (field.name, field.field_type):
            raise SchemaError(
                f"the Iceberg table {location} has other columns than when the rows were written",
                expected=str(field),
                found=", ".join(map(str, table.schema().fields)),
            )
