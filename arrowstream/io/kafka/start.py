"""Where in each partition reading starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal, get_args

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError
from arrowstream.io.kafka.partition_name import Partition, partition_of

Word = Literal["earliest", "latest", "committed"]
WORDS = get_args(Word)


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading starts: by a word, at a time, or at an offset for each partition.

    Parameters
    ----------
    word
        ``"earliest"``, ``"latest"`` or ``"committed"``: for the partitions without an offset in `offsets`.
    offsets
        First offset of partitions: by number, for every topic, or by topic and number.
    time_ms
        Milliseconds since 1970 (UTC) of the first row, in place of a word.
    """

    word: Word
    offsets: tuple[tuple[int | Partition, int], ...] = ()
    time_ms: int | None = None

    def offset(self, partition: Partition) -> int | None:
        """Return the first offset that was given for a partition, or None."""
        offsets = dict(self.offsets)
        return offsets.get(partition, offsets.get(partition[1]))

    def __str__(self) -> str:
        if self.time_ms is not None:
            return f"time {self.time_ms} ms"
        return "given offsets" if self.offsets else self.word


def start_of(value: object, *, grouped: bool) -> Start:
    """Return where reading starts, as a user says it; None is the default.

    Parameters
    ----------
    value
        A word, a datetime, a dict of offsets, or None: where the group has committed, or at the beginning without
        a group.
    grouped
        Whether the source has a group.

    Raises
    ------
    PlanError
        `value` is none of these, or ``"committed"`` without a group.
    """
    if value is None:
        return Start("committed" if grouped else "earliest")
    if isinstance(value, datetime):
        return Start("earliest", time_ms=_milliseconds(value))
    if isinstance(value, Mapping):
        return Start("earliest", tuple(_offset(key, offset) for key, offset in value.items()))
    for word in WORDS:
        if value == word:
            if word == "committed" and not grouped:
                raise PlanError(
                    "start='committed' needs a group",
                    expected="the name of a consumer group, whose committed offsets are meant",
                    found="no group",
                    hint="add group='...', or write start='earliest'",
                )
            return Start(word)
    raise PlanError(
        f"from_kafka() cannot start at {value!r}",
        expected=f"{', '.join(map(repr, WORDS))}, a datetime, or a dict of partitions and offsets",
        found=f"the {type(value).__name__} {value!r}",
        hint=_time_hint(value) or (did_you_mean(value, WORDS) if isinstance(value, str) else None),
    )


def _time_hint(value: object) -> str | None:
    """Return how a time is written that is given as a text or a date; None for what is not a time."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, date):
        return None
    parts = [value.year, value.month, value.day]
    if isinstance(value, datetime):
        clock = [value.hour, value.minute, value.second, value.microsecond]
        while clock and not clock[-1]:
            clock.pop()
        parts += clock
    zone = value.tzinfo if isinstance(value, datetime) else None
    text = f"datetime({', '.join(map(str, parts))}, tzinfo={'UTC' if zone in (None, UTC) else repr(zone)})"
    return (
        f"a time is a datetime: start={text}; in a job it has no quotes, and a zone, as 2026-01-31T12:00:00Z"
    )


def _milliseconds(time: datetime) -> int:
    if time.tzinfo is None:
        raise PlanError(
            "the time of start= has no time zone",
            expected="a datetime with a time zone",
            found=repr(time),
            hint="give it one, such as timezone.utc; in a job, end it with Z, as in 2026-01-31T12:00:00Z",
        )
    return max(0, int(time.timestamp() * 1000))


def _offset(key: object, offset: object) -> tuple[int | Partition, int]:
    named = partition_of(key)
    if isinstance(key, str) and key.isdecimal():  # the keys of a table in TOML are text
        key = int(key)
    known = key if isinstance(key, int) and not isinstance(key, bool) and key >= 0 else named
    if known is None or not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        raise PlanError(
            "start= has a wrong offset of a partition",
            expected="the number of a partition, or its name such as 'topic[0]', and an offset of at least 0",
            found=f"{key!r}: {offset!r}",
        )
    return known, offset
