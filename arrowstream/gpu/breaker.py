"""The breaker: after a few failures of the device in a row, its work goes to the CPU."""

from __future__ import annotations

import logging

_LOG = logging.getLogger("arrowstream.gpu")

FAILURES = 3
"""Failures in a row that open the breaker."""

TRIED_AGAIN = 100
"""Batches that an open breaker sends to the CPU, with the one after them that the device is tried with again."""


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
        self._sent_away = 0

    @property
    def is_open(self) -> bool:
        """True while the device gets no work but a batch now and then."""
        return self._failures >= FAILURES

    def lets_through(self) -> bool:
        """Return whether the device is given the next batch: each one, or one in `TRIED_AGAIN` while it is open."""
        if not self.is_open:
            return True
        self._sent_away = (self._sent_away + 1) % TRIED_AGAIN
        return not self._sent_away

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
        if self.is_open:
            _LOG.warning("the GPU computes again")
        self._failures, self._sent_away, self.reason = 0, 0, None
