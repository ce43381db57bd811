"""Pipelines from TOML jobs.

::

    [pipeline]
    name = "late-flights"                          # optional; else the file's name
    [source]
    kind = "file"
    path = "${DATA:-data}/flights.csv"             # or a glob, a folder, an array of files
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
    path = "late/"
    [checkpoint]                                   # optional: each run goes on where the one before it ended
    path = "state/"
    every = "10s"

Steps have the names and arguments of the builder's methods; the first argument may stand alone,
as in ``batch = 2048``. A step may also have ``backend``, ``timeout = "5s"``, ``on_error`` and
``named = "totals"``. A source may have ``event_time = "ts"`` with ``lateness``, ``idle``, ``advance_when_idle`` and
``max_jump``; a source of messages and a sink may have ``on_error``. Several ``[[source]]``, each with a ``name`` and
steps of its own under ``[[source.steps]]``, are merged before ``[[steps]]``, but for those that a step joins by their
names. Each of several ``[[sink]]`` gets every batch; a sink with ``best_effort = 64`` may miss some. With ``sql``
before all tables, the sources are the tables of a query by their names, and ``[[steps]]`` work on its rows. Functions
and splits need Python. ``docs/jobs.md`` describes job files from top to bottom.

Relative paths start at the folder of the job file. ``${NAME}`` and ``${NAME:-default}`` in a string are variables;
``$${`` is the text ``${``. The installed Polars interprets SQL: Polars 2 reads ``60.0`` as an exact decimal, older
versions as a float; ``60::DOUBLE`` is a float in all. ``sum(x)`` over nulls only is null in Polars 2, and 0 in older
versions; ``coalesce(sum(x), 0)`` is 0 in all.

Every mistake is a `JobError` of one line with file and line, whether it is found in the text, in a value,
or by the checks of `build()`::

    flights.toml:8: unknown key 'fitler' in [[steps]] (did you mean 'filter'?)
    flights.toml:4: 'kind' in [source]: unknown name 'flie' (did you mean 'file'?)
    flights.toml:5: 'path' in [source]: the variable DATA is not set; a default is written ${DATA:-default}
    flights.toml:5: 'path' in [source]: there is no file flihts.csv; hint: did you mean 'flights.csv'?
    flights.toml:8: 'filter' in [[steps]]: 'dep_delay >' is not an SQL expression: unable to parse ...
    flights.toml:8: 'filter' in [[steps]]: filter() names a column that is not there; expected: ...
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from arrowstream.config.masking import hidden
from arrowstream.config.settings import FILE, PREFIX, SECTION, Given, Settings
from arrowstream.config.toml_file import JobFile, Value
from arrowstream.connectors.sink import Sink
from arrowstream.core.checks import PathLike
from arrowstream.core.duration import Duration
from arrowstream.errors import ArrowstreamError
from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.io.sink import BoundSink
from arrowstream.jobs.assignments import Assignment, assign
from arrowstream.jobs.inputs import JobPrefix, inputs, query, steps
from arrowstream.jobs.job_errors import located, without_secrets
from arrowstream.jobs.paths import path
from arrowstream.jobs.source_and_sinks import sinks, together
from arrowstream.jobs.streams import IN_SQL, Streams, joined
from arrowstream.jobs.values import duration
from arrowstream.jobs.variables import with_variables
from arrowstream.pipeline import Builder, Pipeline
from arrowstream.plan.side_outputs import without_side_outputs
from arrowstream.runtime.checkpoints.options import CheckpointOptions
from arrowstream.runtime.report import RunReport
from arrowstream.runtime.signals import SignalHandling


@dataclass(frozen=True, slots=True)
class Job:
    """A job whose values are all well-formed. `pipeline` checks that they fit the data.

    Parameters
    ----------
    file
        The file.
    name
        The pipeline's name.
    prefixes
        The job up to each source, and up to each value of its steps, in order.
    sinks
        The sinks, each with its value in the file.
    complete
        The whole pipeline, unchecked.
    checkpoint
        The checkpoints of its runs; None without them.
    """

    file: JobFile
    name: str
    prefixes: tuple[JobPrefix, ...]
    sinks: tuple[tuple[Value, BoundSink], ...]
    complete: Builder
    checkpoint: CheckpointOptions | None = None

    @classmethod
    def load(
        cls,
        path: PathLike,
        *,
        assignments: Iterable[Assignment] = (),
        variables: Mapping[str, str] = os.environ,
        relative_to: PathLike | None = None,
    ) -> Job:
        """Read a job file.

        Parameters
        ----------
        path
            The file.
        assignments
            Values that replace or complete those of the file, as if they were written there.
        variables
            Values of the variables in its strings.
        relative_to
            The folder at which relative paths in the job start; by default that of the file.

        Raises
        ------
        JobError
            The file, its TOML, a key or a value is wrong.
        """
        file = JobFile.read(path)
        if relative_to is not None:
            file.folder = Path(relative_to)
        assign(file.root, assignments)
        job = with_variables(file.root, variables)
        _refuse_settings(job)
        job.check_keys(
            ("sql", "pipeline", "source", "steps", "sink", "checkpoint"), required=("source", "sink")
        )
        name = job.maybe("pipeline", _name) or Path(path).stem
        sources = job.need("source")
        asked = job.table().get("sql")
        if asked is None:
            names = set(joined(job.table().get("steps")))
            prefixes, streams = inputs(sources, name, names)
        else:
            prefixes, streams = list(query(asked, sources, name)), Streams(missing=IN_SQL)
        prefixes += steps(job, prefixes[-1].builder, "", streams)
        found = sinks(job.need("sink"))
        with located(job.need("sink")):
            complete = prefixes[-1].builder.sink(together(found))
        checkpoint = job.maybe("checkpoint", _checkpoint)
        return cls(file, name, tuple(prefixes), tuple(found), complete, checkpoint)

    def hide(self, text: str) -> str:
        """Return a text without the secrets of the job, for output."""
        return hidden(text, self.file.secrets)

    @property
    def summary(self) -> str:
        """What the job consists of, on one line: ``late: 1 source, 2 steps, 1 sink``."""
        counts = {
            "source": len(self.complete.graph.sources),
            "step": sum(prefix.is_step for prefix in self.prefixes),
            "sink": len(self.sinks),
        }
        return f"{self.name}: " + ", ".join(f"{n} {word}{'s' * (n != 1)}" for word, n in counts.items())

    def pipeline(self, settings: Settings | None = None) -> Pipeline:
        """Build the pipeline under these settings, with the checks of `Builder.build`.

        Raises
        ------
        JobError
            A file is missing, or a column, type or expression does not fit.
        """
        try:
            pipeline = self.complete.build(settings=settings)
            pipeline.checkpoint = self.checkpoint
            if self.file.secrets:
                pipeline.hide = self.hide
            return pipeline
        except ArrowstreamError as error:
            without_secrets(error, self.file.secrets)
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

    def preview(
        self,
        rows: int,
        settings: Settings | None = None,
        *,
        duration: Duration | None = None,
        signals: bool | SignalHandling = False,
    ) -> tuple[pl.DataFrame, RunReport]:
        """Run without the sinks, also those of late rows and dead letters; return the first rows and the report.

        Parameters
        ----------
        rows
            Maximum number of rows.
        settings
            Settings of the pipeline.
        duration, signals
            As for `Pipeline.run`.

        Raises
        ------
        JobError
            As for `pipeline`.
        StageError
            A stage failed.
        """
        self.pipeline(settings)
        sink = CollectSink()
        graph = without_side_outputs(self.prefixes[-1].builder.graph, Sink.to_fn(_ignore))
        pipeline = Builder(graph).sink(sink).build(settings=settings)
        report = pipeline.run_sync(limit=rows, duration=duration, signals=signals)
        return sink.frame(), report


def _refuse_settings(job: Value) -> None:
    """Raise if a job has settings: they are of a machine, and stand in a file of their own."""
    for key, value in job.table().items():
        if key in ("settings", SECTION) or key in Given.__annotations__:
            raise value.file.error(
                value.at,
                f"unknown key {key!r} in the job (settings are given in section [{SECTION}] of ./{FILE}, or by "
                f"variables such as {PREFIX}{key.upper() if key in Given.__annotations__ else 'MAX_RETRIES'})",
            )


def from_toml(
    path: PathLike,
    *,
    variables: Mapping[str, str] | None = None,
    set: Mapping[str, Any] | None = None,
    relative_to: PathLike | None = None,
    settings: Settings | None = None,
) -> Pipeline:
    """Build the pipeline of a job file; `Pipeline.from_toml` describes the arguments."""
    values = ChainMap(dict(variables or {}), os.environ)
    job = Job.load(path, assignments=Assignment.of(set or {}), variables=values, relative_to=relative_to)
    return job.pipeline(settings)


def _name(settings: Value) -> str | None:
    settings.check_keys(("name",))
    return settings.maybe("name", Value.text)


def _checkpoint(settings: Value) -> CheckpointOptions | None:
    settings.check_keys(("path", "every"), required=("path",))
    with located(settings):
        return CheckpointOptions.of(path(settings.need("path")), settings.maybe("every", duration))


def _ignore(batch: object) -> None:
    """Do nothing with a batch, as the sink of a job that is only checked."""
