"""Work on the device that the CPU does where the device fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from arrowstream.gpu.device import Device

T = TypeVar("T")

_LOG = logging.getLogger("arrowstream.gpu")


def attempt(device: Device, what: str, work: Callable[[], T]) -> T | None:
    """Return what `work` returns, or None if the device has no room for it or fails.

    Parameters
    ----------
    device
        The device.
    what
        What is attempted, for the log, such as ``"group 100 rows"``.
    work
        Called on the caller's thread.
    """
    try:
        try:
            return work()
        except (MemoryError, OverflowError) as error:  # the second one: a column of text is too long
            _LOG.info("the GPU has no room to %s, the CPU does: %s", what, error)
        device.run(device.synchronize)
    except RuntimeError as error:
        _LOG.warning("the GPU could not %s, the CPU does: %s", what, error)
        # Without the calls that it came through, which hold what they had made.
        device.breaker.failed(error.with_traceback(None))
    return None
