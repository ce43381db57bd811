"""The table of a join for forms of rows that look rows up where they lie, such as on a GPU."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, arrow_schema, to_record
from arrowstream.core.elsewhere import form_elsewhere
from arrowstream.core.rows.lookup import LookupTable
from arrowstream.operators.joins.columns import JoinColumns
from arrowstream.operators.joins.keys import JoinKeys
from arrowstream.state.memory import StateMemory

_PLACE = "__place__"
"""The column of the rows' numbers, next to the keys."""


def lookup_table(
    columns: JoinColumns,
    keys: JoinKeys,
    types: pl.Schema,
    table: pl.DataFrame,
    values: pl.DataFrame,
    memory: StateMemory,
) -> LookupTable | None:
    """Return a table, in which each key comes once, for forms of rows that look rows up.

    Parameters
    ----------
    columns
        The columns that come out.
    keys
        The key columns of stream and table.
    types
        The types in which keys are compared.
    table
        The table.
    values
        Its columns that come out, under their new names.
    memory
        What the keys count as, which are kept for it.

    Returns
    -------
    LookupTable or None
        None if keys are compared in another type than the stream has, if null equals null, or if keys are floats:
        equal ones may have other bits.
    """
    fit = all(columns.schema[name] == dtype and not dtype.is_float() for name, dtype in types.items())
    if not fit or keys.nulls_equal:
        return None
    own = keys.of_right(table, types)
    memory.reserve(int(own.estimated_size()))

    def load() -> tuple[pa.RecordBatch, pa.RecordBatch]:
        places = own.with_row_index(_PLACE).drop_nulls(own.columns).sort(own.columns)[_PLACE]
        return to_record(own[places]), to_record(values[places] if values.width else values)

    return LookupTable(keys.left, columns.how, arrow_schema(columns.schema), load)


def looked_up(batch: Batch, table: LookupTable) -> Batch | None:
    """Return a batch with what a table has for its rows, in the form in which they are; None if that cannot be."""
    form = form_elsewhere(batch)
    found = None if form is None or form.looked_up is None else form.looked_up(batch.form(form.name), table)
    return None if found is None else batch.with_rows(found)
