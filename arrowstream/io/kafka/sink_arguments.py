"""What the arguments of `Sink.to_kafka` mean, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from arrowstream.core.checks import check_flag, check_whole
from arrowstream.core.duration import Duration, seconds
from arrowstream.core.messages import Encoder
from arrowstream.core.mistakes.explain import nearest_value
from arrowstream.errors import PlanError
from arrowstream.io.kafka.arguments import servers_of
from arrowstream.io.kafka.message_columns import MessageColumns
from arrowstream.io.kafka.producing import COMPRESSIONS, Producing
from arrowstream.io.kafka.records.compression import LEVELS, Codec
from arrowstream.io.kafka.security import security_of
from arrowstream.io.kafka.sink import KafkaSink
from arrowstream.io.kafka.topics import is_topic_name

_LEAST_BYTES = 1_024
_SHORTEST_SECONDS = 1.0


def kafka_sink(
    servers: object,
    topic: object,
    *,
    columns: Mapping[str, object],
    value: object,
    encoder: Encoder,
    compression: object,
    compression_level: object,
    max_message_bytes: object,
    idempotent: bool,
    delivery_timeout: Duration,
    security: object,
    client_id: object,
) -> KafkaSink:
    """Return the sink that `Sink.to_kafka` describes; `columns` has the arguments that name one column.

    Raises
    ------
    PlanError
        An argument does not fit.
    """
    check_flag("idempotent", idempotent)
    check_whole("max_message_bytes", max_message_bytes, _LEAST_BYTES)
    if not isinstance(client_id, str) or not client_id:
        raise PlanError("client_id takes a text that is not empty", found=repr(client_id))
    codec = _codec(compression)
    _check_level(codec, compression_level)
    delivery = seconds(delivery_timeout)
    if delivery < _SHORTEST_SECONDS:
        raise PlanError(
            "delivery_timeout is too short",
            expected=f"at least {_SHORTEST_SECONDS:g} s",
            found=f"{delivery:g} s",
        )
    names = _columns(columns, value)
    _check_topic(topic, names.topic)
    _check_form(names, encoder)
    producing = Producing(
        servers_of(servers),
        codec,
        level=compression_level if isinstance(compression_level, int) else None,
        max_message_bytes=max_message_bytes if isinstance(max_message_bytes, int) else _LEAST_BYTES,
        idempotent=idempotent,
        delivery_seconds=delivery,
        security=security_of(security),
        client_id=client_id,
    )
    return KafkaSink(producing, topic if isinstance(topic, str) else None, names, encoder)


def _codec(compression: object) -> Codec:
    name = "none" if compression is None else compression
    if name not in COMPRESSIONS:
        raise PlanError(
            f"Kafka has no compression {compression!r}",
            expected=", ".join(map(repr, COMPRESSIONS)),
            hint=nearest_value(str(compression), COMPRESSIONS),
        )
    return Codec[str(name).upper()]


def _check_level(codec: Codec, level: object) -> None:
    if level is None:
        return
    lowest, highest = LEVELS.get(codec, (0, 0))
    if isinstance(level, bool) or not isinstance(level, int) or not lowest <= level <= highest or not highest:
        raise PlanError(
            "compression_level does not fit the compression",
            expected=f"a whole number from {lowest} to {highest}" if highest else "none: it has no levels",
            found=f"{level!r}, with {codec.name.lower()}",
        )


def _columns(columns: Mapping[str, object], value: object) -> MessageColumns:
    names: dict[str, str | None] = {}
    for argument, name in columns.items():
        if name is not None and not isinstance(name, str):
            raise PlanError(
                f"{argument} takes the name of a column",
                expected="text",
                found=f"the {type(name).__name__} {name!r}",
                hint="compute the column in a step before: .with_columns(...)",
            )
        names[argument.removesuffix("_column")] = name
    if value is None or isinstance(value, str):
        return MessageColumns(**names, value=None if value is None else (value,))
    given = list(value) if isinstance(value, Iterable) else [value]
    several = tuple(name for name in given if isinstance(name, str))
    if not several or len({*several}) < len(given):
        raise PlanError(
            "value takes names of columns", expected="one, or several, each once", found=repr(value)
        )
    return MessageColumns(**names, value=several)


def _check_topic(topic: object, column: str | None) -> None:
    if (topic is None) == (column is None):
        raise PlanError(
            "to_kafka() takes one topic, or a column with the topic of each row",
            expected="topic or topic_column",
            found="both" if column is not None else "neither",
        )
    if topic is not None and (not isinstance(topic, str) or not is_topic_name(topic)):
        raise PlanError(
            f"{topic!r} is not a name of a topic",
            expected="1 to 249 letters, digits, '.', '_' and '-'",
            found=repr(topic),
            hint=None
            if isinstance(topic, str)
            else "topic_column= takes a column with the topic of each row",
        )


def _check_form(names: MessageColumns, encoder: Encoder) -> None:
    if encoder.rows_per_message == "many" and (names.headers or names.tombstone):
        raise PlanError(
            f"a record of format {encoder.label!r} holds many rows",
            expected="a format with a record for each row, for headers= and tombstone=",
            found=f"headers={names.headers!r}, tombstone={names.tombstone!r}",
        )
