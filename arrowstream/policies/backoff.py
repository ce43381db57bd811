"""Exponential backoff for retries: waits that grow up to a limit, with random jitter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Real
from random import Random
from typing import Self

from arrowstream.core.checks import check_whole
from arrowstream.core.defaults import MAX_RETRIES, RETRY_DELAY_MS
from arrowstream.core.duration import Duration, seconds
from arrowstream.errors import PlanError

_LONGEST_S = 60.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Number of retries and the waits before them, in seconds. See `ErrorHandler.retry` for the fields."""

    times: int | None
    delay: float | None
    factor: float
    jitter: float
    budget: float | None
    max_delay: float | None

    def __post_init__(self) -> None:
        if self.times is not None:
            check_whole("retry(times=...)", self.times)
        if not (_is_number(self.factor) and 1 <= self.factor < math.inf):
            raise _out_of_range("factor", "a number, at least 1", repr(self.factor))
        if not (_is_number(self.jitter) and 0 <= self.jitter <= 1):
            raise _out_of_range("jitter", "a number between 0 and 1", repr(self.jitter))
        if self.max_delay is not None and self.delay is not None and self.max_delay < self.delay:
            raise _out_of_range("max_delay", f"at least the delay, {self.delay:g} s", f"{self.max_delay:g} s")

    def settled(self, times: int, delay: float) -> Self:
        """Return a copy with `times` and `delay` (seconds, at most `max_delay`) where none were given."""
        longest = math.inf if self.max_delay is None else self.max_delay
        return replace(
            self,
            times=times if self.times is None else self.times,
            delay=min(delay, longest) if self.delay is None else self.delay,
        )

    def waits(self, random: Random) -> Iterator[float]:
        """Yield the wait before each retry, in seconds."""
        times = MAX_RETRIES if self.times is None else self.times
        wait = RETRY_DELAY_MS / 1_000 if self.delay is None else self.delay
        longest = max(wait, _LONGEST_S) if self.max_delay is None else self.max_delay
        for _ in range(times):
            yield wait * (1 - self.jitter * random.random())
            wait = min(wait * self.factor, longest)

    @property
    def summary(self) -> str:
        """Short text for `explain()`, such as ``3, delay=0.1 s``."""
        times = MAX_RETRIES if self.times is None else self.times
        delay = RETRY_DELAY_MS / 1_000 if self.delay is None else self.delay
        budget = "" if self.budget is None else f", budget={self.budget:g} s"
        return f"{times}, delay={delay:g} s{budget}"


def wait_seconds(name: str, duration: Duration) -> float:
    """Convert the argument `name` of ``retry`` into seconds.

    Raises
    ------
    PlanError
        It is not a duration, or it is negative or infinite.
    """
    try:
        return seconds(duration)
    except PlanError as error:
        error.what = f"retry({name}=...) does not fit: {error.what}"
        raise


def _out_of_range(name: str, expected: str, found: object) -> PlanError:
    return PlanError(f"retry({name}=...) does not fit", expected=expected, found=str(found))


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
