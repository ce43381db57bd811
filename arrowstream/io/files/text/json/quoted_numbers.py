"""Quotes around the numbers of text columns in NDJSON, set by one regular expression.

Polars would reformat these numbers (1.10 as 1.1). This takes a third of the time of parsing, `Restated` four times as
much; but it knows names of keys only, not their depth, and no elements of lists. The caller compares the rows with
the new text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

_BARE: Final = r"-?(?:0|[1-9][0-9]{0,199})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?|true|false"
"""Numbers below 1e299, and booleans.

Polars refuses a number that Float64 cannot hold, whatever the column's type. If such a number got quotes, the rows
before it would decide whether its row is bad. Of a longer number only a part is matched, and its row cannot be read.
"""


def quoting_pattern(schema: pl.Schema) -> str | None:
    r"""Return the expression for numbers and booleans after keys that are text columns wherever they are columns.

    None if the schema has no such key.

    Examples
    --------
    >>> quoting_pattern(pl.Schema({"id": pl.Int64, "price": pl.String}))[:18]
    '("(?:price)"\\s*:\\s'
    """
    found = list(_fields(pl.Struct(schema)))
    other = {name for name, dtype in found if dtype != pl.String}
    names = dict.fromkeys(name for name, _ in found if name not in other)
    keys = (pl.escape_regex(json.dumps(name, ensure_ascii=False)[1:-1]) for name in names)
    return rf'("(?:{"|".join(keys)})"\s*:\s*)({_BARE})' if names else None


def with_quotes(block: bytes, pattern: str) -> bytes:
    """Return a block of NDJSON with quotes around what follows the keys of the pattern."""
    quoted = pl.Series([block.decode()]).str.replace_all(pattern, '${1}"${2}"')
    text: str = quoted[0]
    return text.encode()


def _fields(dtype: PolarsDataType) -> Iterator[tuple[str, PolarsDataType]]:
    """Yield names and types of all fields of a type, at any depth."""
    if isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield field.name, field.dtype
            yield from _fields(field.dtype)
    elif isinstance(dtype, (pl.List, pl.Array)):
        yield from _fields(dtype.inner)
