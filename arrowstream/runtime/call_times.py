"""The prediction of call times, which decides whether a call runs on the event loop's thread."""

from __future__ import annotations

INLINE_NS = 1_000_000
"""Predicted time, in nanoseconds, below which work runs on the loop's thread.

A hop to a worker thread and back costs 60-110 us, so at 200 us it would cost a third of the work;
and channel hops and timers on the loop can wait for 1 ms.
"""

_FIRST_NS_PER_ROW = 100
"""Assumed time for a row, in nanoseconds, before any call is measured: batches below 10,000 rows then run inline."""


class CallTimes:
    """The time of the last call, as the prediction for the next one.

    Examples
    --------
    >>> times = CallTimes()
    >>> times.runs_inline(1_000), times.runs_inline(1_000_000)
    (True, False)
    >>> times.observe(rows=1_000, taken_ns=2_000_000)
    >>> times.runs_inline(1_000)
    False
    """

    __slots__ = ("_ns", "_rows")

    def __init__(self) -> None:
        self._rows = 0
        self._ns = 0

    def runs_inline(self, rows: int) -> bool:
        """Return whether a call for `rows` rows, 0 for a mark, is predicted to take less than `INLINE_NS`."""
        if not self._rows:
            return rows * _FIRST_NS_PER_ROW + self._ns < INLINE_NS
        # Fewer rows take at most as long: there may be a fixed cost.
        return self._ns * max(rows, self._rows) < INLINE_NS * self._rows

    def observe(self, rows: int, taken_ns: int) -> None:
        """Record the time of a call, in nanoseconds; `rows` is 0 for a mark, which leaves the last number of rows."""
        self._rows = rows or self._rows
        self._ns = taken_ns
