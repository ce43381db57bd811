"""The breaker: after a few failures of the device in a row, its work goes to the CPU for the rest of the run."""

from __future__ import annotations

import logging

_LOG = logging.getLogger("arrowstream.gpu")

FAILURES = 3
"""Failures in a row that open the breaker."""


class Breaker:
    """Whether a device is given work.

    Examples
    --------
    >>> breaker = Breaker()
    >>> for _ in range(3):
    ...     breaker.failed(MemoryError("out of memory"))
    >>> breaker.is_open, str(breaker.reason)
    (True, 'out of memory')
    """

    def __init__(self) -> None:
        self.reason: BaseException | None = None
        """The last failure since the last success."""
        self._failures = 0

    @property
    def is_open(self) -> bool:
        """True once the device gets no work any more."""
        return self._failures >= FAILURES

    def failed(self, error: BaseException) -> None:
        """Note that a batch was computed on the CPU because the device failed."""
        self.reason = error
        self._failures += 1
        if self._failures == FAILURES:
            _LOG.warning(
                "the GPU has failed %d times in a row, the CPU goes on without it: %s", FAILURES, error
            )

    def worked(self) -> None:
        """Note that the device has computed a batch."""
        if not self.is_open:
            self._failures, self.reason = 0, None

    def reset(self) -> None:
        """Close the breaker, at the beginning of a run."""
        self._failures, self.reason = 0, None
