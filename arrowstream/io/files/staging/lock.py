"""Lock on a folder while a run publishes into it, so that two runs do that one after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arrowstream.errors import SinkError
from arrowstream.io.files.staging.claim import lock

PATIENCE = 30.0  # seconds
_PAUSE = 0.01  # seconds


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock on a folder; the operating system releases it when the process ends.

    The lock belongs to the folder and not to its name: a folder that takes the name meanwhile is locked instead. On
    a file system without such locks, none is held.

    Raises
    ------
    SinkError
        Another run has held the lock for `PATIENCE` seconds.
    """
    end = time.monotonic() + PATIENCE
    handle = os.open(folder, os.O_RDONLY)
    try:
        while not (lock(handle) is not False and os.path.samestat(os.fstat(handle), folder.stat())):
            if time.monotonic() > end:
                raise SinkError(
                    f"another run is publishing into {folder}",
                    expected="one run at a time that publishes into a folder",
                    found=f"it has not ended within {PATIENCE:g} s",
                    hint="run again once it has ended",
                )
            time.sleep(_PAUSE)
            os.close(handle)
            handle = os.open(folder, os.O_RDONLY)
        yield
    finally:
        os.close(handle)
