"""Options of Protocol Buffers messages, and descriptors as users give them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arrowstream.errors import PlanError, SchemaError
from arrowstream.io.messages.protobuf.descriptors import COMMAND, message_of
from arrowstream.io.messages.protobuf.fields import Enums
from arrowstream.io.messages.registry.options import SchemaRegistry


@dataclass(frozen=True, slots=True)
class ProtobufOptions:
    """How Protocol Buffers messages are read and written.

    Parameters
    ----------
    message
        The compiled class of the message, by protobuf 6.31 or later; or its full name, such as ``"shop.Order"``, with
        `descriptors`.
    descriptors
        Path of a file that ``protoc --include_imports --descriptor_set_out=FILE`` writes; or of a ``.proto`` file, if
        ``protoc`` or the library ``grpcio-tools`` is installed to compile it. Needs the library ``protobuf``.
    enums
        ``"text"`` for the names of an enum's symbols, ``"number"`` for their numbers.
    registry
        The schema registry. Messages then begin with Confluent's header: a zero byte, the id of their schema, and
        which message of it they are. A source reads fields by their numbers and asks the registry nothing; a sink
        registers the file of the message.
    subject
        Subject under which a sink registers its schema; by default ``<topic>-value``.

    Raises
    ------
    PlanError
        `enums` is something else.
    """

    message: Any
    descriptors: str | Path | None = None
    enums: Enums = "text"
    registry: SchemaRegistry | None = None
    subject: str | None = None

    def __post_init__(self) -> None:
        if self.enums not in ("text", "number"):
            raise PlanError(
                "enums are texts or numbers", expected="'text' or 'number'", found=repr(self.enums)
            )

    def descriptor(self) -> Any:
        """Return the descriptor of the message.

        Raises
        ------
        SchemaError
            The message is not a class, or the file does not have it.
        MissingExtra
            The library that reads files of descriptors is not installed.
        """
        if self.descriptors is not None:
            return message_of(Path(self.descriptors), str(self.message))
        found = getattr(self.message, "DESCRIPTOR", self.message)
        if not hasattr(found, "full_name") or not hasattr(found, "fields"):
            raise SchemaError(
                "messages of Protocol Buffers need the description of a message",
                expected="a compiled class, or a name with descriptors=FILE",
                found=repr(self.message),
                hint=f"for a file: ProtobufOptions('package.Message', descriptors={self.message!r})"
                if str(self.message).endswith((".proto", ".pb"))
                else COMMAND,
            )
        return found


def given(options: ProtobufOptions | None) -> ProtobufOptions:
    """Return options; raise PlanError if there are none, as they name the message."""
    if options is None:
        raise PlanError(
            "messages of Protocol Buffers are read and written with the description of a message",
            expected="ProtobufOptions(message)",
            found="no options",
        )
    return options
