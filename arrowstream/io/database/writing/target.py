"""`TargetTable`: the table that a sink writes, made or checked when the sink opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.core.hints import did_you_mean
from arrowstream.core.plural import counted
from arrowstream.core.rows.changes import BEFORE, CHANGE, CHANGES, DELETE
from arrowstream.errors import SchemaError, SinkError
from arrowstream.io.database.identifiers import LONGEST, TableName, quoted, quoted_list
from arrowstream.io.database.systems.column_types import ColumnTypes, Stored, UnfitColumn
from arrowstream.io.database.systems.database import Database
from arrowstream.io.database.systems.failures import Failure
from arrowstream.io.database.writing.encoding import RowEncoding, TableColumn

Mode = Literal["append", "upsert", "create"]

_NO_CHANGE = (
    'leave it out: an upserted table has the rows of now; mode="append" keeps each change, with that column'
)


def check_columns(types: ColumnTypes, schema: pl.Schema, key: Sequence[str]) -> dict[str, Stored]:
    """Return how each column is stored in a new table.

    Raises
    ------
    SchemaError
        The database has no type for a column, two names are the same to it, or a column of the key is missing.
    """
    for name in key:
        if name not in schema:
            raise SchemaError(
                f"the key has a column {name!r} that the rows lack",
                expected=f"columns of {', '.join(schema)}",
                hint=_NO_CHANGE if name == CHANGE else did_you_mean(name, schema),
            )
        if schema[name].is_float() or schema[name].is_nested():
            raise SchemaError(
                f"the column {name!r} cannot be part of the key",
                expected="values that are equal or not: numbers without a fraction, texts, dates, times",
                found=str(schema[name]),
                hint=f"give it such a type before, as by .cast({{{name!r}: pl.Int64}})",
            )
    if not schema:
        raise SchemaError("a table needs a column", found="rows without columns")
    names = {name.lower() if types.folds else name: name for name in schema}
    for name in schema:
        if (other := names[name.lower() if types.folds else name]) != name:
            raise SchemaError(
                f"two columns have one name in {types.name}",
                expected="names that differ not only in upper and lower case",
                found=f"{name!r} and {other!r}",
            )
    return {name: _created(types, name, dtype) for name, dtype in schema.items()}


def _created(types: ColumnTypes, name: str, dtype: pl.DataType) -> Stored:
    try:
        return types.created(dtype)
    except UnfitColumn as unfit:
        raise SchemaError(
            f"{types.name} cannot store the column {name!r}",
            expected=unfit.expected,
            found=str(dtype),
            hint=unfit.hint.replace('"x"', f'"{name}"'),
        ) from None


def stored_schema(schema: pl.Schema, mode: Mode) -> pl.Schema:
    """Return the columns that a table gets: a table that is upserted into follows changes, and does not keep them.

    Raises
    ------
    SchemaError
        The column of changes does not hold words.
    """
    if mode == "upsert" and schema.get(CHANGE, pl.String()) not in (pl.String, pl.Categorical, pl.Enum):
        raise SchemaError(
            f"an upsert reads the column {CHANGE!r} as what becomes of rows",
            expected=f"text: {', '.join(CHANGES)}",
            found=str(schema[CHANGE]),
            hint="rename a column that is something else",
        )
    return pl.Schema({name: dtype for name, dtype in schema.items() if mode != "upsert" or name != CHANGE})


class TargetTable:
    """The table of a sink.

    Parameters
    ----------
    database
        The open connection.
    name
        The table.
    mode
        What is done with rows that it holds.
    key
        Columns of which a table that is upserted into has one row for each value.
    schema
        Schema of the rows.
    own
        True if the sink may have made the table in an earlier run, as one that continues after a checkpoint.

    Raises
    ------
    SinkError
        The table exists and should be created.
    SchemaError
        The table has no columns for the rows.
    """

    def __init__(
        self,
        database: Database,
        name: TableName,
        mode: Mode,
        key: Sequence[str],
        schema: pl.Schema,
        *,
        own: bool = False,
    ) -> None:
        self._database = database
        self._has_changes = mode == "upsert" and CHANGE in schema
        """Whether rows are changes, of which some delete a row of the table."""
        self._delete = ""
        schema = stored_schema(schema, mode)
        created = check_columns(database.types, schema, key)
        found = database.columns(name)
        self.missing = found is None
        self._was_missing = self.missing
        if found is None:
            self.name = name
            columns = [TableColumn(each, each, stored) for each, stored in created.items()]
        else:
            if mode == "create" and not own:
                raise SinkError(
                    f"the table {name.label} exists",
                    expected='a table that is made: mode="create"',
                    hint='mode="append" adds rows to it; DROP TABLE makes room for a new one',
                )
            self.name, there = found
            columns = [_column(database.types, name, there, each, dtype) for each, dtype in schema.items()]
        self._columns = {column.target: column.stored for column in columns}
        self._key = [column.target for column in columns if column.name in key]
        encoded_key = key if mode == "upsert" else ()
        self._encode = RowEncoding(database.types, name.label, schema, columns, encoded_key).encode
        self._row_key = encoded_key
        self._statement: str | None = None
        if mode == "upsert" or any(column.stored.cast is not None for column in columns):
            self._statement = self._through_stage(columns, upsert=mode == "upsert")

    def _through_stage(self, columns: Sequence[TableColumn], *, upsert: bool) -> str:
        stage = self._database.make_stage(
            {column.target: column.stored.sql if column.stored.cast is None else "text" for column in columns}
        )
        values = [
            quoted(column.target)
            if column.stored.cast is None
            else f"CAST({quoted(column.target)} AS {column.stored.cast})"
            for column in columns
        ]
        into = f"INSERT INTO {self.name.sql} ({quoted_list(self._columns)})"
        statement = f"{into} SELECT {', '.join(values)} FROM {stage}"
        if upsert:
            others = [name for name in self._columns if name not in self._key]
            changes = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
            deed = f"UPDATE SET {changes}" if others else "NOTHING"
            statement += f" WHERE true ON CONFLICT ({quoted_list(self._key)}) DO {deed}"
            if not self.missing:
                self._check_unique(statement)
            key = ", ".join(
                value for value, name in zip(values, self._columns, strict=True) if name in self._key
            )
            chosen = quoted_list([name for name in self._columns if name in self._key])
            self._delete = f"DELETE FROM {self.name.sql} WHERE ({chosen}) IN (SELECT {key} FROM {stage})"
        return statement

    def _check_unique(self, statement: str) -> None:
        try:
            self._database.check_statement(statement)
        except self._database.failures as error:
            names = quoted_list(self._key)
            index = quoted(
                f"{self.name.name}_{'_'.join(self._key)}".encode()[:LONGEST].decode(errors="ignore")
            )
            raise SinkError(
                f"rows cannot be upserted into the table {self.name.label}",
                expected=f"a unique index on the key ({', '.join(self._key)})",
                found=Failure.of(error).message,
                hint=f"CREATE UNIQUE INDEX {index} ON {self.name.sql} ({names}); or let the sink make the table",
            ) from error

    def create(self) -> None:
        """Make the table if it is missing."""
        if self.missing:
            with self._database.writing(self.name):
                columns = {name: stored.sql for name, stored in self._columns.items()}
                self._database.create(self.name, columns, self._key)
                self.missing = False

    def kept(self) -> None:
        """Take note that the transaction in which the table was made is committed."""
        self._was_missing = False

    def undone(self) -> None:
        """Take note that the transaction in which the table was made is undone."""
        self.missing = self._was_missing

    @property
    def may_refuse(self) -> bool:
        """True if the table has constraints, or will have a key."""
        return bool(self._key) if self.missing else self._database.has_constraints(self.name)

    def last_of_key(self, rows: pa.Table) -> pa.Table:
        """Return the last row for each value of the key, of rows that `encode` made."""
        frame = cast(pl.DataFrame, pl.from_arrow(rows)).unique(self._key, keep="last", maintain_order=True)
        return frame.to_arrow(compat_level=pl.CompatLevel.oldest())

    def encode(self, frame: pl.DataFrame) -> pa.Table:
        """Return rows for the table; of changes the last one of each key, and whether it deletes the row.

        Raises
        ------
        SinkError
            A value cannot be stored as it is, or it is not known what becomes of a row.
        """
        if not self._has_changes:
            return self._encode(frame)
        change = pl.col(CHANGE).cast(pl.String)
        unknown = (
            frame.select(change)
            .to_series()
            .filter(frame.select(~change.is_in(CHANGES).fill_null(False)).to_series())
        )
        if len(unknown):
            raise SinkError(
                f"{counted(len(unknown), 'rows')} for the table {self.name.label} are not changes",
                expected=f"a {CHANGE} of {', '.join(CHANGES)}",
                found=repr(unknown[0]),
            )
        frame = frame.filter(change != BEFORE).unique(self._row_key, keep="last", maintain_order=True)
        rows = self._encode(frame.drop(CHANGE))
        deletes = frame.select(change == DELETE).to_series()
        return rows.append_column(CHANGE, pa.array(deletes.to_arrow()))

    def insert(self, rows: pa.Table) -> None:
        """Write rows that `encode` made, in the transaction."""
        with self._database.writing(self.name):
            if self._statement is None:
                self._database.append(self.name, rows)
            elif not self._has_changes:
                self._database.through_stage(rows, self._statement)
            else:
                self._change(rows, self._statement)

    def _change(self, rows: pa.Table, upsert: str) -> None:
        deletes = rows[CHANGE]
        rows = rows.drop_columns([CHANGE])
        for some, statement in (
            (rows.filter(deletes), self._delete),
            (rows.filter(pc.invert(deletes)), upsert),
        ):
            if some.num_rows:
                self._database.through_stage(some, statement)


def _column(
    types: ColumnTypes, table: TableName, there: Mapping[str, str], name: str, dtype: pl.DataType
) -> TableColumn:
    """Return the column of a table for one of the rows."""
    target = name if name in there or not types.folds else _folded(there, name)
    if target not in there:
        raise SchemaError(
            f"the table {table.label} has no column {name!r}",
            expected=f"columns of {', '.join(there)}",
            found=f"{name}: {dtype}",
            hint=did_you_mean(name, there) or f"drop it: .drop({name!r})",
        )
    stored = types.found(there[target], dtype)
    if stored is None:
        raise SchemaError(
            f"the column {name!r} does not fit the table {table.label}",
            expected=there[target],
            found=f"{dtype}, for which a new table would have {_created(types, name, dtype).sql}",
            hint=f"cast it before the sink: .cast({{{name!r}: ...}})",
        )
    return TableColumn(name, target, stored)


def _folded(there: Mapping[str, str], name: str) -> str:
    return next((each for each in there if each.lower() == name.lower()), name)
