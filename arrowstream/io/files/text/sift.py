"""The good and the bad rows of a block of CSV or NDJSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from arrowstream.core.failures import FAILURES
from arrowstream.io.files.text.csv_format import Csv
from arrowstream.io.files.text.formats import INFER_ROWS, TextFormat
from arrowstream.io.files.text.records import Block, Positions
from arrowstream.io.files.text.sift_csv import kept_bytes, misshapen, sifted_csv
from arrowstream.io.files.text.sift_ndjson import broken, lines_of, sifted_ndjson

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Sifted:
    """Rows of a block, and its records that are none.

    Parameters
    ----------
    rows
        The good rows.
    errors
        Errors of the bad records, by their numbers in the block.
    ends
        Ends of the records. Shape (n,), int64. Empty if all of them are good and the block has no gaps.
    blank
        Numbers of the records that are blank lines and count as no row, ascending. Shape (k,), int64.
    """

    rows: pl.DataFrame
    errors: dict[int, str]
    ends: Positions
    blank: Positions


def sifted(format: TextFormat, schema: pl.Schema, block: Block, read: Callable[[bytes], pl.DataFrame]) -> Sifted:
    """Return the rows of a block and its bad records.

    Parameters
    ----------
    format
        Format of the records.
    schema
        Names and types of the columns.
    block
        The block.
    read
        Reads whole records; raises if one of them is bad.
    """
    try:
        return Sifted(read(block.data), {}, format.ends(block.data) if block.gaps else _NONE, _NONE)
    except FAILURES:
        if isinstance(format, Csv):
            rows, errors = sifted_csv(format, block.data, schema)
            return Sifted(rows, errors, format.ends(block.data), _NONE)
        lenient = lambda lines: format.scan(lines, schema, lenient=True).collect(engine="in-memory")  # noqa: E731
        lines = lines_of(block.data)
        good, errors = sifted_ndjson(lines, schema, read, lenient)
        blank = [number for number, line in enumerate(lines) if line.isspace()]
        return Sifted(read(good), errors, format.ends(block.data), np.array(blank, np.int64))


def inferable(format: TextFormat, block: bytes) -> bytes:
    """Return the first records of a block that types are inferred from, without those that are no rows."""
    if not block:
        return block
    ends = format.ends(block)[:INFER_ROWS]
    block = block[: ends[-1]]
    errors = misshapen(format, block) if isinstance(format, Csv) else broken(lines_of(block))
    is_kept = np.ones(len(ends), np.bool_)
    is_kept[list(errors)] = False
    return kept_bytes(block, ends, is_kept)
