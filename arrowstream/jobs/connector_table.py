"""The table of all kinds of sources and sinks, from which jobs, documentation and their tests are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Literal, get_args

from arrowstream.connectors.sink import Sink
from arrowstream.connectors.source import Source
from arrowstream.io.files.destination.write_mode import MODES
from arrowstream.io.files.evolution import Extra, Missing
from arrowstream.io.files.formats import Format, WrittenFormat
from arrowstream.io.files.text.options.csv_layout import QUOTE_STYLES
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec

Option = (
    Literal["text", "texts", "path", "paths", "flag", "count", "count from 0", "types"]
    | Literal["text or count", "options", "bad_rows", "nulls"]
    | tuple[str, ...]
)
"""Type of an argument in a job: a tuple means one of these texts, ``"types"`` a table of columns and types,
``"options"`` one of names and values, ``"bad_rows"`` a text or a sink, ``"nulls"`` texts or a table of them."""


@dataclass(frozen=True, slots=True)
class Connector:
    """A kind of source or sink, as jobs and the documentation use it.

    Parameters
    ----------
    call
        Function that makes the spec. Its docstring is the page; arguments without a default are required in a job.
    options
        The arguments that a job can give, by name; the first is the one that errors refer to. None for a
        connector of Python objects, which a job cannot use.
    """

    call: Callable[..., SourceSpec | SinkSpec]
    options: Mapping[str, Option] | None = None

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the arguments without a default."""
        parameters = signature(self.call).parameters.values()
        return tuple(parameter.name for parameter in parameters if parameter.default is Parameter.empty)


SOURCES: dict[str, Connector] = {
    "file": Connector(
        Source.from_file,
        {
            "path": "paths",
            "format": get_args(Format),
            "delimiter": "text",
            "schema": "types",
            "strict_keys": "flag",
            "missing_columns": get_args(Missing),
            "extra_columns": get_args(Extra),
            "widen": "flag",
            "include_file_paths": "text",
            "skip_empty": "flag",
            "bad_rows": "bad_rows",
            "has_header": "flag",
            "quote_char": "text",
            "null_values": "nulls",
            "comment_prefix": "text",
            "skip_lines": "count from 0",
            "decimal_comma": "flag",
            "encoding": "text",
            "batch_rows": "count",
            "sheet": "text or count",
            "storage_options": "options",
        },
    ),
    "frame": Connector(Source.from_frame),
    "channel": Connector(Source.from_channel),
    "fn": Connector(Source.from_fn),
}
"""The kinds of sources, by name."""

SINKS: dict[str, Connector] = {
    "file": Connector(
        Sink.to_file,
        {
            "path": "path",
            "format": get_args(WrittenFormat),
            "partition_by": "texts",
            "compression": "text",
            "overwrite": "flag",
            "mode": MODES,
            "max_rows_per_file": "count",
            "max_bytes_per_file": "count",
            "roll_every": "text",
            "sort_by": "texts",
            "row_group_size": "count",
            "statistics": "flag",
            "compression_level": "count",
            "delimiter": "text",
            "has_header": "flag",
            "quote_char": "text",
            "quote_style": QUOTE_STYLES,
            "null_values": "text",
            "decimal_comma": "flag",
            "float_precision": "count from 0",
            "date_format": "text",
            "datetime_format": "text",
            "time_format": "text",
            "storage_options": "options",
        },
    ),
    "channel": Connector(Sink.to_channel),
    "fn": Connector(Sink.to_fn),
}
"""The kinds of sinks, by name."""
