"""Lines as a text format: each line of a text is one value, without its line end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from arrowstream.errors import SchemaError
from arrowstream.io.files.text.formats import FlawedRecord, LineFormat
from arrowstream.io.files.text.records import Positions, byte_view

LINE: Final = "line"
"""Name of the only column."""

_NEWLINE: Final = ord("\n")
_RETURN: Final = ord("\r")


@dataclass(frozen=True, slots=True)
class Lines(LineFormat):
    """Format with one value per line, which ends in a newline or a carriage return and a newline."""

    def infer(self, block: bytes, overrides: pl.Schema) -> pl.Schema:
        return pl.Schema({LINE: pl.String()})

    def checked(self, block: bytes, *, in_order: bool = False) -> bytes:
        try:
            _texts(block, np.array([0, len(block)])).validate(full=True)
        except pa.ArrowInvalid:
            _refuse(block)
        return block

    def scan(self, block: bytes, schema: pl.Schema) -> pl.LazyFrame:
        ends = self.ends(block)
        # Each line and each line end are one text of the block, which is not copied; then the line ends are left out.
        bounds = np.zeros(2 * len(ends) + 1, np.int64)
        bounds[2::2] = ends
        bounds[1::2] = ends - _end_sizes(byte_view(block), ends)
        texts = pl.from_arrow(_texts(block, bounds))
        assert isinstance(texts, pl.Series)
        return texts.gather_every(2).alias(LINE).to_frame().lazy()


def check_columns(given: pl.Schema, partitions: set[str], path: str) -> None:
    """Check that a text of lines can have these types, and partitions of these names.

    Parameters
    ----------
    given
        Types from the user.
    partitions
        Names of the partitions, and of the column of paths.
    path
        Path of the file, for errors.

    Raises
    ------
    SchemaError
        They cannot.
    """
    if given.get(LINE, pl.String) != pl.String:
        raise SchemaError(
            f"column {LINE!r} cannot be read as {given[LINE]}",
            expected="String, the text of each line",
            found=str(given[LINE]),
            hint="read it as pl.String and convert it by a step of the pipeline",
        )
    if LINE in partitions:
        raise SchemaError(
            f"{path} has two columns {LINE!r}",
            expected=f"partitions, and a column of the paths, with other names than {LINE!r}",
            found=f"a partition or include_file_paths= of the name {LINE!r}, which is the column of the lines",
            hint=f"choose another name in include_file_paths=, or rename the folders {LINE}=...",
        )


def _texts(block: bytes, bounds: Positions) -> pa.Array:
    """Return the parts of a block between `bounds`, ascending, as texts that are not copied."""
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(block)]
    return pa.Array.from_buffers(pa.large_string(), len(bounds) - 1, buffers)


def _end_sizes(view: npt.NDArray[np.uint8], ends: Positions) -> Positions:
    """Return the sizes of the line ends before `ends`: 1, 2 with a carriage return, 0 at the end of the block."""
    ended = view[ends - 1] == _NEWLINE
    returned = ended & (np.diff(ends, prepend=0) > 1) & (view[ends - 2] == _RETURN)
    sizes: Positions = np.add(ended, returned, dtype=np.int64)
    return sizes


def _refuse(block: bytes) -> None:
    """Raise FlawedRecord at the first byte that is not UTF-8."""
    try:
        block.decode()
    except UnicodeDecodeError as error:
        record = block.count(b"\n", 0, error.start)
        raise FlawedRecord(record, "invalid UTF-8", error.start) from None
