"""Facts about a Kafka cluster, for `arrowstream doctor --kafka`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from arrowstream.cli.doctor import Finding
from arrowstream.core.plural import counted
from arrowstream.errors import PlanError
from arrowstream.io.kafka.arguments import servers_of
from arrowstream.io.kafka.extra import demand_extra
from arrowstream.io.kafka.security import KafkaSecurity, security_of


def findings(servers: str, groups: Iterable[str], security: Iterable[str]) -> Iterator[Finding]:
    """Ask a cluster about itself.

    Parameters
    ----------
    servers
        Hosts and ports, separated by commas.
    groups
        Consumer groups whose lag is of interest.
    security
        Options of `KafkaSecurity`, each as ``key=value``.

    Raises
    ------
    ArrowstreamError
        An option does not fit, no server answers, or aiokafka is not installed.
    """
    demand_extra("doctor --kafka")
    from arrowstream.io.kafka.survey import survey  # here: aiokafka is an extra

    found = asyncio.run(survey(servers_of(servers.split(",")), _security(security), groups))
    yield Finding("kafka", "answer", f"after {found.seconds * 1000:.0f} ms")
    yield Finding("kafka", "cluster", found.cluster or "without an id")
    yield Finding("kafka", "servers", ", ".join(found.servers))
    versions = (f"{name} {least} to {most}" for name, (least, most) in found.versions.items())
    yield Finding("kafka", "versions", ", ".join(versions))
    for topic, partitions in found.topics.items():
        yield Finding("topics", topic, counted(partitions, "partitions"))
    for group, topics in found.lags.items():
        for topic, (lag, without) in topics.items():
            rest = f", {counted(without, 'partitions without a committed offset')}" if without else ""
            yield Finding(f"lag of {group}", topic, f"{counted(lag, 'records')}{rest}")
        if not topics:
            yield Finding(f"lag of {group}", "all topics", "no committed offset")


def _security(options: Iterable[str]) -> KafkaSecurity | None:
    table: dict[str, str | bool] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise PlanError(
                f"--kafka-security {option} is not an option",
                expected="key=value, such as mechanism=PLAIN",
                found="no equals sign",
            )
        table[key.strip()] = {"true": True, "false": False}.get(value, value)
    return security_of(table or None)
