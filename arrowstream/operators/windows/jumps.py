"""The event time after rows of which none may move it by more than a limit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]

_PIECE = 4_096
"""Number of rows that are looked at together."""

_FIRST, _LAST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def advanced(times: Times, latest: int, jump: int) -> tuple[int, npt.NDArray[np.bool_]]:
    """Return the event time after some rows, and which of the rows were too far ahead to move it.

    A row moves event time if it is later, by at most `jump`, than the event time that the rows before it have left.

    Parameters
    ----------
    times
        The times of the rows, in order.
    latest
        The event time before them.
    jump
        The most by which one row may move it.

    Examples
    --------
    >>> latest, ahead = advanced(np.array([3, 900, 12, 14, 901]), latest=0, jump=10)
    >>> latest, ahead.tolist()
    (14, [False, True, False, False, True])
    """
    ahead = np.zeros(len(times), np.bool_)
    place = 0
    while place < len(times):
        piece = times[place : place + _PIECE]
        if piece[0] <= _reach(latest, jump):
            # Rows from here on up to the first that is too far ahead: all of them count.
            before = np.maximum.accumulate(np.concatenate(([latest], piece)))
            far = np.flatnonzero(piece > _reach(before[:-1], jump))
            stop = int(far[0]) if len(far) else len(piece)
        else:
            # Rows within reach of `latest` count, others do not, until the former have moved it towards the latter.
            within = piece <= _reach(latest, jump)
            before = np.maximum.accumulate(np.concatenate(([latest], np.where(within, piece, _FIRST))))
            reached = np.flatnonzero(~within & (piece <= _reach(before[:-1], jump)))
            stop = int(reached[0]) if len(reached) else len(piece)
            ahead[place : place + stop] = ~within[:stop]
        latest = int(before[stop])
        place += stop
    return latest, ahead


def _reach(latest: int | Times, jump: int) -> Times:
    """Return the latest time that may move event time, without overflow."""
    return np.asarray(np.minimum(latest, _LAST - jump) + jump)
