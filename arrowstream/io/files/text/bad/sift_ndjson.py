"""Bad rows of a block of NDJSON.

Reads of ever smaller parts find the few lines around each bad one. Among those, Python's parser finds the lines that
are no JSON. Polars reads the others with nulls in place of values that do not fit, which tells the lines that have
such values. Where a read fails for another reason, halving finds the lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from arrowstream.core.failures import FAILURES
from arrowstream.io.files.text.formats import FlawedRecord
from arrowstream.io.files.text.json.written import written
from arrowstream.io.files.text.ndjson_format import Ndjson, is_blank
from arrowstream.io.files.text.record_errors import UnknownKey, shown

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

Read = Callable[[bytes], pl.DataFrame]
"""Reads lines, without loss; raises for a line that is no row."""

Objects = dict[int, dict[str, Any]]
"""Objects by the numbers of their lines."""

_PARTS = 16
"""Number of parts into which lines that cannot be read together are divided."""

_FEW = 64
"""Largest number of lines that Python parses together: some 3 ms of work, as much as a few reads by Polars."""


def lines_of(block: bytes) -> list[bytes]:
    """Return the lines of a block, with their ends."""
    *lines, last = block.split(b"\n")
    return [*(line + b"\n" for line in lines), *([last] if last else [])]


def broken(lines: Sequence[bytes]) -> dict[int, str]:
    """Return the lines that are no JSON object, each with the error."""
    return _parsed(lines)[1]


def flawed(lines: Sequence[bytes], checked: Callable[[bytes], bytes]) -> set[int]:
    """Return the lines that `checked` refuses, which are bad whatever the types of the columns."""
    found = set[int]()
    for number, line in enumerate(lines):
        with suppress(FlawedRecord):
            checked(line)
            continue
        found.add(number)
    return found


def sifted_ndjson(
    lines: Sequence[bytes], schema: pl.Schema, read: Read
) -> tuple[pl.DataFrame, bytes, dict[int, str]]:
    """Return the good rows of these lines, the block with blank lines for bad ones, and the errors of the bad ones.

    Parameters
    ----------
    lines
        The lines, with their ends.
    schema
        Names and types of the columns.
    read
        Reads lines, without loss; raises for a line that is no row.
    """
    errors = dict[int, str]()
    for first, part in _unreadable(lines, 0, read):
        errors.update((first + number, error) for number, error in _errors(part, schema, read).items())
    good = _without(lines, errors)
    return read(good), good, errors


def _unreadable(lines: Sequence[bytes], first: int, read: Read) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Yield parts of lines that cannot be read, each a few lines, with the number of the first one.

    Parameters
    ----------
    lines
        Lines that cannot be read together, with their ends.
    first
        Number of the first of them.
    read
        Reads lines, without loss; raises for a line that is no row.
    """
    if len(lines) <= _FEW:
        yield first, lines
        return
    size = -(-len(lines) // _PARTS)
    for start in range(0, len(lines), size):
        part = lines[start : start + size]
        if _failure(b"".join(part), read) is not None:
            yield from _unreadable(part, first + start, read)


def _errors(lines: Sequence[bytes], schema: pl.Schema, read: Read) -> dict[int, str]:
    """Return the lines that are bad, each with the error; `sifted_ndjson` has the parameters."""
    objects, errors = _parsed(lines)
    for find in (_of_other_shape, _of_other_type):
        with suppress(*FAILURES):
            read(_without(lines, errors))
            return errors
        found = dict(reversed([*find(objects, lines, schema, read)]))
        objects = {number: value for number, value in objects.items() if number not in found}
        errors |= found
    left = [number for number, line in enumerate(lines) if number not in errors and not is_blank(line)]
    return errors | _halved(lines, left, read)


def _parsed(lines: Sequence[bytes]) -> tuple[Objects, dict[int, str]]:
    """Return the objects, and the errors of the lines that have none and are not blank."""
    objects, errors = Objects(), dict[int, str]()
    for number, line in enumerate(lines):
        if is_blank(line):
            continue
        try:
            found = _DECODER.decode(line.decode().strip(" \t\r\n"))
        except UnicodeDecodeError as error:
            errors[number] = f"invalid UTF-8: {error.reason} at byte {error.start}"
        except json.JSONDecodeError as error:
            errors[number] = f"no JSON: {error}"
        except (ValueError, RecursionError):
            pass  # a limit of Python's parser, not of Polars'
        else:
            if isinstance(found, dict):
                objects[number] = found
            else:
                errors[number] = "no object"
    return objects, errors


def _refuse(constant: str) -> Any:
    raise json.JSONDecodeError(f"{constant} is no number", "", 0)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)
"""Made once: `json.loads` with this argument makes one for each line."""


def _of_other_shape(
    objects: Objects, lines: Sequence[bytes], schema: pl.Schema, read: Read
) -> Iterator[tuple[int, str]]:
    """Yield lines with a value where an object or a list is expected, unless they can be read."""
    nested = {name: dtype for name, dtype in schema.items() if dtype.is_nested()}
    for number, value in objects.items():
        for name, dtype in nested.items():
            if not _has_shape(value.get(name), dtype) and _failure(lines[number], read) is not None:
                yield number, _misfit(name, lines[number], dtype)
                break


def _has_shape(value: Any, dtype: PolarsDataType) -> bool:
    """Return whether a value has objects and lists where the type has them."""
    if value is None:
        return True
    if isinstance(dtype, pl.Struct):
        return isinstance(value, dict) and all(
            _has_shape(value.get(field.name), field.dtype) for field in dtype.fields
        )
    if isinstance(dtype, pl.List | pl.Array):
        return isinstance(value, list) and all(_has_shape(item, dtype.inner) for item in value)
    return True


def _of_other_type(
    objects: Objects, lines: Sequence[bytes], schema: pl.Schema, read: Read
) -> Iterator[tuple[int, str]]:
    """Yield lines with a value that Polars cannot read as the type of its column."""
    try:
        frame = Ndjson().scan(b"".join(lines[number] for number in objects), schema, lenient=True).collect()
    except FAILURES:
        return
    numbers = list(objects)
    for name, dtype in schema.items():
        nested = dtype.is_nested()
        column = frame[name]
        kept = column.to_list() if nested else [None] * len(column)
        for row in range(len(column)) if nested else column.is_null().arg_true():
            number = numbers[row]
            if _lacks(kept[row], objects[number].get(name)):
                # Of a key that comes twice in an object, Polars takes the first value.
                value = json.loads(lines[number], object_pairs_hook=_first_values).get(name)
                if _lacks(kept[row], value):
                    yield number, _misfit(name, lines[number], dtype)


def _lacks(kept: Any, value: Any) -> bool:
    """Return whether a value that Polars has kept has a null where the value itself has none, or is another one."""
    if kept is None or value is None:
        return value is not None
    if isinstance(kept, dict):
        return not isinstance(value, dict) or any(
            _lacks(item, value.get(name)) for name, item in kept.items()
        )
    return isinstance(kept, list) and (not isinstance(value, list) or any(map(_lacks, kept, value)))


def _first_values(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _misfit(name: str, line: bytes, dtype: PolarsDataType) -> str:
    return f"column {name!r}: {shown(written(line, name) or '')} is no {dtype}"


def _halved(lines: Sequence[bytes], numbers: Sequence[int], read: Read) -> dict[int, str]:
    """Return the lines among those with `numbers` that make a read fail, found by halving."""
    failure = _failure(b"".join(lines[number] for number in numbers), read)
    if failure is None:
        return {}
    if len(numbers) == 1:
        return {numbers[0]: failure}
    middle = len(numbers) // 2
    return _halved(lines, numbers[:middle], read) | _halved(lines, numbers[middle:], read)


def _failure(block: bytes, read: Read) -> str | None:
    """Return the error of reading lines; None if they can be read."""
    try:
        read(block)
    except FlawedRecord as error:
        return error.flaw
    except UnknownKey as error:
        return f"a key that is no column: {'.'.join(error.key)!r}"
    except FAILURES as error:
        return str(error).partition("\n")[0]
    return None


def _without(lines: Sequence[bytes], errors: dict[int, str]) -> bytes:
    return b"".join(b"\n" if number in errors else line for number, line in enumerate(lines))
