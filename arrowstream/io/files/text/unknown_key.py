"""Search for keys of NDJSON that are not columns, at any depth, null or not. Polars' reader leaves them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from polars._typing import PolarsDataType


def unknown_key(block: bytes, schema: pl.Schema) -> tuple[str, ...] | None:
    """Return the path of a key in a block of NDJSON that `schema` lacks, outermost key first, or None."""
    known = pl.Struct(schema)
    try:
        found = pl.Struct(pl.scan_ndjson(block, infer_schema_length=None).collect_schema())
    except pl.exceptions.PolarsError:
        pass  # the block is empty, has a row that cannot be read, or values without a common type
    else:
        key = _unknown(found, known)
        if key is not None or not _hides(found, known):
            return key
    # Fewer rows show more. An error in a single row is raised when it is read.
    middle = block.rfind(b"\n", 0, len(block) // 2) + 1 or block.find(b"\n") + 1
    if middle in (0, len(block)):
        return None
    return unknown_key(block[:middle], schema) or unknown_key(block[middle:], schema)


def _unknown(found: PolarsDataType, known: PolarsDataType) -> tuple[str, ...] | None:
    """Return the path of the first field of `found`, at any depth, that `known` lacks."""
    while isinstance(found, pl.List) and isinstance(known, pl.List | pl.Array):
        found, known = found.inner, known.inner
    if not (isinstance(found, pl.Struct) and isinstance(known, pl.Struct)):
        return None
    types = {field.name: field.dtype for field in known.fields}
    for field in found.fields:
        if field.name not in types:
            return (field.name,)
        if (inner := _unknown(field.dtype, types[field.name])) is not None:
            return (field.name, *inner)
    return None


def _hides(found: PolarsDataType, known: PolarsDataType) -> bool:
    """Return True if values found to be text may include objects: text is the common type of text and objects."""
    while isinstance(found, pl.List) and isinstance(known, pl.List | pl.Array):
        found, known = found.inner, known.inner
    if not isinstance(known, pl.Struct):
        return False
    if not isinstance(found, pl.Struct):
        return found == pl.String
    types = {field.name: field.dtype for field in known.fields}
    return any(_hides(field.dtype, types[field.name]) for field in found.fields)
