"""Which topics and partitions are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError, SourceError
from arrowstream.io.kafka.partition_name import Partition

_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics by name or by a pattern, and perhaps only some partitions of each.

    Parameters
    ----------
    names
        Names of topics; empty with a pattern.
    pattern
        Regular expression that matches the beginning of a topic's name.
    numbers
        Numbers of the partitions to read, of every topic; None for all, including those that are added later.
    """

    names: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    numbers: tuple[int, ...] | None = None

    def __str__(self) -> str:
        topics = ", ".join(self.names) if self.pattern is None else f"/{self.pattern.pattern}/"
        return topics if self.numbers is None else f"{topics} [{', '.join(map(str, self.numbers))}]"

    @property
    def identity(self) -> str:
        """The topics and partitions in the order of their names and numbers."""
        numbers = None if self.numbers is None else tuple(sorted(self.numbers))
        return str(Topics(tuple(sorted(self.names)), self.pattern, numbers))

    def partitions(self, cluster: Mapping[str, Iterable[int]]) -> set[Partition]:
        """Return the partitions that are meant, of a cluster with the partitions of each topic.

        Raises
        ------
        SourceError
            A topic or a partition is missing.
        """
        found = set()
        for topic in self._in(cluster):
            numbers = set(cluster[topic])
            for number in self.numbers or ():
                if number not in numbers:
                    raise SourceError(
                        f"topic {topic!r} has no partition {number}",
                        expected=f"one of {', '.join(map(str, sorted(numbers)))}",
                    )
            found |= {(topic, number) for number in (numbers if self.numbers is None else self.numbers)}
        return found

    def _in(self, cluster: Mapping[str, object]) -> list[str]:
        if self.pattern is not None:
            return [topic for topic in cluster if self.pattern.match(topic)]
        for name in self.names:
            if name not in cluster:
                known = sorted(cluster)
                raise SourceError(
                    f"the topic {name!r} does not exist",
                    expected=f"one of {', '.join(known)}" if known else "a topic that exists",
                    hint=did_you_mean(name, known) or "create the topic first; reading does not create it",
                )
        return list(self.names)


def topics_of(topic: object, partitions: object = None) -> Topics:
    """Return the topics and partitions that a user names.

    Parameters
    ----------
    topic
        A name, several names, or a pattern: a compiled regular expression, or text that begins with ``^``.
    partitions
        Numbers of partitions of each topic; None for all.

    Raises
    ------
    PlanError
        A name or a number is none, or there are none.
    """
    numbers = None if partitions is None else _numbers(partitions)
    if isinstance(topic, re.Pattern) or (isinstance(topic, str) and topic.startswith("^")):
        return Topics(pattern=_compiled(topic), numbers=numbers)
    names = [topic] if isinstance(topic, str) else list(topic) if isinstance(topic, Iterable) else []
    if not names:
        raise PlanError(
            "from_kafka() reads at least one topic",
            expected="a name, a list of names, or a pattern such as '^orders-'",
            found=repr(topic),
        )
    for name in names:
        if not isinstance(name, str) or not is_topic_name(name):
            raise PlanError(
                f"{name!r} is not a name of a topic",
                expected="1 to 249 letters, digits, '.', '_' and '-'",
                found=repr(name),
                hint="a pattern begins with '^'" if isinstance(name, str) else None,
            )
    return Topics(tuple(dict.fromkeys(names)), numbers=numbers)


def is_topic_name(text: str) -> bool:
    """Return whether a topic can have this name."""
    return _LEGAL.fullmatch(text) is not None and text not in (".", "..")


def _compiled(topic: str | re.Pattern[str]) -> re.Pattern[str]:
    try:
        return re.compile(topic)
    except re.error as error:
        raise PlanError(
            "the pattern of topics is not a regular expression", found=f"{topic}: {error}"
        ) from error


def _numbers(partitions: object) -> tuple[int, ...]:
    numbers = [partitions] if isinstance(partitions, int) else partitions
    if not isinstance(numbers, Iterable) or isinstance(numbers, str):
        numbers = [numbers]
    found = list(numbers)
    if not found or not all(
        isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in found
    ):
        raise PlanError(
            "partitions= takes numbers of partitions",
            expected="at least one number, each at least 0",
            found=repr(partitions),
        )
    return tuple(sorted(set(found)))
