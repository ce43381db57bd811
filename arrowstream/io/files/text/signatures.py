"""Signatures: kinds of files known by their first bytes, for files that are not the text their name implies."""

from __future__ import annotations

from typing import Final

BOM: Final = b"\xef\xbb\xbf"
"""Byte order mark of UTF-8."""

HEAD_BYTES: Final = 64
"""Number of first bytes of a file that are enough to recognise it."""

_BINARY: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"\x1f\x8b\x08", "gzip data", "name the file with .gz at the end, or unpack it"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "name the file with .zst at the end, or unpack it"),
    (b"BZh91AY&SY", "bzip2 data", "unpack the file, or pack it with gzip or zstd"),
    (b"\xfd7zXZ\x00", "xz data", "unpack the file, or pack it with gzip or zstd"),
    (b"\x04\x22\x4d\x18", "lz4 data", "unpack the file, or pack it with gzip or zstd"),
    (
        b"PK\x03\x04",
        "a zip archive (or a spreadsheet)",
        "name the file with .zip at the end, or save the spreadsheet as CSV",
    ),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel or Word document", "save it as CSV"),
    (b"PAR1\x15", "a Parquet file", "pass format='parquet', or name the file with .parquet at the end"),
    (b"ARROW1\x00\x00", "an Arrow file", "pass format='ipc', or name the file with .arrow at the end"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV"),
    (b"\xff\xfe\x00\x00", "UTF-32 text", "pass encoding='utf-16' or 'utf-32', or save the file as UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32 text", "pass encoding='utf-16' or 'utf-32', or save the file as UTF-8"),
    (b"\xff\xfe", "UTF-16 text", "pass encoding='utf-16' or 'utf-32', or save the file as UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "pass encoding='utf-16' or 'utf-32', or save the file as UTF-8"),
)
_UNPACK: Final = {
    "gzip data": "gzip -dc",
    "zstd data": "zstd -dc",
    "bzip2 data": "bzip2 -dc",
    "xz data": "xz -dc",
    "lz4 data": "lz4 -dc",
    "a zip archive (or a spreadsheet)": "unzip -p",
}
"""Commands that write the unpacked bytes of a file to their output."""

_MARKUP: Final = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML document"),
)


def foreign(head: bytes, *, markup: bool = False, is_unnamed: bool = False) -> tuple[str, str] | None:
    r"""Return the kind of a file with these first bytes, and a hint, or None if it may be CSV or JSON, or `markup`.

    Parameters
    ----------
    head
        The first bytes.
    markup
        Whether HTML and XML are text like any other.
    is_unnamed
        Whether the bytes come from a stream such as standard input, whose name the user cannot change.

    Examples
    --------
    >>> foreign(b"PK\x03\x04...")
    ('a zip archive (or a spreadsheet)', 'name the file with .zip at the end, or save the spreadsheet as CSV')
    >>> foreign(b"a,b\n1,2\n") is None
    True
    """
    for begin, kind, hint in _BINARY:
        if head.startswith(begin):
            return kind, _hint_for_stream(kind, hint) if is_unnamed else hint
    text = head.lstrip().lower()
    for begin, kind in () if markup else _MARKUP:
        if text.startswith(begin):
            return kind, "look into the file: an error page may have been saved in place of the data"
    return None


def _hint_for_stream(kind: str, hint: str) -> str:
    if kind in _UNPACK:
        return f"unpack it on the way, in the shell: {_UNPACK[kind]} FILE | ...; or pass the path of the file"
    if kind in ("a Parquet file", "an Arrow file"):
        return "pass the path of the file: only text is read from a pipe"
    return hint
