"""Loading of machine code in the background, for readers that can also do without it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from threading import Lock, Thread

from arrowstream.io.compiled import Compiled

_log = logging.getLogger("arrowstream")


class Loading:
    """Loading of compiled functions on a thread, once as many bytes have come as are worth it.

    Parameters
    ----------
    loaded_from
        Bytes that are worth loading machine code that is kept on disk, which takes half a second.
    compiled_from
        Bytes that are worth compiling it, once on a machine, which takes ten seconds.
    """

    __slots__ = ("_begun", "_compiled_from", "_loaded_from", "_lock", "_nbytes")

    def __init__(self, loaded_from: int, compiled_from: int) -> None:
        self._loaded_from = loaded_from
        self._compiled_from = compiled_from
        self._lock = Lock()
        self._nbytes = 0
        self._begun: Thread | None = None

    def expect(self, loops: Sequence[Compiled], nbytes: int) -> None:
        """Take note of bytes that the functions would read."""
        missing = [loop for loop in loops if not loop.is_ready]
        with self._lock:
            self._nbytes += nbytes
            if not missing or self._begun is not None or self._nbytes < self._loaded_from:
                return
            if self._nbytes >= self._compiled_from or all(loop.is_kept for loop in missing):
                self._begun = Thread(target=_load, args=(missing,), name="arrowstream-compiler")
                self._begun.start()

    def wait(self) -> None:
        """Wait until the machine code is loaded, if this has begun."""
        if self._begun is not None:
            self._begun.join()


def are_ready(loops: Sequence[Compiled]) -> bool:
    """Return whether all functions have machine code in this process."""
    return all(loop.is_ready for loop in loops)


def _load(loops: Sequence[Compiled]) -> None:
    try:
        for loop in loops:
            loop.load()
    except Exception:
        _log.warning("numba does not work: Polars reads text files alone, which takes longer", exc_info=True)
