"""Lines of NDJSON that are objects of plain columns, read by the compiled loop that reads such messages.

The loop checks every byte, and leaves a block with anything that it does not know, whether that is an error or not.
So nothing is to be compared with the text afterwards. Until the machine code is there, Polars reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from arrowstream.io.loading import Loading, are_ready

if TYPE_CHECKING:
    from arrowstream.io.messages.plain_json.reader import PlainReader

TRIES: Final = 2
"""Blocks one after the other that are not plain, after which no other one is expected to be."""

_LOADING: Final = Loading(loaded_from=256 << 20, compiled_from=4 << 30)
"""Of 256 MB, the loop saves half a second or more of processor time."""


class PlainLines:
    """Reader of a file's blocks in which every object is plain. Several threads may use it at a time.

    Parameters
    ----------
    first
        Reader of objects of the file's columns. A reader has memory that it uses again: each thread has one.
    schema
        Names and types of the columns.
    """

    __slots__ = ("_idle", "_schema", "_unusual")

    def __init__(self, first: PlainReader, schema: pl.Schema) -> None:
        self._idle = [first]
        self._schema = schema
        self._unusual = 0

    def read(self, block: bytes, newlines: int) -> pl.DataFrame | None:
        """Return the rows of a block, or None if it is to be read in another way, whether it is sound or not.

        Parameters
        ----------
        block
            Whole lines.
        newlines
            Number of newlines in the block.
        """
        reader = self._reader() if block and self._unusual < TRIES else None
        if reader is None:
            return None
        try:
            rows = reader.read_lines(block, newlines)
        except pl.exceptions.PolarsError:  # a text is no category of its column
            rows = None
        self._idle.append(reader)
        self._unusual = self._unusual + 1 if rows is None else 0
        return rows

    def _reader(self) -> PlainReader | None:
        """Return a reader that no other thread uses, or None as long as there is no machine code."""
        from arrowstream.io.messages.plain_json.reader import loops, plain_reader

        if not are_ready(loops()):
            return None
        try:
            return self._idle.pop()
        except IndexError:
            return plain_reader(self._schema)


def plain_lines(schema: pl.Schema, nbytes: int) -> PlainLines | None:
    """Return the reader for a file of some bytes; None if a column is not plain, or numba is not installed.

    Once files of many bytes have come, the machine code is loaded in the background.
    """
    # Imported here: it would take a tenth of the import time of arrowstream.
    from arrowstream.io.messages.plain_json.reader import loops, plain_reader

    first = plain_reader(schema)
    if first is None:
        return None
    _LOADING.expect(loops(), nbytes)
    return PlainLines(first, schema)
