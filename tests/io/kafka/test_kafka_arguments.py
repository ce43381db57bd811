"""What users write: servers, topics, starts, metadata, security."""

import asyncio
import re
import ssl
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from arrowstream import Source
from arrowstream.errors import MissingExtra, PlanError, SourceError
from arrowstream.io.kafka.partition_name import offsets_of, source_position
from arrowstream.io.kafka.security import KafkaSecurity
from arrowstream.io.kafka.source import KafkaSource
from arrowstream.io.kafka.start import start_of
from arrowstream.io.kafka.topics import topics_of

pytestmark = pytest.mark.once


def source(**arguments: Any) -> KafkaSource:
    return Source.from_kafka(**{"servers": "localhost:9092", "topic": "t", "format": "raw", **arguments})


def test_the_defaults() -> None:
    made = source()
    asked = made.subscription
    assert made.label == "kafka t at localhost:9092 (earliest)"
    assert made.schema() == {"value": pl.Binary()}
    assert made.partitioned and made.resumable and not asked.is_subscribed
    assert made.decoder is not None and made.decoder.label == "raw"
    assert asked.consumer_options() == {
        "group_id": None,
        "client_id": "arrowstream",
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "session_timeout_ms": 10_000,
        "heartbeat_interval_ms": 1_000,
        "request_timeout_ms": 15_000,
        "fetch_max_bytes": 16 * 1024 * 1024,
        "metadata_max_age_ms": 60_000,
    }


def test_all_arguments() -> None:
    made = source(
        servers=["a:1", "b:2,c"],
        topic=["x", "y", "x"],
        group="g",
        metadata={"offset": "o", "headers": "h"},
        start={0: 5, "y[1]": 7},
        stop_at_end=True,
        partitions=[1, 0, 1],
        isolation="read_uncommitted",
        security={"mechanism": "PLAIN", "username": "me", "password": "env:P"},
        client_id="c",
        session_timeout="6s",
        discover_every=2,
        stuck_after="5m",
    )
    asked = made.subscription
    assert made.label == "kafka x, y [0, 1] at a:1,b:2,c (given offsets to the end, group g)"
    assert list(made.message_schema) == ["value", "o", "h"]
    assert [asked.start.offset(("x", 0)), asked.start.offset(("y", 1)), asked.start.offset(("x", 1))] == [
        5,
        7,
        None,
    ]
    assert not asked.is_subscribed and asked.stuck_seconds == 300
    assert source(group="g").subscription.is_subscribed
    assert source(group="g").acknowledged and not source().acknowledged
    assert source(group="g").label == "kafka t at localhost:9092 (committed, group g)"
    assert source(topic="^t.*").label == "kafka /^t.*/ at localhost:9092 (earliest)"
    assert source(topic=re.compile("T", re.IGNORECASE)).subscription.topics.partitions(
        {"tt": [0], "s": [0]}
    ) == {("tt", 0)}
    assert source(start=datetime(1970, 1, 2, tzinfo=UTC)).label.endswith("(time 86400000 ms)")
    assert source(format="json").schema() is None
    assert source(format="json", schema={"a": int}, metadata="key").schema() == {
        "value": pl.Binary(),
        "key": pl.Binary(),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"servers": "http://a:1"}, "leave out the part before"),
        ({"servers": "a:99999"}, "takes hosts and ports"),
        ({"servers": 5.5}, None),
        ({"servers": ""}, "takes hosts and ports"),
        ({"topic": []}, "at least one topic"),
        ({"topic": 5}, "at least one topic"),
        ({"topic": "a b"}, "a pattern begins with"),
        ({"topic": [5]}, "5 is not a name of a topic"),
        ({"topic": ".."}, "not a name of a topic"),
        ({"topic": "^("}, "not a regular expression"),
        ({"partitions": []}, "takes numbers of partitions"),
        ({"partitions": "0"}, "takes numbers of partitions"),
        ({"partitions": [True]}, "takes numbers of partitions"),
        ({"partitions": -1}, "takes numbers of partitions"),
        ({"start": "commited", "group": "g"}, "did you mean 'committed'"),
        ({"start": "committed"}, "needs a group"),
        ({"start": 5}, "cannot start at 5"),
        ({"start": datetime(2020, 1, 1)}, "no time zone"),
        ({"start": []}, "cannot start at"),
        ({"start": "2026-01-31"}, "start=datetime(2026, 1, 31, tzinfo=UTC)"),
        ({"start": date(2026, 1, 31)}, "start=datetime(2026, 1, 31, tzinfo=UTC)"),
        ({"start": "2026-01-31T12:30Z"}, "start=datetime(2026, 1, 31, 12, 30, tzinfo=UTC)"),
        ({"start": "2026-01-31 00:00:05+02:00"}, "0, 0, 5, tzinfo=datetime.timezone(datetime.timedelta"),
        ({"format_options": {"delimiter": ";"}, "format": "csv"}, "write CsvOptions(delimiter=...)"),
        ({"format_options": {"password": "hunter2"}, "format": "avro"}, "AvroOptions(password=...)"),
        ({"format_options": 5, "format": "avro"}, "from arrowstream.connectors.messages"),
        ({"format_options": {"x": 1}, "format": "json"}, "expected: none"),
        ({"start": {"x": 1}}, "wrong offset"),
        ({"start": {0: -1}}, "wrong offset"),
        ({"start": {True: 1}}, "wrong offset"),
        ({"metadata": "of"}, "has no 'of'"),
        ({"metadata": ["offfset"]}, "did you mean 'offset'"),
        ({"metadata": [5]}, "has no 5"),
        ({"metadata": {"key": "value"}}, "a name of its own"),
        ({"metadata": {"key": ""}}, "a name of its own"),
        ({"metadata": ["key", "key"]}, "a name of its own"),
        ({"isolation": "read_commited"}, "did you mean 'read_committed'"),
        ({"stop_at_end": 1}, "True or False"),
        ({"group": ""}, "group takes a text"),
        ({"client_id": None}, "client_id takes a text"),
        ({"session_timeout": "10ms"}, "session_timeout is too short"),
        ({"security": "PLAIN"}, "options of a Kafka connection"),
        ({"security": {"user": "me"}}, "did you mean 'username'"),
    ],
)
def test_what_does_not_fit(arguments: dict[str, Any], message: str | None) -> None:
    if message is None:
        source(**arguments)
        return
    with pytest.raises(PlanError) as caught:
        source(**arguments)
    assert message in str(caught.value)


def test_offsets_in_text_are_numbers() -> None:
    assert start_of({"0": 3}, grouped=False).offset(("t", 0)) == 3


def test_a_single_number_of_a_partition() -> None:
    assert topics_of("t", 3).numbers == (3,)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="extra 'kafka'"):
        source().schema()
    monkeypatch.setitem(__import__("sys").modules, "arrowstream.io.kafka.reading.reader", None)
    with pytest.raises(MissingExtra, match="extra 'kafka'"):
        source().open(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "position",
    [
        {},
        {"version": 2, "offsets": {}},
        {"version": 1, "offsets": {"t": 1}},
        {"version": 1, "offsets": {"t[0]": "1"}},
    ],
)
def test_positions_of_others(position: Any) -> None:
    with pytest.raises(SourceError, match="cannot continue after this position"):
        offsets_of(position)
    offsets = {("t", 0): 5, ("a.b-c_d", 12): 7}
    assert offsets_of(source_position(offsets)) == offsets


# ---- security ----------------------------------------------------------------------------------------


def test_a_login_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\nnot this\n")
    security = KafkaSecurity(mechanism="SCRAM-SHA-256", username="me", password=f"file:{secret}")
    assert security.client_options() == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "me",
        "sasl_plain_password": "from-a-file",
    }
    monkeypatch.setenv("KAFKA_TEST_PASSWORD", "from-the-environment")
    plain = KafkaSecurity(tls=True, mechanism="PLAIN", username="me", password="env:KAFKA_TEST_PASSWORD")
    options = plain.client_options()
    assert options["security_protocol"] == "SASL_SSL" and isinstance(options["ssl_context"], ssl.SSLContext)
    assert options["sasl_plain_password"] == "from-the-environment"
    monkeypatch.delenv("KAFKA_TEST_PASSWORD")
    with pytest.raises(PlanError, match="set the variable KAFKA_TEST_PASSWORD"):
        plain.client_options()
    secret.unlink()
    with pytest.raises(PlanError, match="'password' cannot be read"):
        security.client_options()


def test_a_token_is_read_again_for_each_connection(tmp_path: Path) -> None:
    place = tmp_path / "token"
    place.write_text("first")
    security = KafkaSecurity(mechanism="OAUTHBEARER", token=f"file:{place}")
    provider = security.client_options()["sasl_oauth_token_provider"]
    assert asyncio.run(provider.token()) == "first"
    place.write_text("second")
    assert asyncio.run(provider.token()) == "second"
    place.unlink()
    with pytest.raises(PlanError, match="'token' cannot be read"):
        security.client_options()


def test_secrets_are_not_shown() -> None:
    security = KafkaSecurity(
        ca_file="ca.pem",
        cert_file="c.pem",
        key_password="hunter1",
        mechanism="PLAIN",
        username="me",
        password="hunter2",
    )
    assert repr(security) == (
        "KafkaSecurity(ca_file='ca.pem', cert_file='c.pem', key_password='***', mechanism='PLAIN', username='me', "
        "password='***')"
    )
    assert "hunter" not in repr(source(security=security)) + source(security=security).label
    assert "env:TOKEN" in repr(KafkaSecurity(mechanism="OAUTHBEARER", token="env:TOKEN"))
    assert repr(KafkaSecurity()) == "KafkaSecurity()" and KafkaSecurity().protocol == "PLAINTEXT"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tls": "yes"}, "True or False"),
        ({"ca_file": 5}, "ca_file takes text"),
        ({"mechanism": "plain"}, "did you mean 'PLAIN'"),
        ({"mechanism": "PLAIN"}, "username and password"),
        ({"mechanism": "PLAIN", "username": "me"}, "found: username"),
        ({"mechanism": "OAUTHBEARER", "username": "me", "password": "p"}, "expected: token"),
        ({"username": "me"}, "mechanism is one of"),
        ({"key_file": "k.pem"}, "no certificate"),
    ],
)
def test_options_that_do_not_fit_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as caught:
        KafkaSecurity(**options)
    assert message in str(caught.value)


def test_certificates(tmp_path: Path) -> None:
    missing = KafkaSecurity(ca_file=str(tmp_path / "ca.pem"))
    assert missing.protocol == "SSL"
    with pytest.raises(PlanError, match="certificates of the Kafka connection cannot be read"):
        missing.client_options()
    (tmp_path / "c.pem").write_text("no certificate")
    wrong = KafkaSecurity(cert_file=str(tmp_path / "c.pem"), key_password="hunter2")
    with pytest.raises(PlanError, match=r"c\.pem") as caught:
        wrong.client_options()
    assert "hunter2" not in str(caught.value)
    unchecked = KafkaSecurity(tls=True, check_hostname=False).client_options()["ssl_context"]
    assert not unchecked.check_hostname and unchecked.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    "make", [lambda text: Source.from_kafka(text, "t"), Source.from_tcp], ids=["kafka", "tcp"]
)
def test_a_login_in_an_address_is_not_shown(make: Callable[[str], object]) -> None:
    with pytest.raises(PlanError) as caught:
        make("me:hunter2@host:99999")
    assert "hunter2" not in str(caught.value)
    assert "***@host:99999" in str(caught.value)
