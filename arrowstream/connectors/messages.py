"""Options of message formats, for sources and sinks of messages."""

from arrowstream.io.messages.arrow_limits import ArrowOptions
from arrowstream.io.messages.avro.options import AvroOptions
from arrowstream.io.messages.csv import CsvOptions
from arrowstream.io.messages.protobuf.options import ProtobufOptions
from arrowstream.io.messages.registry.options import SchemaRegistry

__all__ = ["ArrowOptions", "AvroOptions", "CsvOptions", "ProtobufOptions", "SchemaRegistry"]
