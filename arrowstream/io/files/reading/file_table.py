"""What all files of a source have in common: their columns, how they are written, and the query on their rows."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from arrowstream.io.files.evolution import Evolution
from arrowstream.io.files.formats import TEXT_FORMATS
from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.pushed_query import Pushed, pushed
from arrowstream.io.files.text.bad.put_aside import BadRowsTo
from arrowstream.io.files.text.options.text_options import TextOptions
from arrowstream.io.source import Query


@dataclass(frozen=True, slots=True)
class FileTable:
    """The files of a source as one table, and the query on its rows.

    Parameters
    ----------
    first
        The file whose columns the others have, as errors say.
    options
        How text files are written.
    stored
        Columns inside the files.
    schema
        Columns before `query`: stored ones, then partitions, with the types from the user.
    query
        Part of the pipeline computed while reading, or None.
    strict_keys
        Whether a key that is not a column is an error.
    evolution
        Differences between the columns of the files that are allowed.
    bad_rows
        ``"error"`` if a bad row of text is an error; else it is put aside, and with ``"skip"`` noted as lost.
    batch_rows
        Largest number of rows of a batch; None for some 131,072.
    """

    first: ListedFile
    options: TextOptions
    stored: pl.Schema
    schema: pl.Schema
    query: Query | None
    strict_keys: bool
    evolution: Evolution
    bad_rows: BadRowsTo = "error"
    batch_rows: int | None = None

    @property
    def is_text(self) -> bool:
        """True if the files are text, of which the number of rows is not known before they are read."""
        return self.first.kind.format in TEXT_FORMATS

    @property
    def pushed(self) -> Pushed:
        """The columns that the query needs, and its first filter. Computed at each call."""
        return pushed(self.query, self.schema)

    def no_rows(self) -> pl.DataFrame:
        """Return a frame with the columns after the query, without rows."""
        rows = pl.LazyFrame(schema=self.schema)
        return (rows if self.query is None else self.query(rows)).collect()
