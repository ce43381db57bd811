"""Stream of the bytes of a file from its beginning, decompressed, in blocks of bounded size."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from pathlib import Path
from time import monotonic
from typing import Protocol

import pyarrow as pa

from arrowstream.core.plural import counted
from arrowstream.errors import SourceError, UnreadableData
from arrowstream.io.files.formats import Compression
from arrowstream.io.files.remote.object import RemoteBytes
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.text.gzip_pipe import GzipPipe
from arrowstream.io.files.text.options.text_options import LOSSY, UTF8
from arrowstream.io.files.text.pipes import PipeBytes, is_pipe
from arrowstream.io.files.text.signatures import BOM, HEAD_BYTES, foreign

_DAMAGED = "the file is damaged, was not copied completely, or is not packed as its name says"

_WAIT_S = 0.1
"""Longest time, in seconds, that the first bytes of a block wait for further ones from a pipe."""

_SILENCE_S = 0.5
"""Longest time, in seconds, that a read waits for a pipe before it ends without bytes, so that a run can stop."""


class ByteStream(Protocol):
    """Stream of decompressed bytes."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` more bytes; none at the end."""
        ...

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Write up to as many bytes as the buffer holds into it; return their number, 0 at the end."""
        ...


class FileBytes:
    """Plain or compressed file as a stream of bytes, without a byte order mark.

    Parameters
    ----------
    path
        Path of a file or a pipe.
    compression
        Compression of the whole file, or None.
    keep
        Whether bytes read from a pipe are kept for the next reader.
    encoding
        Encoding of the text.
    markup
        Whether HTML and XML are text like any other.

    Raises
    ------
    SourceError
        The file cannot be opened, or is not text.
    """

    __slots__ = (
        "_compression",
        "_encoding",
        "_file",
        "_markup",
        "_path",
        "_patience",
        "_pipe",
        "_size",
        "_stream",
        "_unread",
    )

    def __init__(
        self,
        path: Path | RemotePath,
        compression: Compression | None,
        *,
        keep: bool = False,
        encoding: str = UTF8,
        markup: bool = False,
    ) -> None:
        self._encoding = encoding
        self._markup = markup
        self._path = path
        self._compression = compression
        self._file, self._size = _opened(path, keep)
        try:
            self._stream = self._unpack()
            self._unread = b""
            self._pipe = self._stream if isinstance(self._stream, PipeBytes | GzipPipe) else None
            self._patience: float | None = None  # the first bytes are waited for
            self.put_back(self._text_begins())
            self._patience = _WAIT_S if self._unread else _SILENCE_S
        except BaseException:
            self._file.close()
            raise

    def _unpack(self) -> ByteStream | GzipPipe:
        if self._compression == "gzip" and isinstance(self._file, PipeBytes):
            return GzipPipe(self._file)
        try:
            return unpacked(self._file, self._compression)
        except (OSError, RuntimeError, zipfile.BadZipFile) as error:
            found = str(error).splitlines()[0]
            several = "unpack the archive and read its files, or put each file into an archive of its own"
            raise self._damaged(found, several if isinstance(error, NotOneFile) else _DAMAGED) from error

    def _text_begins(self) -> bytes:
        """Return the first bytes, without a byte order mark; raise SourceError unless they may be text."""
        buffer = io.BytesIO()
        self.read_into(buffer, HEAD_BYTES)
        head = buffer.getvalue()
        is_unnamed = str(self._path).startswith(("/dev/", "/proc/"))
        other = foreign(head, markup=self._markup, is_unnamed=is_unnamed)
        if other is not None and not (other[0].startswith("UTF-") and self._encoding not in (UTF8, LOSSY)):
            raise UnreadableData(
                f"{self._path} is not text",
                position=str(self._path),
                expected="text in UTF-8, such as CSV or JSON, as its name or format= says",
                found=f"{other[0]}, which begins with {head[:12]!r}",
                hint=other[1],
            )
        return head.removeprefix(BOM) if self._encoding in (UTF8, LOSSY) else head

    @property
    def size(self) -> int:
        """Number of bytes of the file itself when it was opened; 0 for a pipe."""
        return self._size

    @property
    def bytes_read(self) -> int:
        """Number of bytes of the file itself, as compressed, that were read so far."""
        return self._file.tell()

    @property
    def is_live(self) -> bool:
        """True if bytes come from a pipe, as they are written to it."""
        return self._pipe is not None

    def read(self, size: int) -> bytes | None:
        """Return the bytes that `read_into` gives; None if there are none because a pipe is silent."""
        # Unlike a write at its end, this uses no memory that a small file does not need: 0.5 ms for a MiB.
        buffer = io.BytesIO(bytes(size))
        is_silent = self.read_into(buffer, size)
        return buffer.getvalue() or (None if is_silent else b"")

    def read_into(self, buffer: io.BytesIO, size: int) -> bool:
        """Replace the content of `buffer` with `size` more bytes, fewer at the end, or if they take long to come.

        Returns
        -------
        bool
            True if nothing further came, though a pipe may go on.

        Raises
        ------
        SourceError
            The file is damaged, ends too early, or can no longer be read.
        """
        head, self._unread = self._unread[:size], self._unread[size:]
        if buffer.seek(0, io.SEEK_END) < size:
            buffer.seek(size - 1)
            buffer.write(b"\0")
        with buffer.getbuffer() as view, view[len(head) : size] as rest:
            view[: len(head)] = head
            count, is_silent = self._fill(rest)
        buffer.truncate(len(head) + count)
        self._patience = self._patience and _SILENCE_S
        return is_silent

    def put_back(self, data: bytes) -> None:
        """Make the next `read` begin with `data`, the last bytes that were read."""
        if self._stream is self._file and self._file.seekable():
            self._file.seek(-len(data), io.SEEK_CUR)  # reads them again: faster than a copy of the next block
        else:
            self._unread = data + self._unread

    def _fill(self, view: memoryview) -> tuple[int, bool]:
        """Read bytes until the view is full, the file ends or a pipe has no more for now.

        Returns
        -------
        tuple
            Number of the bytes, and True if there are none because a pipe is silent.
        """
        end, pipe, until = 0, self._pipe, None if self._patience is None else monotonic() + self._patience
        try:
            while end < len(view):
                if pipe is not None and until is not None and not pipe.has_more(until - monotonic()):
                    return end, not end
                with view[end:] as free:
                    count = self._stream.readinto(free)
                if not count:
                    break
                if not end:
                    until = monotonic() + _WAIT_S
                end += count
        except EOFError as error:
            raise self._damaged(
                f"the file ends too early, after {counted(self.bytes_read, 'bytes')}"
            ) from error
        except (OSError, zlib.error, zipfile.BadZipFile, pa.ArrowException) as error:
            raise self._damaged(str(error).splitlines()[0]) from error
        # An archive ends with its directory, which is read first.
        if end < len(view) and self.bytes_read < self._size and self._compression != "zip":
            raise UnreadableData(
                f"{self._path} became shorter while it was read",
                position=str(self._path),
                expected=f"{counted(self._size, 'bytes')}, as when it was opened",
                found=counted(self.bytes_read, "bytes"),
                hint="let nothing write to a file while it is read; write under another name, then rename",
            )
        return end, False

    def _damaged(self, found: str, hint: str = _DAMAGED) -> SourceError:
        return UnreadableData(
            f"{self._path} cannot be read to its end",
            position=str(self._path),
            expected=f"a complete {self._compression} file" if self._compression else "a readable file",
            found=found,
            hint=hint,
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _opened(path: Path | RemotePath, keep: bool) -> tuple[io.RawIOBase, int]:
    """Open a file, a pipe or an object; return it with its size in bytes."""
    if isinstance(path, RemotePath):
        remote = RemoteBytes(path)
        return remote, remote.size
    try:
        file = PipeBytes(path, keep=keep) if is_pipe(path) else io.FileIO(path)
        return file, path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error


class NotOneFile(zipfile.BadZipFile):
    """A zip archive that holds no file, or several."""


def unpacked(file: io.RawIOBase | io.BytesIO, compression: Compression | None) -> ByteStream:
    """Return the decompressed bytes of a file as a stream."""
    if compression == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")
    if compression == "zip":
        return _only_member(zipfile.ZipFile(file))
    if compression == "zstd":
        stream: ByteStream = pa.CompressedInputStream(file, "zstd")
        return stream
    return file


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipExtFile:
    """Return the only file of a zip archive as a stream; raise NotOneFile if it holds none or several."""
    # macOS adds a file of its own, under this folder, for each file that it packs.
    members = [
        member
        for member in archive.infolist()
        if not (member.is_dir() or member.filename.startswith("__MACOSX/"))
    ]
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:3])
        raise NotOneFile(f"an archive of {len(members)} files ({names}), not of one")
    member = archive.open(members[0])
    assert isinstance(member, zipfile.ZipExtFile)
    return member


def unreadable(path: Path, error: Exception) -> SourceError:
    """Make the error for a file that the operating system cannot open."""
    reason = error.strerror if isinstance(error, OSError) else None
    return UnreadableData(
        f"{path} cannot be opened",
        position=str(path),
        found=reason or str(error).splitlines()[0],
        hint="check that the file is there and that you may read it",
    )
