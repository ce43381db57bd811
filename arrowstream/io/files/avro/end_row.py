"""A known row after the rows of some blocks, which shows that they end where the blocks say.

Polars' reader takes as many rows as a block says it has, and ignores the bytes after them. So a row count that is too
small would lose rows silently. With one known row at the end, and a count of one more, the last row is the known one
only if the others have exactly the bytes of the blocks.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

import polars as pl

from arrowstream.io.files.avro.container import number_bytes

_TEXT: Final = b"end of the block"
_NUMBER: Final = 0x3A77_51C9
_FLOAT: Final = struct.unpack("<f", _TEXT[:4])[0]

_MARKS: Final[dict[str, tuple[bytes, Any]]] = {
    "int": (number_bytes(_NUMBER), _NUMBER),
    "long": (number_bytes(_NUMBER << 31), _NUMBER << 31),
    "float": (struct.pack("<f", _FLOAT), _FLOAT),
    "double": (struct.pack("<d", _FLOAT), _FLOAT),
    "bytes": (number_bytes(len(_TEXT)) + _TEXT, _TEXT),
    "string": (number_bytes(len(_TEXT)) + _TEXT, _TEXT.decode()),
}
"""Bytes and value of a mark, by type."""

_LEAST: Final = {"null": b"", "float": bytes(4), "double": bytes(8)}
"""Bytes of the null or zero of a type; those of the others are one zero."""


class EndRow(NamedTuple):
    """The known row.

    Parameters
    ----------
    content
        Its bytes.
    column
        Name of the column whose value tells it from other rows.
    value
        This value.
    """

    content: bytes
    column: str
    value: Any

    @classmethod
    def of(cls, fields: dict[str, Any]) -> EndRow | None:
        """Return the row for fields of these schemas; None if no field can tell it from others.

        Such fields are numbers without a logical type, enums, text and bytes.
        """
        column = next((name for name, schema in fields.items() if _plain(schema) in _MARKS), None)
        if column is None:
            return None
        schema = fields[column]
        mark, value = _MARKS[_plain(schema)]
        before = number_bytes(schema.index(_plain(schema))) if isinstance(schema, list) else b""
        content = [before + mark if name == column else _least(fields[name]) for name in fields]
        return cls(b"".join(content), column, value)

    def ends(self, rows: pl.DataFrame) -> bool:
        """Return whether this is the last of some rows."""
        return bool(rows[self.column][-1] == self.value)


def _plain(schema: Any) -> str:
    """Return the name of a type without more to it, also in a union with null; else nothing."""
    others = [item for item in schema if item != "null"] if isinstance(schema, list) else [schema]
    return others[0] if isinstance(others[0], str) else ""


def _least(schema: Any) -> bytes:
    """Return the bytes of a short value."""
    if isinstance(schema, str):
        return _LEAST.get(schema, b"\0")
    if isinstance(schema, list):
        return b"\0" + _least(schema[0])
    match schema["type"]:
        case "record":
            return b"".join(_least(field["type"]) for field in schema["fields"])
        case "fixed":
            return bytes(schema["size"])
        case "bytes":
            return b"\x02\0"  # a decimal has at least one byte
        case _:
            return b"\0"
