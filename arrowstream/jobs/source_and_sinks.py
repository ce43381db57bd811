"""The source of a job with its event time, and its sinks with their handlers."""

from __future__ import annotations

from collections.abc import Iterator

from arrowstream.config.toml_file import Value
from arrowstream.connectors.sink import Sink
from arrowstream.io.sink import AnySink, BoundSink, SinkSpec
from arrowstream.io.source import EventTimeSource, SourceSpec
from arrowstream.jobs.connectors import SINKS, SOURCES, connector, place_of
from arrowstream.jobs.handlers import handlers
from arrowstream.jobs.job_errors import located
from arrowstream.jobs.values import EVENT_TIME

SOURCE_KEYS = ("name", "event_time", *EVENT_TIME, "on_error", "steps")
"""The keys of every source of a job, next to those of its kind."""

SINK_KEYS = ("on_error", "best_effort")
"""The keys of every sink of a job, next to those of its kind."""


def sources(value: Value) -> Iterator[tuple[Value, SourceSpec | EventTimeSource]]:
    """Yield the source, and then the source with its event time if the job gives one; each with its value.

    Raises
    ------
    JobError
        A key or a value is wrong.
    """
    source: SourceSpec = connector(value, SOURCES, also=SOURCE_KEYS)
    table = value.table()
    if source.decoder is None and "on_error" in table:
        raise table["on_error"].error(
            "only a source of messages has handlers, such as 'kafka' and 'tcp'; other rows fail in steps"
        )
    yield place_of(value, SOURCES), source
    if "event_time" in table:
        column = table["event_time"].text()
        options = {key: read(table[key]) for key, read in EVENT_TIME.items() if key in table}
        with located(table["event_time"]):
            yield table["event_time"], source.with_event_time(column, **options)
    else:
        for key in table.keys() & EVENT_TIME.keys():
            raise table[key].error("needs 'event_time', the column of the event time")


def sinks(value: Value) -> list[tuple[Value, BoundSink]]:
    """Return all sinks, one for each ``[[sink]]`` or for ``[sink]``, each with its value.

    Raises
    ------
    JobError
        A key or a value is wrong, or the job has no sink.
    """
    found = [(item, _sink(item)) for item in value.items()]
    if not found:
        raise value.error("has no sink")
    return found


def together(found: list[tuple[Value, BoundSink]]) -> AnySink:
    """Return the only sink, or a fan-out to several."""
    specs = [spec for _, spec in found]
    return specs[0] if len(specs) == 1 else Sink.fanout(specs)


def _sink(value: Value) -> BoundSink:
    spec: SinkSpec = connector(value, SINKS, also=SINK_KEYS)
    sink = BoundSink(spec)
    buffer = value.maybe("best_effort", Value.count)
    sink = sink if buffer is None else sink.best_effort(buffer)
    for handler in value.maybe("on_error", handlers) or ():
        with located(value.need("on_error")):
            sink = sink.on_error(handler)
    return sink
