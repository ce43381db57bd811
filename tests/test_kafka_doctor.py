"""What the doctor says of a Kafka cluster."""

import importlib.util
import re
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from command_line import invoke
from servers.embedded_kafka import EmbeddedKafka
from servers.topics import new_topic, produce

from arrowstream import Pipeline, Source
from arrowstream.io.kafka import survey

pytestmark = pytest.mark.once


def one_by_one(address: str, topic: str, count: int) -> None:
    """Write records to partition 0, each in a batch of its own, of which alone this broker knows the end."""
    for number in range(count):
        produce(address, topic, [(0, None, b"%d" % number)])


def test_a_cluster_its_topics_and_the_lag_of_groups(embedded_kafka: EmbeddedKafka) -> None:
    address = embedded_kafka.address
    topic, behind = new_topic(address, 2), new_topic(address)
    one_by_one(address, topic, 2)
    one_by_one(address, behind, 2)
    options: dict[str, Any] = {"group": f"g-{topic}", "format": "raw", "stop_at_end": True}
    for source in (
        Source.from_kafka(address, topic, partitions=[0], **options),
        Source.from_kafka(address, behind, partitions=[0], **options),
    ):
        assert Pipeline.builder().source(source).collect_sync().height == 2
    one_by_one(address, topic, 3)
    code, out, err = invoke("doctor", "--kafka", address, "--group", f"g-{topic}", "--group", "none")
    assert (code, err) == (0, "")
    head, lags = out.split(f"lag of g-{topic}\n")
    assert re.search(r"(?m)^  answer +after \d+ ms$", head)
    assert re.search(r"(?m)^  cluster +tansu_cluster$", head)
    assert re.search(rf"(?m)^  servers +\d+ at {address}$", head)
    assert re.search(r"(?m)^  versions +Produce 0 to \d+, Fetch 0 to \d+, Metadata 0 to \d+$", head)
    assert re.search(rf"(?m)^  {topic} +2 partitions$", head) and re.search(
        rf"(?m)^  {behind} +1 partition$", head
    )
    assert re.search(rf"(?m)^  {topic} +3 records, 1 partition without a committed offset$", lags)
    assert re.search(rf"(?m)^  {behind} +0 records$", lags)
    assert re.search(r"(?m)^lag of none\n  all topics +no committed offset$", lags)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["127.0.0.1:1"], 1, "no Kafka server answers at 127.0.0.1:1; "),
        (["not a host"], 2, "'not a host'"),
        (["h:1", "--kafka-security", "tls"], 2, "--kafka-security tls is not an option; expected: key=value"),
        (["h:1", "--kafka-security", "tls=1"], 2, "security tls"),
        (["h:1", "--kafka-security", "mechnism=PLAIN"], 2, "did you mean 'mechanism'?"),
        (["h:1", "--kafka-security", "tls=true", "--kafka-security", "ca_file=none.pem"], 2, "none.pem"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], code: int, message: str) -> None:
    found, out, err = invoke("doctor", "--kafka", *arguments)
    assert (found, out) == (code, "")
    assert message in err


def test_options_of_a_cluster_need_one() -> None:
    code, out, err = invoke("doctor", "--group", "g")
    assert (code, out) == (2, "") and "need --kafka SERVERS" in err


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, err = invoke("doctor", "--kafka", "h:1")
    assert code == 2 and "pip install 'arrowstream[kafka]'" in err


def test_a_cluster_that_says_less(embedded_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = survey._metadata

    async def less(consumer: AIOKafkaConsumer) -> dict[str, Any]:
        said = await metadata(consumer)
        own = {"topic": "__consumer_offsets", "is_internal": True, "partitions": []}
        return {**said, "cluster_id": None, "topics": [own]}

    monkeypatch.setattr(survey, "_metadata", less)
    code, out, _ = invoke("doctor", "--kafka", embedded_kafka.address)
    assert code == 0 and re.search(r"(?m)^  cluster +without an id$", out) and "__consumer_offsets" not in out


def test_a_cluster_that_refuses_to_answer(
    embedded_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(consumer: AIOKafkaConsumer) -> dict[str, Any]:
        raise KafkaError("no right to ask")

    monkeypatch.setattr(survey, "_metadata", refused)
    code, out, err = invoke("doctor", "--kafka", embedded_kafka.address)
    assert (code, out) == (1, "")
    assert f"reading from Kafka at {embedded_kafka.address} failed; " in err and "no right to ask" in err
