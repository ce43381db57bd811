"""The memory budget for the state of all steps of a pipeline."""

from __future__ import annotations

from threading import Lock


class MemoryBudget:
    """The bytes of state that the steps of a pipeline hold, counted by step, up to a limit.

    Steps run on several threads, so every change takes a lock, which costs some 0.2 us.

    Parameters
    ----------
    limit
        Maximum number of bytes that all steps may hold together; None for no limit.

    Attributes
    ----------
    held : int
        Bytes that all steps hold now.
    peak : int
        Largest value of `held` so far.

    Examples
    --------
    >>> budget = MemoryBudget(100)
    >>> budget.reserve("totals", 60)
    >>> budget.fits(40), budget.fits(41)
    (True, False)
    >>> budget.reserve("latest", 70)
    >>> budget.holders()
    {'latest': 70, 'totals': 60}
    >>> budget.release("latest", 70)
    >>> budget.held, budget.peak
    (60, 130)
    """

    __slots__ = ("_lock", "_steps", "held", "limit", "peak")

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.held = 0
        self.peak = 0
        self._steps: dict[str, int] = {}
        self._lock = Lock()

    def reserve(self, step: str, nbytes: int) -> None:
        """Count `nbytes` more for a step, even beyond the limit: callers check `fits` first."""
        with self._lock:
            self._steps[step] = self._steps.get(step, 0) + nbytes
            self.held += nbytes
            self.peak = max(self.peak, self.held)

    def release(self, step: str, nbytes: int) -> None:
        """Count `nbytes` fewer for a step."""
        self.reserve(step, -nbytes)

    def fits(self, nbytes: int) -> bool:
        """Return whether `nbytes` more stay within the limit."""
        return self.limit is None or self.held + nbytes <= self.limit

    def holders(self) -> dict[str, int]:
        """Return the bytes of every step that holds any, the largest first."""
        with self._lock:
            steps = sorted(self._steps.items(), key=lambda item: -item[1])
        return {step: nbytes for step, nbytes in steps if nbytes > 0}
