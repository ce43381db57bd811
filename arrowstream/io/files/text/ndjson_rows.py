"""Rows of NDJSON in which no value is lost silently.

Polars' reader leaves out keys that the schema lacks, and all but the first of equal keys in an object; it reformats
numbers in text columns. None of this is an error in Polars. But the values of a frame are counted quickly, and so are
keys and strings in the bytes: if the counts agree, the frame has every value, unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl

from arrowstream.io.files.text.formats import FlawedRecord
from arrowstream.io.files.text.json.kept_texts import first_bytes, keeps_texts
from arrowstream.io.files.text.json.plain_lines import plain_lines
from arrowstream.io.files.text.json.quoted_numbers import quoting_pattern, with_quotes
from arrowstream.io.files.text.json.restated import Restated
from arrowstream.io.files.text.json.tokens import Tokens, agrees, counted
from arrowstream.io.files.text.ndjson_format import Ndjson

if TYPE_CHECKING:
    from polars._typing import PolarsDataType


_FLAT: Final = (pl.Boolean, pl.Date, pl.Datetime, pl.Null, pl.String)
"""Types, besides numbers, for which Polars refuses lists and objects; for String they become text."""

_BIT: Final = ord("[") ^ ord("{")
"""The bit that ``{`` has and ``[`` lacks: no other byte gives ``{`` together with it."""


class NdjsonRows:
    """Parser of a file's blocks, which several threads may use at a time.

    Parameters
    ----------
    schema
        Names and types of the columns.
    counts
        Whether the number of values that the rows leave out is needed.
    nbytes
        Bytes of the file, of which a compiled loop reads the plain blocks; None if Polars reads all.
    """

    __slots__ = ("_counts", "_format", "_has_numbers", "_pattern", "_plain", "_schema", "_with_late_keys")

    def __init__(self, schema: pl.Schema, *, counts: bool = True, nbytes: int | None = None) -> None:
        self._counts = counts
        self._plain = None if nbytes is None else plain_lines(schema, nbytes)
        self._format = Ndjson()
        self._schema = schema
        self._with_late_keys = schema
        """Columns, plus the late keys (not columns) seen so far: tells their values from other losses."""
        self._pattern = quoting_pattern(schema)
        self._has_numbers = False
        """True if a block had numbers in text columns, so that the next ones are expected to have some."""

    def read(self, block: bytes) -> tuple[pl.DataFrame, int]:
        """Return the rows of a block, and the number of its values that they leave out; 0 if it is not needed.

        Raises
        ------
        FlawedRecord, polars.exceptions.PolarsError
            A record cannot be read.
        """
        if (found := self._with_known_late_keys(block)) is not None:
            return found
        if self._has_numbers and (own := self._quoted(block)) is not None:
            return own, 0
        rows = self._rows(block, self._schema)
        if not self._counts and keeps_texts(rows):
            return rows, 0
        held = tokens(rows)
        if agrees(block, rows.height, held, partial(is_flat, rows)):
            return rows, 0
        there = counted(block, rows.height)
        if held == there:
            return rows, 0
        lost = there.values - held.values
        # Before Polars 2 objects without fields come where there are none, so that a frame may hold more values.
        if lost > 0 and self._late_keys_only(block, there):
            return rows, lost
        if not lost and (own := self._quoted(block)) is not None:
            return own, 0
        again = Restated(block, self._schema)
        return self._rows(again.data, self._schema), again.lost

    def read_plain(self, block: bytes, newlines: int | None) -> pl.DataFrame | None:
        """Return the rows of a block that may have flaws, if it has none and is plain; else None.

        Parameters
        ----------
        block
            Whole lines.
        newlines
            Number of newlines in the block; None if it is unknown, as of a part of a block that was not plain.
        """
        return None if self._plain is None or newlines is None else self._plain.read(block, newlines)

    def _with_known_late_keys(self, block: bytes) -> tuple[pl.DataFrame, int] | None:
        """Return the result of `read` from one parse, if all late keys are known and none is inside a column."""
        late = self._with_late_keys
        if late is self._schema or any(late[name] != dtype for name, dtype in self._schema.items()):
            return None
        try:
            rows = self._rows(block, late)
        except pl.exceptions.PolarsError:
            return None  # a key is of another type here
        held = tokens(rows)
        own = rows.select(self._schema.names())
        return (
            (own, held.values - tokens(own).values)
            if agrees(block, rows.height, held, partial(is_flat, rows))
            else None
        )

    def _quoted(self, block: bytes) -> pl.DataFrame | None:
        """Return the rows if quotes around the numbers of text columns are all that the block needs."""
        self._has_numbers = False
        if self._pattern is None:
            return None
        try:
            quoted = with_quotes(block, self._pattern)
            rows = self._rows(quoted, self._schema)
        except (UnicodeDecodeError, pl.exceptions.PolarsError):
            return None  # explained by reading the block as it is
        self._has_numbers = agrees(quoted, rows.height, tokens(rows), partial(is_flat, rows))
        return rows if self._has_numbers else None

    def _rows(self, block: bytes, schema: pl.Schema) -> pl.DataFrame:
        return self._format.scan(block, schema).collect(engine="in-memory")

    def _late_keys_only(self, block: bytes, there: Tokens) -> bool:
        """Return True if the columns and late keys together hold all tokens of the block, unchanged."""
        known = self._with_late_keys
        if known is not self._schema and self._holds(block, known, there):
            return True
        try:
            found = self._format.infer(block, pl.Schema(), rows=None)
        except (FlawedRecord, pl.exceptions.PolarsError):
            return False  # some values have no common type, or are too deep to infer one
        self._with_late_keys = known = _extended(known, found)
        return self._holds(block, known, there)

    def _holds(self, block: bytes, schema: pl.Schema, there: Tokens) -> bool:
        try:
            return tokens(self._rows(block, schema)) == there
        except pl.exceptions.PolarsError:
            return False  # a later value of such a key is of another type


def is_flat(rows: pl.DataFrame) -> bool:
    """Return True if the rows hold no list and no object, and no text that begins as one does."""
    if not all(dtype.is_numeric() or dtype in _FLAT for dtype in rows.dtypes):
        return False
    # A query that selects these columns would take 1 ms, and all texts of a column at once a copy.
    texts = (column for column in rows.get_columns() if column.dtype == pl.String)
    chunks = (chunk for column in texts for chunk in column.get_chunks())
    return not any((first_bytes(chunk) | _BIT == ord("{")).any() for chunk in chunks)


def tokens(rows: pl.DataFrame) -> Tokens:
    """Count the tokens of these rows, to be compared with those of their text."""
    return _sum(_tokens(column, after_key=True) for column in rows.get_columns())


def _tokens(values: pl.Series, *, after_key: bool) -> Tokens:
    dtype = values.dtype
    count = len(values) - values.null_count()
    keyed = count if after_key else 0
    if isinstance(dtype, pl.Struct):
        fields = (_tokens(values.struct.field(field.name), after_key=True) for field in dtype.fields)
        return _sum((Tokens(keyed, 0, count, 0), *fields))
    if isinstance(dtype, (pl.List, pl.Array)):
        return _sum((Tokens(keyed, 0, 0, count), _tokens(values.explode(), after_key=False)))
    is_text = not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null))
    return Tokens(keyed, count if is_text else 0, 0, 0)


def _sum(parts: Iterable[Tokens]) -> Tokens:
    return Tokens(*(sum(counts) for counts in zip((0, 0, 0, 0), *parts, strict=True)))


def _extended(known: pl.Schema, found: pl.Schema) -> pl.Schema:
    """Return the known columns, plus the keys found in addition, at any depth."""
    both = merged(pl.Struct(known), pl.Struct(found))
    assert isinstance(both, pl.Struct)
    return pl.Schema({field.name: field.dtype for field in both.fields})


def merged(known: PolarsDataType, found: PolarsDataType) -> PolarsDataType:
    """Return the known type, plus the fields that the other one has in addition, at any depth."""
    if isinstance(known, pl.List) and isinstance(found, pl.List):
        return pl.List(merged(known.inner, found.inner))
    if not (isinstance(known, pl.Struct) and isinstance(found, pl.Struct)):
        return known
    types = {field.name: field.dtype for field in known.fields}
    for field in found.fields:
        types[field.name] = merged(types[field.name], field.dtype) if field.name in types else field.dtype
    return pl.Struct(types)
