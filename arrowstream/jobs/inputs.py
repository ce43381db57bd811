"""The inputs of a job: each source with its steps, and several of them merged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from arrowstream.config.toml_file import Value
from arrowstream.jobs.handlers import handlers
from arrowstream.jobs.job_errors import located
from arrowstream.jobs.source_and_sinks import sources
from arrowstream.jobs.steps import step
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


def inputs(value: Value, name: str) -> Iterator[JobPrefix]:
    """Yield the prefixes of each source with its steps, and then those of the merge of several.

    Parameters
    ----------
    value
        The table ``[source]``, or the array of several ``[[source]]``.
    name
        Name of the pipeline, which is that of the line that begins with the first source.

    Raises
    ------
    JobError
        A key or a value is wrong, or the array is empty.
    """
    lines = list(_lines(value, name))
    for _, line in lines:
        yield from line
    ends = [line[-1].builder for _, line in lines]
    for number, item in enumerate(value.items()[1:], 2):
        with located(item):
            merged = ends[0].merge(*ends[1:number])
        yield JobPrefix(item, "merge" if number == len(ends) else "", merged)


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
    for given, line in _lines(sources, None):
        place = line[0].value
        if given is None:
            raise place.error("needs 'name', by which 'sql' reads it")
        if given in tables:
            raise place.error(f"two sources have the name {given!r}")
        yield from line
        tables[given] = line[-1].builder
    with located(value):
        builder = Pipeline.sql(value.text(), **tables)
        yield JobPrefix(value, "sql", Builder(replace(builder.graph, name=name)))


def _lines(value: Value, name: str | None) -> Iterator[tuple[str | None, list[JobPrefix]]]:
    """Yield the name of each source, or None, with its prefixes; `name` is that of the first line."""
    items = value.items()
    if not items:
        raise value.error("has no source")
    for number, item in enumerate(items, 1):
        given = _name(item)
        label = f"source {given}" if given else f"source {number}" if len(items) > 1 else "source"
        line = name if number == 1 and name is not None else given or f"source{number}"
        yield given, list(_line(item, Pipeline.builder(line), label))


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
    yield from steps(source, builder, f"{label} ")


def steps(table: Value, builder: Builder, before: str) -> Iterator[JobPrefix]:
    """Yield a prefix for each value of the steps of a job, or of one of its sources.

    Parameters
    ----------
    table
        The table that may have the key ``steps``.
    builder
        The pipeline up to the steps.
    before
        Text before the label of each step.

    Raises
    ------
    JobError
        A key or a value is wrong.
    """
    for number, value in enumerate(table.maybe("steps", _items) or (), 1):
        label = f"{before}step {number} "
        for count, (place, made) in enumerate(step(value, builder)):
            yield JobPrefix(place, "" if count else f"{label}{place.at[-1]}", made, is_step=not count)
            builder = made


def _items(value: Value) -> list[Value]:
    if not isinstance(value.found, list):
        raise value.error("a step is written under [[steps]], in two pairs of brackets")
    return value.items()
