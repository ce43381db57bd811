"""The table of all kinds of sources and sinks, from which jobs, documentation and their tests are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Literal, get_args

from arrowstream.connectors.sink import Sink
from arrowstream.connectors.source import Source
from arrowstream.io.database.sink import MODES as MODES_OF_TABLES
from arrowstream.io.files.destination.write_mode import MODES
from arrowstream.io.files.evolution import Extra, Missing
from arrowstream.io.files.formats import Format, WrittenFormat
from arrowstream.io.files.text.options.csv_layout import QUOTE_STYLES
from arrowstream.io.kafka.producing import COMPRESSIONS
from arrowstream.io.kafka.security import MECHANISMS, KafkaSecurity
from arrowstream.io.kafka.subscription import ISOLATIONS
from arrowstream.io.lake.modes import MODES as MODES_OF_LAKES
from arrowstream.io.messages.arrow_limits import ArrowOptions
from arrowstream.io.messages.avro.options import AvroOptions
from arrowstream.io.messages.csv import CsvOptions
from arrowstream.io.messages.formats import MessageFormat
from arrowstream.io.messages.protobuf.fields import Enums
from arrowstream.io.messages.protobuf.options import ProtobufOptions
from arrowstream.io.messages.registry.options import SchemaRegistry
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec
from arrowstream.io.tcp.formats import TcpFormat
from arrowstream.io.tcp.options import TcpLimits, Tls


@dataclass(frozen=True, slots=True)
class Fields:
    """A table that becomes an object.

    Parameters
    ----------
    make
        Class of the object.
    options
        Type of each field that the table may have.
    """

    make: Callable[..., object]
    options: Mapping[str, Option]

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the fields without a default."""
        return _required(self.make)


@dataclass(frozen=True, slots=True)
class ByFormat:
    """A table that becomes the options of a message format.

    Parameters
    ----------
    formats
        The table of each format that has options.
    default
        The format of a source or sink without the key ``format``.
    """

    formats: Mapping[str, Fields]
    default: str


Option = (
    Literal["text", "texts", "path", "paths", "flag", "count", "count from 0", "types"]
    | Literal["text or count", "options", "bad_rows", "nulls", "duration", "counts", "start"]
    | Literal["text or path", "uri", "path or options"]
    | tuple[str, ...]
    | Fields
    | ByFormat
)
"""Type of an argument in a job: a tuple means one of these texts, `Fields` a table of an object's fields, `ByFormat`
one that depends on the key ``format``, ``"text or path"`` JSON text or the path of a file with it, ``"uri"`` the URI
of a database, ``"types"`` a table of columns and types, ``"options"`` one of names and values, ``"path or options"``
either of the two, ``"bad_rows"`` a text or a sink, ``"nulls"`` texts or a table of them, ``"start"`` a text, a time
or a table of partitions and offsets."""


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
        return _required(self.call)


def _required(call: Callable[..., object]) -> tuple[str, ...]:
    parameters = signature(call).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.default is Parameter.empty)


_TLS = Fields(Tls, {"certificate": "path", "key": "path", "ca": "path", "server_name": "text"})
_TCP_LIMITS = Fields(
    TcpLimits,
    {
        "max_message_bytes": "count",
        "max_clients": "count",
        "max_buffer_bytes": "count",
        "max_bytes_per_second": "count",
        "handshake_timeout": "duration",
        "message_timeout": "duration",
        "idle_timeout": "duration",
    },
)

_SECURITY = Fields(
    KafkaSecurity,
    {
        "tls": "flag",
        "ca_file": "path",
        "cert_file": "path",
        "key_file": "path",
        "key_password": "text",
        "check_hostname": "flag",
        "mechanism": MECHANISMS,
        "username": "text",
        "password": "text",
        "token": "text",
    },
)
_REGISTRY = Fields(
    SchemaRegistry,
    {
        "url": "text",
        "user": "text",
        "password": "text",
        "token": "text",
        "ca_file": "path",
        "timeout": "duration",
        "tries": "count",
    },
)
_FORMAT_OPTIONS = ByFormat(
    {
        "csv": Fields(CsvOptions, {"delimiter": "text", "quote_char": "text", "null_values": "nulls"}),
        "arrow": Fields(ArrowOptions, {"max_rows": "count", "max_bytes": "count"}),
        "avro": Fields(AvroOptions, {"schema": "text or path", "registry": _REGISTRY, "subject": "text"}),
        "protobuf": Fields(
            ProtobufOptions,
            {
                "message": "text",
                "descriptors": "path",
                "enums": get_args(Enums),
                "registry": _REGISTRY,
                "subject": "text",
            },
        ),
    },
    default="json",
)

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
            "watch": "duration",
        },
    ),
    "tcp": Connector(
        Source.from_tcp,
        {
            "address": "text",
            "format": get_args(TcpFormat),
            "schema": "types",
            "delimiter": "text",
            "clients": "count",
            "limits": _TCP_LIMITS,
            "token": "text",
            "tls": _TLS,
        },
    ),
    "kafka": Connector(
        Source.from_kafka,
        {
            "servers": "texts",
            "topic": "texts",
            "group": "text",
            "format": get_args(MessageFormat),
            "schema": "types",
            "format_options": _FORMAT_OPTIONS,
            "metadata": "nulls",
            "start": "start",
            "stop_at_end": "flag",
            "partitions": "counts",
            "isolation": ISOLATIONS,
            "security": _SECURITY,
            "client_id": "text",
            "session_timeout": "duration",
            "discover_every": "duration",
            "stuck_after": "duration",
        },
    ),
    "delta": Connector(
        Source.from_delta,
        {"path": "path", "version": "count from 0", "follow": "duration", "storage_options": "options"},
    ),
    "iceberg": Connector(
        Source.from_iceberg,
        {"table": "text", "catalog": "path or options", "snapshot": "count", "follow": "duration"},
    ),
    "database": Connector(
        Source.from_database,
        {
            "uri": "uri",
            "query": "text",
            "schema": "types",
            "partition_on": "text",
            "partitions": "count",
            "increasing": "text",
            "poll": "duration",
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
    "tcp": Connector(
        Sink.to_tcp,
        {
            "address": "text",
            "format": get_args(TcpFormat),
            "delimiter": "text",
            "token": "text",
            "tls": _TLS,
            "reconnect_for": "duration",
            "connect_timeout": "duration",
            "close_timeout": "duration",
            "max_message_bytes": "count",
        },
    ),
    "kafka": Connector(
        Sink.to_kafka,
        {
            "servers": "texts",
            "topic": "text",
            "topic_column": "text",
            "key": "text",
            "partition": "text",
            "timestamp": "text",
            "headers": "text",
            "tombstone": "text",
            "value": "texts",
            "format": get_args(MessageFormat),
            "format_options": _FORMAT_OPTIONS,
            "compression": COMPRESSIONS,
            "compression_level": "count",
            "max_message_bytes": "count",
            "idempotent": "flag",
            "delivery_timeout": "duration",
            "security": _SECURITY,
            "client_id": "text",
        },
    ),
    "delta": Connector(
        Sink.to_delta,
        {"path": "path", "mode": MODES_OF_LAKES, "partition_by": "texts", "storage_options": "options"},
    ),
    "iceberg": Connector(
        Sink.to_iceberg,
        {"table": "text", "catalog": "path or options", "mode": MODES_OF_LAKES, "partition_by": "texts"},
    ),
    "database": Connector(
        Sink.to_database,
        {
            "uri": "uri",
            "table": "text",
            "mode": MODES_OF_TABLES,
            "key": "texts",
            "db_schema": "text",
            "batch_size": "count",
        },
    ),
    "channel": Connector(Sink.to_channel),
    "fn": Connector(Sink.to_fn),
}
"""The kinds of sinks, by name."""
