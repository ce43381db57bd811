"""Lines that aiokafka logs again and again while a server is away: 20 a second and more for each client."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

PAUSE_SECONDS: Final = 10.0
"""Time between two lines that say the same of other nodes or errors."""

_LOGGERS: Final = (
    "aiokafka",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.consumer",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.helpers",
    "aiokafka.producer.producer",
    "aiokafka.producer.sender",
)
"""The loggers of aiokafka's clients. A filter of a logger does not see the lines of the loggers below it."""


class RepeatedLines(logging.Filter):
    """Lets a warning or error pass once in `PAUSE_SECONDS`, with the number of those that were left out.

    Parameters
    ----------
    now_s
        Returns the time in seconds.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._passed: dict[tuple[str, str], tuple[float, int]] = {}
        """When a line has passed last, and number of those left out since, by logger and text without values."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line passes."""
        if record.levelno < logging.WARNING:
            return True
        now, key = self._now_s(), (record.name, str(record.msg))
        passed, left_out = self._passed.get(key, (-PAUSE_SECONDS, 0))
        if now - passed < PAUSE_SECONDS:
            self._passed[key] = (passed, left_out + 1)
            return False
        self._passed[key] = (now, 0)
        if left_out:
            text = record.getMessage()
            record.msg, record.args = (
                "%s (%d more such lines in the last %.0f s)",
                (text, left_out, now - passed),
            )
        return True


_FILTER: Final = RepeatedLines()


def thin_out() -> None:
    """Leave out repeated lines of aiokafka from now on, in this process."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
