"""The message formats by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import polars as pl

from arrowstream.core.messages import Decoder, Encoder
from arrowstream.core.mistakes.explain import nearest_value
from arrowstream.errors import PlanError
from arrowstream.io.messages.arrow import ArrowDecoder, ArrowEncoder
from arrowstream.io.messages.arrow_limits import ArrowOptions
from arrowstream.io.messages.avro.decoder import AvroDecoder
from arrowstream.io.messages.avro.encoder import AvroEncoder
from arrowstream.io.messages.avro.options import AvroOptions
from arrowstream.io.messages.csv import CsvDecoder, CsvEncoder, CsvOptions
from arrowstream.io.messages.json import JsonDecoder
from arrowstream.io.messages.json_encoder import JsonEncoder
from arrowstream.io.messages.protobuf.decoder import ProtobufDecoder
from arrowstream.io.messages.protobuf.encoder import ProtobufEncoder
from arrowstream.io.messages.protobuf.options import ProtobufOptions
from arrowstream.io.messages.raw import RawDecoder, RawEncoder

MessageFormat = Literal["json", "raw", "csv", "arrow", "avro", "protobuf"]


@dataclass(frozen=True, slots=True)
class _Format:
    """Constructors of a format. Both get its options, or None for the defaults."""

    decoder: Callable[[pl.Schema | None, Any], Decoder]
    encoder: Callable[[Any], Encoder]
    options: type | None = None
    """Type of its options; None if it has none."""


_FORMATS: Final[dict[MessageFormat, _Format]] = {
    "avro": _Format(AvroDecoder, AvroEncoder, AvroOptions),
    "protobuf": _Format(ProtobufDecoder, ProtobufEncoder, ProtobufOptions),
    "json": _Format(lambda schema, _: JsonDecoder(schema), lambda _: JsonEncoder()),
    "raw": _Format(lambda schema, _: RawDecoder(schema), lambda _: RawEncoder()),
    "arrow": _Format(ArrowDecoder, lambda _: ArrowEncoder(), ArrowOptions),
    "csv": _Format(CsvDecoder, CsvEncoder, CsvOptions),
}


def decoder(format: MessageFormat, schema: pl.Schema | None = None, options: object = None) -> Decoder:
    """Make the decoder of a format.

    Parameters
    ----------
    format
        Name of the format.
    schema
        Names and types of the columns; None if the format or the first messages show them.
    options
        Options of the format; None for its defaults.

    Raises
    ------
    PlanError, SchemaError
        There is no such format, it has no such options, or its messages cannot have these columns.
    """
    return _format(format, options).decoder(schema, options)


def encoder(format: MessageFormat, options: object = None) -> Encoder:
    """Make the encoder of a format.

    Parameters
    ----------
    format
        Name of the format.
    options
        Options of the format; None for its defaults.

    Raises
    ------
    PlanError
        There is no such format, or it has no such options.
    """
    return _format(format, options).encoder(options)


def _format(name: str, options: object) -> _Format:
    found = {str(known): format for known, format in _FORMATS.items()}.get(name)
    if found is None:
        raise PlanError(
            f"there is no message format {name!r}",
            expected=", ".join(map(repr, _FORMATS)),
            found=repr(name),
            hint=nearest_value(str(name), _FORMATS),
        )
    if options is not None and (found.options is None or not isinstance(options, found.options)):
        raise PlanError(
            f"messages of format {name!r} do not have these options",
            expected="none" if found.options is None else found.options.__name__,
            found=type(options).__name__,
            hint=None if found.options is None else _call(found.options, options),
        )
    return found


def _call(kind: type, options: object) -> str:
    """Return how options of a kind are made, with the arguments that a dict gives but not their values."""
    names = [str(name) for name in options] if isinstance(options, Mapping) else []
    arguments = ", ".join(f"{name}=..." for name in names) or "..."
    return f"write {kind.__name__}({arguments}), from arrowstream.connectors.messages"
