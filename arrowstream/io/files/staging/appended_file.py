"""One text file as a target that rows are appended to, in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from io import BufferedWriter
from pathlib import Path

from arrowstream.core.checkpoints.durable import sync
from arrowstream.errors import SinkError
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import keep_mode_and_owner, remove
from arrowstream.io.files.staging.claim import Claim, claimed
from arrowstream.io.files.staging.contents import Version
from arrowstream.io.files.staging.single_file import StagedFile
from arrowstream.io.files.staging.unfinished import hidden_name

_PRIVATE = 0o600
_CHUNK = 1 << 30


class AppendedFile(StagedFile):
    """File that rows are appended to: a new file of the old bytes and the new ones takes its name by one rename.

    Where the file system can share the blocks of two files, the old bytes are not copied. What another run appends
    meanwhile is kept.

    Parameters
    ----------
    target
        Final path, without symbolic links.
    head
        Bytes at the beginning of a file without rows.
    join
        Returns the bytes between the old bytes of a file and the new ones; raises if rows cannot be appended to it.
    """

    def __init__(self, target: Path, head: bytes, join: Callable[[Path], bytes]) -> None:
        super().__init__(target)
        self._head = head
        self._join = join
        self._seen: Version | None = None
        self._whole: tuple[Path, Claim] | None = None

    def prepare(self) -> None:
        with sink_errors("cannot finish", self._target):
            self._combine()

    def _replace(self) -> None:
        if Version.of(self._target) != self._seen:
            self._combine()
        if self._whole is not None:
            self._whole[0].replace(self._target)
        remove([self._staged])
        self._drop()

    def discard(self) -> None:
        self._drop()
        super().discard()

    def _combine(self) -> None:
        """Write the old bytes and the new ones into another hidden file; do nothing if that changes nothing."""
        self._drop()
        old = self._old()
        self._seen = Version.of(self._target)
        if old is not None and old.st_size and not self._staged.stat().st_size:
            return
        _, path, claim = claimed(
            lambda token: self._target.with_name(hidden_name(self._target.name, token)),
            lambda path: path.touch(_PRIVATE, exist_ok=False),
        )
        self._whole = path, claim
        with path.open("wb") as whole:
            if old is not None and old.st_size:
                _add(self._target, whole)
                whole.write(self._join(self._target))
            else:
                whole.write(self._head)
            _add(self._staged, whole)
        if old is not None:
            keep_mode_and_owner(path, old)
        else:
            path.chmod(self._staged.stat().st_mode & 0o777)
        sync(path)
        if Version.of(self._target) != self._seen:
            raise SinkError(
                f"{self._target} changed while it was copied",
                expected="nobody else writing to the file but runs that append to it",
                hint="run again once the other writer has finished",
            )

    def _drop(self) -> None:
        if self._whole is not None:
            path, claim = self._whole
            remove([path])
            claim.release()
            self._whole = None


def _add(path: Path, whole: BufferedWriter) -> None:
    """Append the bytes of a file to an open one, without copying them where that is possible."""
    whole.flush()
    with path.open("rb", buffering=0) as file:
        try:
            while os.copy_file_range(file.fileno(), whole.fileno(), _CHUNK):
                pass
        except OSError:  # the file system cannot do that: go on from where it stopped
            shutil.copyfileobj(file, whole)
