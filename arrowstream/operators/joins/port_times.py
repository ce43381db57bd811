"""The event time of an operator with several inputs: the least of those that are neither idle nor ended."""

from __future__ import annotations

from typing import Any


class PortTimes:
    """The watermarks of several inputs.

    Parameters
    ----------
    ports
        The number of inputs.

    Examples
    --------
    >>> times = PortTimes(2)
    >>> times.reach(0, 500), times.reach(1, 300), times.reach(1, 900)
    (None, 300, 500)
    >>> times.end(0), times.time_us
    (900, 900)
    """

    __slots__ = ("_ended", "_idle", "_reached", "time_us")

    def __init__(self, ports: int) -> None:
        self._reached: list[int | None] = [None] * ports
        self._idle = [False] * ports
        self._ended = [False] * ports
        self.time_us: int | None = None
        """No row before this time, in microseconds, comes from any input any more; None while it is unknown."""

    def reach(self, port: int, time_us: int) -> int | None:
        """Note the watermark of an input; return the common time if it has advanced, else None."""
        self._reached[port] = time_us
        self._idle[port] = False
        return self._advance()

    def sleep(self, port: int) -> int | None:
        """Note that an input is idle; return the common time if it has advanced, else None."""
        self._idle[port] = True
        return self._advance()

    def wake(self, port: int) -> None:
        """Note that an input has delivered rows, such as one that had ended when an earlier run was stopped."""
        self._idle[port] = self._ended[port] = False

    def end(self, port: int) -> int | None:
        """Note that an input has ended; return the common time if it has advanced, else None."""
        self._ended[port] = True
        return self._advance()

    def has_ended(self, port: int) -> bool:
        """Return whether an input has ended."""
        return self._ended[port]

    @property
    def is_idle(self) -> bool:
        """True if every input that has not ended is idle, and one has not ended."""
        waiting = [idle for idle, ended in zip(self._idle, self._ended, strict=True) if not ended]
        return bool(waiting) and all(waiting)

    def values(self) -> dict[str, Any]:
        """Return the state as values that have a form in JSON."""
        return {"reached": self._reached, "time_us": self.time_us}

    def restore(self, values: dict[str, Any]) -> None:
        """Take over the state from `values`; an input that was idle or had ended says so again."""
        self._reached, self.time_us = values["reached"], values["time_us"]

    def _advance(self) -> int | None:
        ports = zip(self._reached, self._idle, self._ended, strict=True)
        active = [reached for reached, idle, ended in ports if not idle and not ended]
        known = [reached for reached in active if reached is not None]
        if (
            not active
            or len(known) < len(active)
            or (self.time_us is not None and min(known) <= self.time_us)
        ):
            return None
        self.time_us = min(known)
        return self.time_us
