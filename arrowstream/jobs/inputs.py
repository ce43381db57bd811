"""The inputs of a job: each source with its steps, and several of them merged."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from arrowstream.config.toml_file import Value
from arrowstream.jobs.handlers import handlers
from arrowstream.jobs.job_errors import located
from arrowstream.jobs.source_and_sinks import sources
from arrowstream.jobs.steps import step
from arrowstream.jobs.streams import IN_SOURCE, Streams
from arrowstream.pipeline import Builder, Pipeline


@dataclass(frozen=True, slots=True)
class JobPrefix:
    """A job up to one of its values, for finding the value that an error is about.

    Parameters
    ----------
    value
        The last value.
    label
        Name of the value for users: ``source``, or ``step 1 filter``; empty if it does not change the schema.
    builder
        The pipeline up to and including it.
    is_step
        True if the value is the operator of a step.
    """

    value: Value
    label: str
    builder: Builder
    is_step: bool = False


def inputs(value: Value, name: str, joined: Collection[str]) -> tuple[list[JobPrefix], Streams]:
    """Return the prefixes of each source with its steps, and of the merge of several; and the streams to be joined.

    Parameters
    ----------
    value
        The table ``[source]``, or the array of several ``[[source]]``.
    name
        Name of the pipeline, which is that of the line that begins with the first source.
    joined
        Names of the sources that steps join, and which are not merged.

    Raises
    ------
    JobError
        A key or a value is wrong, the array is empty, or no source is left to begin with.
    """
    prefixes: list[JobPrefix] = []
    streams: dict[str, Builder] = {}
    ends: list[tuple[Value, Builder]] = []
    items = value.items()
    others = [item for item in items if _name(item) not in joined]
    if items and not others:
        raise value.error("all sources are joined as streams; one has to be what they are joined with")
    lines = list(_lines(value, name, others[0] if others else None))
    # Those that are joined come first, so that the line that goes on is the last one.
    for item, given, line in sorted(lines, key=lambda line: line[1] not in joined):
        prefixes += line
        if given is not None and given in joined:
            if given in streams:
                raise item.error(f"two sources have the name {given!r}")
            streams[given] = line[-1].builder
        else:
            ends.append((item, line[-1].builder))
    for number, (item, _) in enumerate(ends[1:], 2):
        with located(item):
            merged = ends[0][1].merge(*(end for _, end in ends[1:number]))
        prefixes.append(JobPrefix(item, "merge" if number == len(ends) else "", merged))
    return prefixes, Streams(streams)


def query(value: Value, sources: Value, name: str) -> Iterator[JobPrefix]:
    """Yield the prefixes of each source with its steps, and then that of the query over them.

    Parameters
    ----------
    value
        The query.
    sources
        The table ``[source]``, or the array of several ``[[source]]``: the tables of the query.
    name
        Name of the pipeline.

    Raises
    ------
    JobError
        A key or a value is wrong, a source has no name or that of another, or the query is wrong.
    """
    tables: dict[str, Builder] = {}
    for item, given, line in _lines(sources, None):
        if given is None:
            raise item.error("needs 'name', by which 'sql' reads it")
        if given in tables:
            raise item.error(f"two sources have the name {given!r}")
        yield from line
        tables[given] = line[-1].builder
    with located(value):
        builder = Pipeline.sql(value.text(), **tables)
        yield JobPrefix(value, "sql", Builder(replace(builder.graph, name=name)))


def _lines(
    value: Value, name: str | None, first: Value | None = None
) -> Iterator[tuple[Value, str | None, list[JobPrefix]]]:
    """Yield each source with its name, or None, and its prefixes; `name` is that of the line of the `first`."""
    items = value.items()
    if not items:
        raise value.error("has no source")
    for number, item in enumerate(items, 1):
        given = _name(item)
        label = f"source {given}" if given else f"source {number}" if len(items) > 1 else "source"
        line = name if first is not None and name is not None and item.at == first.at else given
        yield item, given, list(_line(item, Pipeline.builder(line or f"source{number}"), label))


def _name(source: Value) -> str | None:
    return source.maybe("name", Value.text)


def _line(source: Value, builder: Builder, label: str) -> Iterator[JobPrefix]:
    """Yield the prefixes of one source and its own steps."""
    begun = [(place, builder.source(spec)) for place, spec in sources(source)]
    for number, (place, made) in enumerate(begun):
        yield JobPrefix(place, "" if number else label, made)
    _, builder = begun[-1]
    for handler in source.maybe("on_error", handlers) or ():
        place = source.need("on_error")
        with located(place):
            builder = builder.on_error(handler)
        yield JobPrefix(place, "", builder)
    yield from steps(source, builder, f"{label} ", Streams(missing=IN_SOURCE))


def steps(table: Value, builder: Builder, before: str, streams: Streams) -> Iterator[JobPrefix]:
    """Yield a prefix for each value of the steps of a job, or of one of its sources.

    Parameters
    ----------
    table
        The table that may have the key ``steps``.
    builder
        The pipeline up to the steps.
    before
        Text before the label of each step.
    streams
        What steps may join.

    Raises
    ------
    JobError
        A key or a value is wrong.
    """
    for number, value in enumerate(table.maybe("steps", _items) or (), 1):
        label = f"{before}step {number} "
        for count, (place, made) in enumerate(step(value, builder, streams)):
            yield JobPrefix(place, "" if count else f"{label}{place.at[-1]}", made, is_step=not count)
            builder = made


def _items(value: Value) -> list[Value]:
    if not isinstance(value.found, list):
        raise value.error("a step is written under [[steps]], in two pairs of brackets")
    return value.items()
