"""What the arguments of `Source.from_kafka` mean, and whether they fit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from arrowstream.config.masking import without_logins
from arrowstream.core.checks import check_flag
from arrowstream.core.duration import Duration, seconds
from arrowstream.core.hints import did_you_mean
from arrowstream.core.messages import Decoder
from arrowstream.errors import PlanError
from arrowstream.io.kafka.columns import columns_of
from arrowstream.io.kafka.security import security_of
from arrowstream.io.kafka.source import KafkaSource
from arrowstream.io.kafka.start import start_of
from arrowstream.io.kafka.subscription import ISOLATIONS, Isolation, Subscription
from arrowstream.io.kafka.topics import topics_of

_SERVER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")
_SHORTEST_SECONDS = {"session_timeout": 1.0, "discover_every": 0.1, "stuck_after": 1.0}


def kafka_source(
    servers: object,
    topic: object,
    *,
    group: object,
    decoder: Decoder | None,
    metadata: object,
    start: object,
    stop_at_end: bool,
    partitions: object,
    isolation: Isolation,
    security: object,
    client_id: object,
    session_timeout: Duration,
    discover_every: Duration,
    stuck_after: Duration,
) -> KafkaSource:
    """Return the source that `Source.from_kafka` describes; the arguments are those of that method.

    Raises
    ------
    PlanError
        An argument does not fit.
    """
    check_flag("stop_at_end", stop_at_end)
    if isolation not in ISOLATIONS:
        raise PlanError(
            f"unknown isolation {isolation!r}",
            expected=" or ".join(map(repr, ISOLATIONS)),
            hint=did_you_mean(str(isolation), ISOLATIONS),
        )
    for name, text in (("group", group), ("client_id", client_id)):
        if (text is not None or name == "client_id") and (not isinstance(text, str) or not text):
            raise PlanError(f"{name} takes a text that is not empty", found=repr(text))
    subscription = Subscription(
        servers_of(servers),
        topics_of(topic, partitions),
        group=None if group is None else str(group),
        start=start_of(start, grouped=group is not None),
        stop_at_end=stop_at_end,
        columns=columns_of(metadata),
        isolation=isolation,
        security=security_of(security),
        client_id=str(client_id),
        session_seconds=_seconds("session_timeout", session_timeout),
        discovery_seconds=_seconds("discover_every", discover_every),
        stuck_seconds=_seconds("stuck_after", stuck_after),
    )
    return KafkaSource(subscription, decoder)


def servers_of(servers: object) -> str:
    """Return hosts and ports, separated by commas, as a user names them: one text, or several.

    Raises
    ------
    PlanError
        One of them is not a host, with or without a port.

    Examples
    --------
    >>> servers_of("localhost:9092"), servers_of(["a:9092", "b"])
    ('localhost:9092', 'a:9092,b')
    """
    several: Iterable[Any] = (
        servers if isinstance(servers, Iterable) and not isinstance(servers, str) else [servers]
    )
    names = [part.strip() for each in several for part in str(each).split(",")]
    for name in names:
        found = _SERVER.fullmatch(name)
        if found is None or not 0 < int(found["port"] or 9092) < 65_536:
            raise PlanError(
                "servers= takes hosts and ports of Kafka servers",
                expected="'host:port', or several of them",
                found=without_logins(repr(servers)),
                hint="leave out the part before '//'" if "//" in name else None,
            )
    return ",".join(names)


def _seconds(name: str, duration: Duration) -> float:
    found = seconds(duration)
    if found < _SHORTEST_SECONDS[name]:
        raise PlanError(
            f"{name} is too short", expected=f"at least {_SHORTEST_SECONDS[name]:g} s", found=f"{found:g} s"
        )
    return found
