"""The files that have been read to their end: a set that grows, and is stored as a few compressed texts."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from arrowstream.errors import SourceError
from arrowstream.io.files.reading.stamps import Stamp

_CHUNK: Final = 1024
"""Files in one text. A text of so many files no longer changes, and is not made again at the next checkpoint."""


class DoneFiles:
    """Files that have been read, in the order in which they ended.

    Parameters
    ----------
    files
        Their stamps when they were opened; None for a file without one.
    """

    __slots__ = ("_chunks", "_files", "_indexed", "_paths", "_stamps")

    def __init__(self, files: Iterable[Stamp] = ()) -> None:
        self._files: list[Stamp | None] = []
        self._indexed = 0
        self._paths = Counter[str]()
        self._stamps: dict[str, Stamp] = {}
        self._chunks: list[str] = []
        self._files.extend(files)

    def __len__(self) -> int:
        return len(self._files)

    @property
    def newest(self) -> Stamp | None:
        """The file that has been read last; None without any, and for one without a stamp."""
        return self._files[-1] if self._files else None

    def add(self, file: Stamp | None) -> None:
        """Take note that a file has been read to its end."""
        self._files.append(file)

    def count(self, path: str) -> int:
        """Return how often a file has been read: a list may name it twice."""
        self._index()
        return self._paths[path]

    def stamp(self, path: str) -> Stamp:
        """Return the stamp that a file had when it was read last."""
        self._index()
        return self._stamps[path]

    def _index(self) -> None:
        """Look up the files that were added since the last call: a run without checkpoints never asks."""
        for file in self._files[self._indexed :]:
            if file is not None:
                self._paths[file.path] += 1
                self._stamps[file.path] = file
        self._indexed = len(self._files)

    def encoded(self, count: int, more: Sequence[Stamp | None] = ()) -> list[str]:
        """Return the first `count` files, and some more, as texts.

        Raises
        ------
        SourceError
            A file has no stamp.
        """
        whole = count // _CHUNK
        while len(self._chunks) < whole:
            start = len(self._chunks) * _CHUNK
            self._chunks.append(_packed(self._files[start : start + _CHUNK]))
        rest = [*self._files[whole * _CHUNK : count], *more]
        return [*self._chunks[:whole], *([_packed(rest)] if rest else [])]


def decoded(texts: Iterable[str], renamed: Callable[[str], str] = lambda path: path) -> DoneFiles:
    """Return the files in texts that `DoneFiles.encoded` made, with the paths that `renamed` returns.

    Raises
    ------
    ValueError
        They are other texts.
    """
    try:
        found = [json.loads(zlib.decompress(b64decode(text))) for text in texts]
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return DoneFiles(
        Stamp(renamed(path), size, mark)
        for paths, sizes, marks in found
        for path, size, mark in zip(paths, sizes, marks, strict=True)
    )


def _packed(files: Sequence[Stamp | None]) -> str:
    known = [stamped(file) for file in files]
    columns = [list(column) for column in zip(*known, strict=True)]
    return b64encode(zlib.compress(json.dumps(columns).encode())).decode()


def stamped(file: Stamp | None) -> Stamp:
    """Return a stamp; raise SourceError for a file without one: nothing would tell whether it has changed."""
    if file is None:
        raise SourceError(
            "a run with checkpoints cannot read one of the files",
            expected="regular files, and objects whose store gives them an entity tag",
            found="a pipe, a device, or an object without an entity tag",
            hint="copy it into a regular file, or run without checkpoint=",
        )
    return file
