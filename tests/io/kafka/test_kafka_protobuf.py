"""Messages of Protocol Buffers through Kafka: as librdkafka and the library of that name see them, and back."""

from contextlib import nullcontext

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from kafka_writers import consumed, plain_sink
from protobuf_messages import ALL, KNOWN, POINT
from registry_server import Registry, schema_registry
from servers.embedded_kafka import EmbeddedKafka
from servers.topics import new_topic, produce

from arrowstream import ErrorHandler, Pipeline, Source
from arrowstream.connectors.messages import ProtobufOptions, SchemaRegistry
from arrowstream.testing import TestSink

pytestmark = pytest.mark.once

FILLED = ALL(
    double=-0.0,
    float=1.5,
    int64=-(2**63),
    uint64=2**64 - 1,
    int32=-(2**31),
    bool=True,
    string="é\0",
    bytes=b"\xff\0",
    sint64=2**63 - 1,
    enum=-3,
    point=POINT(x=1, tags=["", "b"]),
    points=[POINT(), POINT(x=-4)],
    strings=["", "b"],
    bools=[True, False],
    maybe_int32=0,
    choice_string="",
    map_int32={"k": 3},
    map_point={"z": POINT(x=4)},
)
KINDS = {
    "all": (ALL, [ALL(), FILLED, ALL(choice_point=POINT()), ALL(maybe_string="x")]),
    "known": (KNOWN, [KNOWN(), KNOWN(at=Timestamp(seconds=-1, nanos=5), took=Duration(nanos=-1)), KNOWN()]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("registered", [False, True])
def test_rows_are_messages_for_others_and_come_back(
    embedded_kafka: EmbeddedKafka, kind: str, registered: bool
) -> None:
    message, rows = KINDS[kind]
    theirs, ours = (new_topic(embedded_kafka.address) for _ in range(2))
    with schema_registry() if registered else nullcontext() as registry:
        options = ProtobufOptions(message)
        head = b""
        if isinstance(registry, Registry):
            options = ProtobufOptions(message, registry=SchemaRegistry(registry.url))
            head = b"\0\0\0\0\1" + {"all": b"\2\2", "known": b"\0"}[kind]
        values = [head + row.SerializeToString() for row in rows]
        bad = head + b"\x80"
        produce(embedded_kafka.address, theirs, [(0, None, value) for value in (*values, bad, None)])
        source = Source.from_kafka(
            embedded_kafka.address, theirs, format="protobuf", format_options=options, stop_at_end=True
        )
        good, letters = TestSink(), TestSink()
        reading = Pipeline.builder().source(source).on_error(ErrorHandler.dead_letter(letters))
        reading.sink(good).build().run_sync()
        found = good.frame()
        assert letters.frame()["value"].to_list() == [bad]
        assert found[-1].row(0) == (None,) * found.width
        sink = plain_sink(embedded_kafka.address, ours, format="protobuf", format_options=options)
        Pipeline.builder().source(Source.from_frame(found[:-1])).sink(sink).build().run_sync()
        written = [each.value or b"" for each in consumed(embedded_kafka.address, ours, len(rows))]
        assert [value[: len(head)] for value in written] == [head] * len(rows)
        assert [message.FromString(value[len(head) :]) for value in written] == rows
        back = Source.from_kafka(
            embedded_kafka.address, ours, format="protobuf", format_options=options, stop_at_end=True
        )
        assert Pipeline.builder().source(back).collect_sync().equals(found[:-1])
        if isinstance(registry, Registry):
            assert list(registry.versions) == [f"{ours}-value"]
