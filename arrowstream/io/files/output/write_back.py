"""Telling the kernel early that written bytes shall go to the disk."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

BYTES = 16 << 20
"""Bytes that are written to a file before the disk starts on them."""

_START = 2
"""SYNC_FILE_RANGE_WRITE of Linux: start writing, wait for nothing, report nothing."""


def start_write_back(handle: int, start: int, nbytes: int) -> None:
    """Let the disk start on `nbytes` bytes of a file at `start`, so that a later fsync has less to wait for.

    Nothing depends on it: a system without the call does nothing here, and failures are those of the fsync.
    """
    call = _call()
    if call is not None:
        call(handle, start, nbytes, _START)


@functools.cache
def _call() -> Callable[[int, int, int, int], int] | None:
    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is not None:
        call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return call
