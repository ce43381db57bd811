"""Bytes and lines of a text file to which rows are added."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Final

from arrowstream.errors import SinkError, SourceError
from arrowstream.io.files.destination.text_ends import END_BYTES, check_utf8
from arrowstream.io.files.formats import FileKind
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.text.byte_stream import FileBytes
from arrowstream.io.files.text.records import MAX_RECORD_BYTES

_BLOCK: Final = 1 << 20


def text_blocks(path: Path | RemotePath, kind: FileKind) -> Generator[bytes]:
    """Yield the bytes of a text file in UTF-8, decompressed and without a byte order mark."""
    try:
        file = FileBytes(path, kind.compression)
        try:
            block = file.read(_BLOCK)
            check_utf8(path, (block or b"")[:END_BYTES], is_end=False)
            while block:
                yield block
                block = file.read(_BLOCK)
        finally:
            file.close()
    except SourceError as error:
        raise unreadable(path, error.found or error.what) from error


def text_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a text file with their ends; one that is longer than a record may be comes in parts.

    A carriage return alone ends no line, as for a source.
    """
    parts, size = [], 0
    for block in blocks:
        parts.append(block)
        size += len(block)
        if b"\n" in block:
            *lines, rest = b"".join(parts).split(b"\n")
            yield from (line + b"\n" for line in lines)
            parts, size = [rest], len(rest)
        elif size >= MAX_RECORD_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join(parts)


def unreadable(path: Path | RemotePath, found: str) -> SinkError:
    """Make the error for a file of which it cannot be known whether rows fit to it."""
    return SinkError(
        f"rows cannot be added to those of {path}, which cannot be read",
        expected="a complete file of the same columns",
        found=found,
        hint="delete or mend the file, or write to another place",
    )
