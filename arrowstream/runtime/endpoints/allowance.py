"""The limit of rows that leave a run, shared by its sinks."""

from __future__ import annotations


class Allowance:
    """A number of rows that may leave a run by any of its exits, each row counted once.

    An exit is a sink at an end of the pipeline, or all sinks of a fan-out, which get the same rows.

    Parameters
    ----------
    limit
        Largest number of rows.

    Examples
    --------
    >>> allowance = Allowance(10)
    >>> first, second, other = allowance.share("fan-out"), allowance.share("fan-out"), allowance.share("sink")
    >>> first.take(7), second.take(9), other.take(5)
    (7, 9, 1)
    >>> first.take(5)
    2
    """

    __slots__ = ("_exits", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._exits: dict[object, list[Share]] = {}

    def share(self, exit_: object) -> Share:
        """Return the share of another sink of this exit."""
        share = Share(self, exit_)
        self._exits.setdefault(exit_, []).append(share)
        return share

    def left(self, exit_: object) -> int:
        """Return the number of rows that may leave by this exit in all."""
        others = (shares for other, shares in self._exits.items() if other is not exit_)
        return self._limit - sum(max(share.rows for share in shares) for shares in others)


class Share:
    """The rows of one sink.

    Parameters
    ----------
    allowance
        The limit that it shares.
    exit_
        The exit of the sink.

    Attributes
    ----------
    rows : int
        Number of rows that the sink has written or is writing.
    """

    __slots__ = ("_allowance", "_exit", "rows")

    def __init__(self, allowance: Allowance, exit_: object) -> None:
        self._allowance = allowance
        self._exit = exit_
        self.rows = 0

    def take(self, rows: int) -> int:
        """Take up to `rows` more rows; return how many the limit allows."""
        allowed = min(rows, self._allowance.left(self._exit) - self.rows)
        self.rows += allowed
        return allowed
