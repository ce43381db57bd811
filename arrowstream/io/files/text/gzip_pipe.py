"""Bytes of a gzip pipe, unpacked as they come: Python's reader of gzip would wait for further ones."""

from __future__ import annotations

import zlib
from time import monotonic
from typing import Any, Final

from arrowstream.io.files.text.pipes import PipeBytes

_CHUNK: Final = 1 << 18
"""Bytes that are read, and unpacked, at a time."""

_GZIP: Final = 16 + zlib.MAX_WBITS
"""Argument of zlib for a gzip member, with its header and checksum."""


class GzipPipe:
    """Reader of the unpacked bytes of a pipe of gzip members.

    Parameters
    ----------
    pipe
        The pipe.
    """

    __slots__ = ("_ended", "_member", "_packed", "_pipe", "_ready")

    def __init__(self, pipe: PipeBytes) -> None:
        self._pipe = pipe
        self._member: Any = None  # zlib does not export the type
        self._packed = b""
        self._ready = b""
        self._ended = False

    def has_more(self, seconds: float) -> bool:
        """Return True once bytes can be read, or at the end; False if that is not so for some seconds."""
        until = monotonic() + seconds
        while not self._is_ready and (self._packed or self._pipe.has_more(until - monotonic())):
            self._unpack()
        return self._is_ready

    def readinto(self, buffer: memoryview, /) -> int:
        """Read into a buffer; return the number of bytes, 0 at the end.

        Raises
        ------
        EOFError
            The pipe ends inside a member.
        zlib.error
            A member is damaged.
        """
        while not self._is_ready:
            self._unpack()
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    @property
    def _is_ready(self) -> bool:
        return bool(self._ready) or self._ended

    def _unpack(self) -> None:
        """Unpack some bytes, which may be none, of those that were read or, without such, of the next ones."""
        if not self._packed:
            self._packed = self._pipe.read(_CHUNK) or b""
            self._ended = not self._packed
            if self._ended and self._member is not None:
                raise EOFError
        if self._member is None:
            self._packed = self._packed.lstrip(b"\0")  # members may be padded
            if not self._packed:
                return
            self._member = zlib.decompressobj(_GZIP)
        self._ready = self._member.decompress(self._packed, _CHUNK)
        self._packed = self._member.unconsumed_tail
        if self._member.eof:
            self._packed, self._member = self._member.unused_data, None
