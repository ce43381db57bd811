"""Pipelines from TOML jobs.

::

    [pipeline]
    name = "late-flights"                          # optional; else the file's name
    [source]
    kind = "file"
    path = "flights.csv"                           # or a glob, a folder, an array of files
    [[steps]]
    filter = "dep_delay > 60"                      # SQL, as polars.sql_expr reads it
    [[steps]]
    with_columns = { mph = "distance / (air_time / 60.0)" }
    backend = "arrow"                              # pins this step
    on_error = [{ retry = 3, delay = "100ms" }, "log", "skip"]
    [[steps]]
    window = { size = "1h", on = "time", by = "carrier", agg = { n = "count(*)", mph = "avg(mph)" } }
    [sink]
    kind = "file"
    path = "late.parquet"

Steps have the names and arguments of the builder's methods; the first argument may stand alone,
as in ``batch = 2048``. A step may also have ``backend``, ``timeout = "5s"``, ``on_error`` and
``named = "totals"``. A source may have ``event_time = "ts"`` with ``lateness``, ``idle``, ``advance_when_idle`` and
``max_jump``, a sink ``on_error``. Each of several ``[[sink]]`` gets every batch; a sink with ``best_effort = 64`` may
miss some. Functions, splits and merges need Python.

Relative paths start at the current directory, as in a shell. The installed Polars interprets SQL:
Polars 2 reads ``60.0`` as an exact decimal, older versions as a float; ``60::DOUBLE`` is a float in all.
``sum(x)`` over nulls only is null in Polars 2, and 0 in older versions; ``coalesce(sum(x), 0)`` is 0 in all.

Every mistake is a `JobError` of one line with file and line, whether it is found in the text, in a value,
or by the checks of `build()`::

    flights.toml:8: unknown key 'fitler' in [[steps]] (did you mean 'filter'?)
    flights.toml:4: 'kind' in [source]: unknown name 'flie' (did you mean 'file'?)
    flights.toml:5: 'path' in [source]: there is no file flihts.csv; hint: did you mean 'flights.csv'?
    flights.toml:8: 'filter' in [[steps]]: 'dep_delay >' is no SQL expression: unable to parse ...
    flights.toml:8: 'filter' in [[steps]]: filter() names a column that is not there; expected: ...
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from arrowstream.config.settings import Settings
from arrowstream.config.toml_file import JobFile, Value
from arrowstream.connectors.sink import Sink
from arrowstream.core.checks import PathLike
from arrowstream.errors import ArrowstreamError
from arrowstream.io.sink import BoundSink
from arrowstream.jobs.job_errors import located
from arrowstream.jobs.source_and_sinks import sinks, sources, together
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
    """

    value: Value
    label: str
    builder: Builder


@dataclass(frozen=True, slots=True)
class Job:
    """A job whose values are all well-formed. `pipeline` checks that they fit the data.

    Parameters
    ----------
    name
        The pipeline's name.
    prefixes
        The job up to the source, and up to each value of its steps, in order.
    sinks
        The sinks, each with its value in the file.
    complete
        The whole pipeline, unchecked.
    """

    name: str
    prefixes: tuple[JobPrefix, ...]
    sinks: tuple[tuple[Value, BoundSink], ...]
    complete: Builder

    @classmethod
    def load(cls, path: PathLike) -> Job:
        """Read a job file.

        Raises
        ------
        JobError
            The file, its TOML, a key or a value is wrong.
        """
        job = JobFile.read(path).root
        job.check_keys(("pipeline", "source", "steps", "sink"), required=("source", "sink"))
        name = job.maybe("pipeline", _name) or Path(path).stem
        builder = Pipeline.builder(name)
        prefixes: list[JobPrefix] = []
        for place, source in sources(job.need("source")):
            prefixes.append(JobPrefix(place, "" if prefixes else "source", builder.source(source)))
        for number, value in enumerate(job.maybe("steps", _steps) or (), 1):
            label = f"step {number} "
            for place, made in step(value, prefixes[-1].builder):
                prefixes.append(JobPrefix(place, label and f"{label}{place.at[-1]}", made))
                label = ""
        found = sinks(job.need("sink"))
        with located(job.need("sink")):
            complete = prefixes[-1].builder.sink(together(found))
        return cls(name, tuple(prefixes), tuple(found), complete)

    def pipeline(self, settings: Settings | None = None) -> Pipeline:
        """Build the pipeline under these settings, with the checks of `Builder.build`.

        Raises
        ------
        JobError
            A file is missing, or a column, type or expression does not fit.
        """
        try:
            return self.complete.build(settings=settings)
        except ArrowstreamError:
            for prefix in self.prefixes:
                with located(prefix.value):
                    prefix.builder.sink(Sink.to_fn(_ignore)).build(settings=settings)
        # Every prefix builds: a sink does not fit.
        for value, sink in self.sinks:
            with located(value):
                self.prefixes[-1].builder.sink(sink).build(settings=settings)
        with located(self.sinks[-1][0]):
            return self.complete.build(settings=settings)

    def schemas(self) -> Iterator[tuple[str, pl.Schema | None]]:
        """Yield the schemas after the source and after each step, each with a label that names file and line.

        Raises
        ------
        JobError
            As for `pipeline`.
        """
        for prefix in self.prefixes:
            with located(prefix.value):
                schema = prefix.builder.schema()
            if prefix.label:
                yield f"{prefix.label} ({prefix.value.file.path}:{prefix.value.line})", schema


def _name(settings: Value) -> str | None:
    settings.check_keys(("name",))
    return settings.maybe("name", Value.text)


def _steps(value: Value) -> list[Value]:
    if not isinstance(value.found, list):
        raise value.error("a step is written under [[steps]], in two pairs of brackets")
    return value.items()


def _ignore(batch: object) -> None:
    """Do nothing with a batch, as the sink of a job that is only checked."""
