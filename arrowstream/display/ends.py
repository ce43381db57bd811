"""Sources and sinks as HTML."""

from __future__ import annotations

from arrowstream.core.plural import counted
from arrowstream.display.style import shown
from arrowstream.display.tables import columns_table, error_box, head, said
from arrowstream.display.unread import unread
from arrowstream.errors import ArrowstreamError
from arrowstream.io.sink import AnySink, Fanout, SinkSpec, bound
from arrowstream.io.source import EventTimeSource, SourceSpec


def source_html(source: SourceSpec | EventTimeSource) -> str:
    """Return a source: its label, its columns if they are at hand, its event time, what it is able to do."""
    spec = source.source if isinstance(source, EventTimeSource) else source
    looked_at = unread(spec)
    try:
        label, schema, wrong = looked_at.label, looked_at.schema(), ""
    except ArrowstreamError as error:
        label, schema, wrong = spec.brief, None, error_box(error)
    parts = [head("Source", label), wrong]
    if isinstance(source, EventTimeSource):
        parts.append(
            said(f"event time: {source.time.column}, {source.time.lateness_us / 1e6:g} s of lateness")
        )
    if spec.decoder is not None:
        parts.append(said(f"messages: {spec.decoder.label}"))
        schema = spec.decoder.schema
    if schema is not None:
        columns = tuple((name, str(dtype)) for name, dtype in schema.items())
        parts += [said(counted(len(columns), "columns")), columns_table(columns)]
    elif not wrong:
        parts.append(
            said(
                "columns: learnt from the first batch"
                if spec.at_hand
                else "columns: read when the pipeline is built, as that takes a connection"
            )
        )
    parts.append(said("continues after a restart" if spec.resumable else "cannot continue after a restart"))
    return shown(*parts)


def sink_html(sink: AnySink) -> str:
    """Return a sink, or each sink of a fan-out: its label, its guarantee, its handlers."""
    parts = []
    if isinstance(sink, Fanout):
        parts.append(head("Sink", f"fan-out to {counted(len(sink.sinks), 'sinks')}"))
    for end in bound(sink):
        try:
            label, guarantee = end.sink.label, end.sink.guarantee
        except ArrowstreamError as error:
            parts += [head("Sink", "refused"), error_box(error)]
            continue
        parts.append(head("Sink", label))
        if end.best_effort_capacity is None:
            parts.append(said(f"guarantee: {guarantee}"))
        else:
            waits = counted(end.best_effort_capacity, "batches")
            parts.append(said(f"guarantee: best effort: misses batches while {waits} wait"))
        if end.handlers:
            parts.append(said(f"on error: {', then '.join(handler.describe() for handler in end.handlers)}"))
    return shown(*parts)


def source_text(source: SourceSpec | EventTimeSource) -> str:
    """Return a source on one line."""
    if isinstance(source, EventTimeSource):
        return f"{source_text(source.source)}, event time in {source.time.column}"
    return f"Source: {unread(source).label}"


def sink_text(sink: AnySink) -> str:
    """Return a sink on one line, a fan-out on a line for each of its sinks."""
    if isinstance(sink, Fanout):
        first = f"Sink: fan-out to {counted(len(sink.sinks), 'sinks')}"
        return "\n".join([first, *(f"  {sink_text(each)}" for each in sink.sinks)])
    if isinstance(sink, SinkSpec):
        try:
            return f"Sink: {sink.label}; {sink.guarantee}"
        except ArrowstreamError:
            return f"Sink: {sink.brief}"
    best_effort = "" if sink.best_effort_capacity is None else ", best effort"
    handlers = ", then ".join(handler.describe() for handler in sink.handlers)
    return f"Sink: {sink.sink.brief}{best_effort}{f', on error: {handlers}' if handlers else ''}"
