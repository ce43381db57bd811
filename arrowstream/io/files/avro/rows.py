"""Rows of an Avro file, in pieces of whole blocks."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from arrowstream.errors import ArrowstreamError, SchemaError
from arrowstream.io.files.avro.codecs import CODECS, DAMAGES
from arrowstream.io.files.avro.container import MAGIC, SYNC_BYTES, Block, Container, number_bytes
from arrowstream.io.files.avro.end_row import EndRow
from arrowstream.io.files.avro.types import AvroType, AvroTypes, UnfitType
from arrowstream.io.files.columnar.damage import failed_steps
from arrowstream.io.files.columnar.given_types import Adapt
from arrowstream.io.files.columnar.open_file import OpenFile
from arrowstream.io.files.columnar.scan import PIECE_BYTES
from arrowstream.io.files.read_ahead import Piece, gathered

_RATIO: Final = 4
"""Expected size of unpacked rows, in units of their packed size."""

_SYNC: Final = bytes(range(SYNC_BYTES))


class DamagedBlock(Exception):
    """A block whose rows cannot be read; explained with its place in the file."""

    def __init__(self, block: Block, found: str) -> None:
        super().__init__(found)
        self.block = block


class AvroFile:
    """Avro file whose rows can be read.

    Parameters
    ----------
    file
        The open file.

    Attributes
    ----------
    schema : polars.Schema
        Names and types of the columns.

    Raises
    ------
    SourceError
        The header is damaged.
    SchemaError
        The rows are not records, no column can have the type of a field, or the compression is not known.
    """

    __slots__ = ("_container", "_converts", "_end", "_head", "_unpack", "schema")

    def __init__(self, file: OpenFile) -> None:
        self._container = Container(file)
        fields = self._fields()
        self.schema = pl.Schema({name: field.dtype for name, field in fields.items()})
        self._converts = {name: field.convert for name, field in fields.items() if field.convert is not None}
        codec = self._container.codec
        if codec not in CODECS:
            raise SchemaError(
                f"{file.path} has a compression that is not known",
                expected=", ".join(CODECS),
                found=codec,
                hint="write the file with one of these",
            )
        self._unpack = CODECS[codec]
        row = {"type": "record", "name": "row", "fields": _named(fields)}
        written = json.dumps(row).encode()
        pair = number_bytes(len(b"avro.schema")) + b"avro.schema" + number_bytes(len(written)) + written
        self._end = EndRow.of({name: field.schema for name, field in fields.items()})
        self._head = MAGIC + number_bytes(1) + pair + number_bytes(0) + _SYNC

    def _fields(self) -> dict[str, AvroType]:
        path, schema = self._container.file.path, self._container.schema
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise SchemaError(
                f"the rows of {path} have no columns",
                expected="records with named fields",
                found=str(schema.get("type") if isinstance(schema, dict) else schema),
                hint="write each value as the field of a record",
            )
        try:
            return AvroTypes().fields(schema)
        except UnfitType as error:
            raise SchemaError(
                f"a field of {path} has a type that no column can have",
                expected="plain types, enums, fixed, records, arrays, maps, and unions of one of these with null",
                found=str(error),
                hint="leave the field out when writing the file, or write another type",
            ) from error
        except (
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
            RecursionError,
            pl.exceptions.PolarsError,
        ) as error:
            raise self._container.damaged("the schema", 0, f"{type(error).__name__}: {error}") from error

    @property
    def rows(self) -> int:
        """Number of rows, from the heads of the blocks."""
        return sum(block.rows for block in self._container.blocks())

    def pieces(self, columns: tuple[str, ...], adapt: Adapt) -> Iterator[Piece]:
        """Yield the blocks, small ones together.

        Parameters
        ----------
        columns
            Names of the columns that are needed.
        adapt
            Query on the rows; its input has all columns.
        """
        most = PIECE_BYTES if self._container.codec == "null" else PIECE_BYTES // _RATIO
        for blocks in gathered(self._container.blocks(), most):
            yield self._piece(blocks, columns, adapt)

    def _piece(self, blocks: list[Block], columns: tuple[str, ...], adapt: Adapt) -> Piece:
        file, rows = self._container.file, sum(block.rows for block in blocks)

        def read() -> pl.DataFrame:
            found = self._read(blocks, columns)
            file.check()
            return adapt(found.lazy()).collect()

        def explain(error: BaseException, first_row: int) -> ArrowstreamError:
            if isinstance(error, DamagedBlock):
                where = f"block {error.block.number + 1} ({file.path} rows {first_row}-{first_row + rows})"
                return self._container.damaged(where, error.block.start, str(error))
            wrong = adapt.misfit(self._read(blocks, columns).select(columns), first_row)
            return wrong or failed_steps(file, error, first_row, rows)

        return Piece(file.path, rows, sum(block.nbytes for block in blocks), read, explain)

    def _read(self, blocks: list[Block], columns: tuple[str, ...]) -> pl.DataFrame:
        """Return the rows of several blocks with all columns; those that are not needed hold nulls."""
        rows = [self._unpacked(block) for block in blocks]
        count = sum(block.rows for block in blocks)
        try:
            return self._decoded(rows, count, columns)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            if len(blocks) > 1:
                blocks = [block for block in blocks if self._is_damaged(block, columns)] or blocks
            raise DamagedBlock(blocks[0], str(error).split("\n")[0]) from error

    def _is_damaged(self, block: Block, columns: tuple[str, ...]) -> bool:
        try:
            self._read([block], columns)
        except DamagedBlock:
            return True
        return False

    def _unpacked(self, block: Block) -> bytes:
        packed = self._container.file.read(block.start, block.nbytes)
        try:
            rows = self._unpack(packed)
        except DAMAGES as error:
            raise DamagedBlock(block, str(error).split("\n")[0]) from error
        # Each value has at least one byte. Polars allocates memory for as many rows as the block says it has.
        if block.rows * len(self.schema) > len(rows):
            raise DamagedBlock(block, f"{block.rows:,} rows in {len(rows):,} bytes")
        return rows

    def _decoded(self, rows: list[bytes], count: int, columns: tuple[str, ...]) -> pl.DataFrame:
        end = self._end
        # Without any column, the number of rows would be lost.
        chosen = dict.fromkeys([*columns, *([next(iter(self.schema))] if end is None else [end.column])])
        body = [*rows, *([] if end is None else [end.content])]
        sizes = number_bytes(count + (end is not None)) + number_bytes(sum(map(len, body)))
        content = io.BytesIO(b"".join((self._head, sizes, *body, _SYNC)))
        found = pl.read_avro(content, columns=list(chosen))
        if end is not None:
            if not end.ends(found):
                raise OSError("the rows have another size than the block says")
            found = found.head(count)
        typed = [
            self._converts[name](pl.col(name)) if name in columns else pl.lit(None, dtype).alias(name)
            for name, dtype in self.schema.items()
            if name in self._converts or name not in columns
        ]
        return found.with_columns(typed).select(list(self.schema))


def _named(fields: dict[str, AvroType]) -> list[dict[str, Any]]:
    return [{"name": name, "type": field.schema} for name, field in fields.items()]
