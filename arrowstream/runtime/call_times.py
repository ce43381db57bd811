"""How long the next call will take: whether it may run on the event loop's own thread."""

from __future__ import annotations

INLINE_NS = 1_000_000
"""Work predicted to take less runs on the loop's own thread.

A hop to a worker thread and back costs 60-110 us, so at 200 us it would cost a third of the work;
and nothing else on the loop (channel hops, timers) minds waiting a millisecond.
"""

_FIRST_NS_PER_ROW = 100
"""Assumed time for a row before any call was measured: batches of up to 10,000 rows then run inline."""


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
        """Whether a call for this number of rows, 0 for a mark, is predicted to take less than `INLINE_NS`."""
        if not self._rows:
            return rows * _FIRST_NS_PER_ROW + self._ns < INLINE_NS
        # Fewer rows take at most as long: there may be a fixed cost.
        return self._ns * max(rows, self._rows) < INLINE_NS * self._rows

    def observe(self, rows: int, taken_ns: int) -> None:
        """Note the time of a call; one for a mark says nothing of the number of rows."""
        self._rows = rows or self._rows
        self._ns = taken_ns
