"""The vocabulary of jobs: kinds of sources and sinks, and the operators of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args

from arrowstream.connect import Sink, Source
from arrowstream.errors import ArrowstreamError, JobError
from arrowstream.io.base import SinkSpec, SourceSpec
from arrowstream.io.formats import Format
from arrowstream.job_file import Value
from arrowstream.job_values import columns, expressions, types
from arrowstream.pipeline import BACKENDS, Builder


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source or sink.

    Parameters
    ----------
    keys, required
        Its keys in the job beside ``kind``, and those that must be there.
    make
        The connector for a table that has been checked for these keys.
    """

    keys: tuple[str, ...]
    required: tuple[str, ...]
    make: Callable[[Value], Any]


def _file_source(table: Value) -> SourceSpec:
    path = table.need("path")
    source = Source.from_file(
        path.texts() if isinstance(path.found, list) else path.text(),
        format=table.maybe("format", _format),
        schema=table.maybe("schema", types),
    )
    delimiter = table.maybe("delimiter", Value.text)
    return source if delimiter is None else source.with_delimiter(delimiter)


def _file_sink(table: Value) -> SinkSpec:
    return Sink.to_file(
        table.need("path").text(),
        format=table.maybe("format", _format),
        partition_by=table.maybe("partition_by", Value.texts) or (),
        compression=table.maybe("compression", Value.text),
        overwrite=table.maybe("overwrite", Value.flag) or False,
    )


def _format(value: Value) -> str:
    return value.one_of(get_args(Format))


SOURCES = {"file": Kind(("path", "format", "delimiter", "schema"), ("path",), _file_source)}
"""The kinds of sources a job can name."""

SINKS = {"file": Kind(("path", "format", "partition_by", "compression", "overwrite"), ("path",), _file_sink)}
"""The kinds of sinks a job can name."""


def connector(value: Value, kinds: dict[str, Kind]) -> Any:
    """The source or sink that a table describes, of the kind it names.

    Raises
    ------
    JobError
        A key or a value is wrong.
    """
    kind = kinds[value.need("kind").one_of(kinds)]
    value.check_keys(("kind", *kind.keys), required=kind.required)
    with placed(value):
        return kind.make(value)


def _rename(builder: Builder, value: Value) -> Builder:
    return builder.rename({old: new.text() for old, new in value.table().items()})


def _batch(builder: Builder, value: Value) -> Builder:
    value.check_keys(("rows",))
    return builder.batch(rows=value.need("rows").count())


STEPS: dict[str, Callable[[Builder, Value], Builder]] = {
    "filter": lambda builder, value: builder.filter(*expressions(value)),
    "with_columns": lambda builder, value: builder.with_columns(*columns(value)),
    "select": lambda builder, value: builder.select(*columns(value)),
    "drop": lambda builder, value: builder.drop(*value.texts()),
    "rename": _rename,
    "cast": lambda builder, value: builder.cast(types(value)),
    "explode": lambda builder, value: builder.explode(*value.texts()),
    "unnest": lambda builder, value: builder.unnest(*value.texts()),
    "batch": _batch,
}
"""The operators a step can name, each with how its value becomes a call of the builder."""


def step(value: Value, builder: Builder) -> tuple[Value, Builder]:
    """The value of the step's one operator, and the builder with that operator added.

    Raises
    ------
    JobError
        There is not exactly one operator, or a key or a value is wrong.
    """
    value.check_keys((*STEPS, "backend"))
    operators = [key for key in value.table() if key != "backend"]
    if len(operators) != 1:
        found = " and ".join(map(repr, operators)) or "none"
        known = ", ".join(map(repr, STEPS))
        raise value.file.error(value.at, f"a step has exactly one operator, found {found} (one of {known})")
    operator = value.need(operators[0])
    pin = value.maybe("backend", lambda name: name.one_of(["auto", *(backend.name for backend in BACKENDS)]))
    with placed(operator):
        builder = STEPS[operators[0]](builder, operator)
        return operator, builder if pin is None else builder.backend(pin)


@contextmanager
def placed(value: Value) -> Iterator[None]:
    """Turn an error of the engine into one that names the place of `value`, all on one line.

    The stage's name is left out: file and line say more.
    """
    try:
        yield
    except JobError:
        raise
    except ArrowstreamError as error:
        raise value.error(one_line(error)) from error


def one_line(error: ArrowstreamError) -> str:
    """What an error teaches, on one line.

    Examples
    --------
    >>> one_line(ArrowstreamError("no column 'y'", stage="2 filter", found="x", hint="did you mean 'x'?"))
    "no column 'y'; found: x; hint: did you mean 'x'?"
    """
    details = [("expected", error.expected), ("found", error.found), ("hint", error.hint)]
    text = "; ".join([error.what, *(f"{label}: {detail}" for label, detail in details if detail)])
    return " ".join(text.split())
