"""The kinds of sources and sinks that a job can name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from arrowstream.config.toml_file import Value
from arrowstream.connectors import Sink, Source
from arrowstream.io.files.formats import Format
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec
from arrowstream.jobs.job_errors import placed
from arrowstream.jobs.values import types


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
    if delimiter is not None:
        source = source.with_delimiter(delimiter)
    return source.with_strict_keys() if table.maybe("strict_keys", Value.flag) else source


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


SOURCES = {"file": Kind(("path", "format", "delimiter", "schema", "strict_keys"), ("path",), _file_source)}
"""The kinds of sources a job can name."""

SINKS = {"file": Kind(("path", "format", "partition_by", "compression", "overwrite"), ("path",), _file_sink)}
"""The kinds of sinks a job can name."""


def connector(value: Value, kinds: dict[str, Kind], also: tuple[str, ...] = ()) -> Any:
    """The source or sink that a table describes, of the kind it names; keys in `also` are somebody else's.

    Raises
    ------
    JobError
        A key or a value is wrong.
    """
    kind = kinds[value.need("kind").one_of(kinds)]
    value.check_keys(("kind", *kind.keys, *also), required=kind.required)
    with placed(value):
        return kind.make(value)
