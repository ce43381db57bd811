"""A table that a form of rows may hold where its rows lie, to look them up there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl
import pyarrow as pa


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class LookupTable:
    """A table with each key once and no null among its keys; a row without a null in its key is found if it is equal.

    Parameters
    ----------
    keys
        The key columns of the rows that are looked up, in the types of the table's keys, which are no floats.
    how
        ``"inner"`` for the rows that are found, with the values; ``"left"`` for all rows, with null for values that
        are not found; ``"semi"`` and ``"anti"`` for the rows that are, and are not, found.
    schema
        The columns that come out: those of the rows, and then the values.
    load
        Returns the keys of the table, sorted, and the values next to them; called once by each form.
    on_cpu
        Returns what comes out for rows, looked up in host memory.
    """

    keys: tuple[str, ...]
    how: Literal["inner", "left", "semi", "anti"]
    schema: pa.Schema
    load: Callable[[], tuple[pa.RecordBatch, pa.RecordBatch]]
    on_cpu: Callable[[pl.DataFrame], pl.DataFrame]
