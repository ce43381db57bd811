"""Files that come into a folder, and when each of them is complete."""

from __future__ import annotations

from collections.abc import Iterable

from arrowstream.io.files.listing import ListedFile
from arrowstream.io.files.reading.stamps import Stamp, stamp_of


class Arrivals:
    """The files of a folder that have not been taken, and since when each of them has not changed.

    Parameters
    ----------
    rest_ns
        Nanoseconds for which the size and the time of the last change of a file must stay the same.
    """

    __slots__ = ("_rest_ns", "_since")

    def __init__(self, rest_ns: int) -> None:
        self._rest_ns = rest_ns
        self._since: dict[str, tuple[Stamp | None, int]] = {}

    def at_rest(self, files: Iterable[ListedFile], now_ns: int) -> list[ListedFile]:
        """Return those of the files that are there now which have not changed for long enough, in order.

        Parameters
        ----------
        files
            All files that are there and have not been taken. Others are forgotten.
        now_ns
            The time, by a monotonic clock.
        """
        before, self._since = self._since, {}
        ready = []
        for file in files:
            path, stamp = str(file.path), stamp_of(file.path)
            known, since_ns = before.get(path, (None, now_ns))
            if stamp is None or stamp != known:
                since_ns = now_ns
            if now_ns - since_ns >= self._rest_ns and stamp is not None:
                ready.append(file)
            else:
                self._since[path] = stamp, since_ns
        return ready
