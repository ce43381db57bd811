"""Bad rows of a block of NDJSON.

Python's parser finds the lines that may be bad; a line is bad if Polars cannot read it alone. What remains is
read at once, and halved where it still fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl

from arrowstream.core.failures import FAILURES

Read = Callable[[bytes], pl.DataFrame]
"""Reads lines, without loss; raises for a line that is no row."""


def broken(lines: Sequence[bytes]) -> dict[int, str]:
    """Return the lines that Python's parser refuses, or that are no object, each with the error."""
    errors: dict[int, str] = {}
    for number, line in enumerate(lines):
        if line and not line.isspace() and isinstance(found := _parsed(line), str):
            errors[number] = found
    return errors


def sifted_ndjson(
    lines: Sequence[bytes], schema: pl.Schema, read: Read, lenient: Read
) -> tuple[bytes, dict[int, str]]:
    """Return the block of these lines with blank lines for bad ones, and the bad ones, each with the error.

    Parameters
    ----------
    lines
        The lines, with their ends.
    schema
        Names and types of the columns.
    read
        Reads lines, without loss; raises for a line that is no row.
    lenient
        Reads lines that Python's parser reads, with nulls for values of another type than their column.
    """
    errors = {number: error for number, error in broken(lines).items() if not _reads(lines[number], read)}
    misfits: list[int] = []
    if not _reads(_without(lines, errors), read):
        kept = [number for number in range(len(lines)) if number not in errors and not lines[number].isspace()]
        misfits = [number for number in _misfits(lines, kept, schema, lenient) if not _reads(lines[number], read)]
        left = sorted({*kept} - {*misfits})
        misfits += _halved(lines, left, read)
    for number in misfits:
        errors[number] = _misfit(lines[number], schema, read, lenient)
    return _without(lines, errors), errors


def lines_of(block: bytes) -> list[bytes]:
    """Return the lines of a block, with their ends."""
    *lines, last = block.split(b"\n")
    return [*(line + b"\n" for line in lines), *([last] if last else [])]


def _parsed(line: bytes) -> dict[str, Any] | str:
    """Return the object on a line, or the error."""
    try:
        found = json.loads(line.decode(), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        return f"invalid UTF-8: {error.reason} at byte {error.start}"
    except (ValueError, RecursionError) as error:
        return f"no JSON: {error}"
    return found if isinstance(found, dict) else "no object"


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number in JSON")


def _misfits(
    lines: Sequence[bytes], numbers: Sequence[int], schema: pl.Schema, lenient: Read
) -> Iterator[int]:
    """Yield the lines among those with `numbers` that may have a value of another type than its column."""
    try:
        frame = lenient(b"".join(lines[number] for number in numbers))
    except FAILURES:
        return  # a value inside of a column has another type
    objects = [_parsed(lines[number]) for number in numbers]
    for row in sorted({row for name in schema for row in frame[name].is_null().arg_true()}):
        if _first_misfit(objects[row], frame.row(row, named=True)) is not None:
            yield numbers[row]


def _first_misfit(found: dict[str, Any] | str, row: dict[str, Any]) -> str | None:
    """Return the first column that is null in a row, but not in the object it was read from."""
    assert isinstance(found, dict)
    return next((name for name, value in row.items() if value is None and found.get(name) is not None), None)


def _misfit(line: bytes, schema: pl.Schema, read: Read, lenient: Read) -> str:
    """Return the error of a line that cannot be read alone."""
    try:
        read(line)
    except FAILURES as failure:
        error = str(failure).partition("\n")[0]
    found = _parsed(line)
    try:
        name = _first_misfit(found, lenient(line).row(0, named=True))
    except FAILURES:
        return error  # of a value inside of a column
    assert isinstance(found, dict)
    return error if name is None else f"column {name!r}: {json.dumps(found[name])} is no {schema[name]}"


def _halved(lines: Sequence[bytes], numbers: Sequence[int], read: Read) -> list[int]:
    """Return the lines among those with `numbers` that make a read fail, found by halving."""
    if _reads(b"".join(lines[number] for number in numbers), read):
        return []
    if len(numbers) == 1:
        return [numbers[0]]
    middle = len(numbers) // 2
    return [*_halved(lines, numbers[:middle], read), *_halved(lines, numbers[middle:], read)]


def _reads(block: bytes, read: Read) -> bool:
    try:
        read(block)
    except FAILURES:
        return False
    return True


def _without(lines: Sequence[bytes], errors: dict[int, str]) -> bytes:
    return b"".join(b"\n" if number in errors else line for number, line in enumerate(lines))
