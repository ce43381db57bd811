"""The limit of rows that leave a run, shared by its sinks."""

from __future__ import annotations

import asyncio


class Allowance:
    """A number of rows that may leave a run by any of its exits, each row counted once.

    An exit is a sink at an end of the pipeline, or all sinks of a fan-out, which get the same rows.

    Parameters
    ----------
    limit
        Largest number of rows.

    Examples
    --------
    >>> async def main():
    ...     allowance = Allowance(10)
    ...     first, second, other = allowance.share("fan-out"), allowance.share("fan-out"), allowance.share("sink")
    ...     taken = await first.take(7), await second.take(9), await other.take(1)
    ...     second.settle(4)  # a handler has left out 5 rows
    ...     return *taken, await other.take(5)
    >>> asyncio.run(main())
    (7, 9, 1, 2)
    """

    __slots__ = ("_changed", "_exits", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._exits: dict[object, list[Share]] = {}
        self._changed = asyncio.Event()

    def share(self, exit_: object) -> Share:
        """Return the share of another sink of this exit."""
        share = Share(self, exit_)
        self._exits.setdefault(exit_, []).append(share)
        return share

    def left(self, exit_: object) -> int:
        """Return the number of rows that may leave by this exit in all."""
        return self._limit - sum(max(share.rows for share in shares) for shares in self._others(exit_))

    def may_grow(self, exit_: object) -> bool:
        """Return True if a sink of another exit is writing rows, which a handler may leave out."""
        return any(share.writing for shares in self._others(exit_) for share in shares)

    async def change(self) -> None:
        """Wait until a sink has written rows."""
        await self._changed.wait()

    def changed(self) -> None:
        """Wake those who wait for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _others(self, exit_: object) -> list[list[Share]]:
        return [shares for other, shares in self._exits.items() if other is not exit_]


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
    writing : bool
        True from `take` to `settle`.
    """

    __slots__ = ("_allowance", "_exit", "rows", "writing")

    def __init__(self, allowance: Allowance, exit_: object) -> None:
        self._allowance = allowance
        self._exit = exit_
        self.rows = 0
        self.writing = False

    async def take(self, rows: int) -> int:
        """Take up to `rows` more rows; return how many the limit allows.

        While other sinks are writing all rows that the limit allows, wait: a handler may leave out some of theirs.
        """
        while not (allowed := min(rows, self._allowance.left(self._exit) - self.rows)):
            if not self._allowance.may_grow(self._exit):
                return 0
            await self._allowance.change()
        self.rows += allowed
        self.writing = True
        return allowed

    def settle(self, rows: int) -> None:
        """Note the number of rows that the sink has written in all, once it has written those it took."""
        self.rows = rows
        self.writing = False
        self._allowance.changed()
