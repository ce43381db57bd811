"""Check of the first and last bytes of a text file to which rows are added: both must be UTF-8, as the rows are."""

from __future__ import annotations

from codecs import getincrementaldecoder
from pathlib import Path
from typing import Final

from arrowstream.errors import SinkError
from arrowstream.io.files.remote.urls import RemotePath

END_BYTES: Final = 1 << 16
"""Number of bytes at each end of a file that are looked at."""

_CONTINUED: Final = bytes(range(0x80, 0xC0))
"""Bytes of UTF-8 that begin no character."""

_SHOWN: Final = 20
"""Number of bytes before and after the one that is not UTF-8 in a message."""


def check_utf8(path: Path | RemotePath, part: bytes, *, is_end: bool) -> None:
    r"""Raise SinkError unless the first bytes of a text file are UTF-8, or its last ones.

    Parameters
    ----------
    path
        The file, for errors.
    part
        The bytes.
    is_end
        True for the last bytes, False for the first ones. A character may be cut in two where the file goes on.

    Examples
    --------
    >>> check_utf8(Path("x.csv"), b"caf\xc3", is_end=False)
    >>> check_utf8(Path("x.csv"), b"\xa9\n", is_end=True)
    """
    cut = len(part[:3]) - len(part[:3].lstrip(_CONTINUED)) if is_end else 0
    try:
        getincrementaldecoder("utf-8")().decode(part[cut:], final=is_end)
    except UnicodeDecodeError as error:
        at = cut + error.start
        raise SinkError(
            f"rows cannot be added to those of {path}, which is not UTF-8",
            expected="text in UTF-8, in which rows are written",
            found=repr(part[max(0, at - _SHOWN) : at + _SHOWN]),
            hint="convert the file, such as by: iconv -f cp1252 -t utf-8 OLD > NEW; or write to another file",
        ) from error
