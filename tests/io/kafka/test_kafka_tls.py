"""Encrypted connections and bearer tokens: of a real Apache Kafka, and of connections that tests make up."""

import asyncio
import base64
import json
import time
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from aiokafka.errors import AuthenticationFailedError, KafkaConnectionError
from kafka_readers import in_loop
from servers.kafka import PASSWORD, USER, KafkaServer
from servers.topics import new_topic

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import ArrowstreamError, PlanError, SinkError, SourceError
from arrowstream.io.kafka import connection
from arrowstream.io.kafka.security import KafkaSecurity
from arrowstream.io.kafka.token import TokenProvider

real = pytest.mark.untraced
pytestmark = pytest.mark.once


def token(expires: float = 600) -> str:
    """A token without a signature, which servers take for tests."""
    now = time.time()
    # The server's clock may be some milliseconds late.
    parts = ({"alg": "none"}, {"sub": "me", "iat": now - 1_000, "exp": now + expires})
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        + "."
    )


def write(address: str, topic: str, security: object) -> list[int]:
    sink = Sink.to_kafka(address, topic, security=security)
    Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]}))).sink(sink).build().run_sync()
    return []


def read(address: str, topic: str, security: object) -> list[int]:
    source = Source.from_kafka(address, topic, security=security, schema={"x": int}, stop_at_end=True)
    return Pipeline.builder().source(source).collect_sync()["x"].to_list()


@real
def test_rows_go_there_and_back_encrypted(kafka: KafkaServer) -> None:
    trusted = {"ca_file": kafka.certificate("ca.pem")}
    own = {"cert_file": kafka.certificate("client.crt"), "key_file": kafka.certificate("client.key")}
    login = {"mechanism": "SCRAM-SHA-256", "username": USER, "password": PASSWORD}
    elsewhere = kafka.tls_address.replace("127.0.0.1", "localhost")
    calls = []

    async def fresh() -> str:
        calls.append("coroutine")
        return token()

    topic = new_topic(kafka.address)
    written = 0
    for address, options, uses in (
        (kafka.tls_address, {}, (write, read)),
        (kafka.tls_address, own, (write,)),
        (elsewhere, {"check_hostname": False}, (read,)),
        (kafka.sasl_tls_address, login, (write,)),
        (kafka.sasl_tls_address, {"mechanism": "OAUTHBEARER", "token": token()}, (read,)),
        (kafka.sasl_tls_address, {"mechanism": "OAUTHBEARER", "token": token}, (read,)),
        (kafka.sasl_tls_address, {"mechanism": "OAUTHBEARER", "token": fresh}, (write, read)),
    ):
        for use in uses:
            found = use(address, topic, {**trusted, **options})
            written += use is write
            assert use is write or found == [1, 2] * written
    assert len(calls) > 3  # each connection asks for a token


@real
def test_what_is_not_trusted_is_refused_with_what_to_do(
    kafka: KafkaServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and not once the time for an answer is over."""
    monkeypatch.setattr(connection, "START_SECONDS", 60.0)
    trusted = {"ca_file": kafka.certificate("ca.pem")}
    elsewhere = kafka.tls_address.replace("127.0.0.1", "localhost")
    bearer = {**trusted, "mechanism": "OAUTHBEARER"}
    topic = new_topic(kafka.address)
    for address, security, found, hint in (
        (kafka.tls_address, {"tls": True}, "CERTIFICATE_VERIFY_FAILED", "ca_file= takes the certificate"),
        (elsewhere, trusted, "not valid for 'localhost'", "check_hostname=False"),
        (kafka.address, trusted, "Reset", "may have no TLS"),
        (kafka.tls_address, None, "closed", "may want TLS or a login"),
        (kafka.sasl_tls_address, trusted, "closed", "may want TLS or a login"),
        (kafka.sasl_tls_address, {**bearer, "token": token(-600)}, "the token is refused", "or the token"),
        (kafka.sasl_tls_address, {**bearer, "token": "junk-of-mine"}, "the token is refused", "or the token"),
        (
            kafka.sasl_tls_address,
            {**trusted, "mechanism": "SCRAM-SHA-512", "username": USER, "password": PASSWORD},
            "UnsupportedSaslMechanism",
            "that the server has enabled",
        ),
    ):
        for use, kind in ((read, SourceError), (write, SinkError)):
            began = time.monotonic()
            with pytest.raises(kind) as caught:
                use(address, topic, security)
            assert found in str(caught.value) and hint in (caught.value.hint or ""), str(caught.value)
            assert "junk-of-mine" not in str(caught.value) and PASSWORD not in str(caught.value)
            assert time.monotonic() - began < connection.START_SECONDS


class Connection:
    """A connection whose server answers with an error code, or closes it."""

    def __init__(self, answer: int | Exception) -> None:
        self.answer = answer
        self.is_closed = False

    async def connect(self) -> None:
        if isinstance(self.answer, OSError):
            raise self.answer

    async def send(self, request: object) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return SimpleNamespace(error_code=self.answer, error_message="said")

    def close(self) -> asyncio.Future[None]:
        self.is_closed = True
        closed = asyncio.get_running_loop().create_future()
        if not isinstance(self.answer, OSError):
            closed.set_result(None)
        return closed


CLOSED = KafkaConnectionError("closed")


@pytest.mark.parametrize(
    ("answers", "mechanism", "found"),
    [
        ([58], "OAUTHBEARER", "refused"),
        ([34], "OAUTHBEARER", None),
        ([CLOSED], "OAUTHBEARER", None),
        ([CLOSED, 58], "OAUTHBEARER", "refused"),
        ([ConnectionRefusedError(), 58], "OAUTHBEARER", "refused"),
        ([34, 58], "OAUTHBEARER", None),
        ([CLOSED], "PLAIN", None),
    ],
)
@in_loop
async def test_a_refused_token_is_known_before_a_client_starts(
    monkeypatch: pytest.MonkeyPatch, answers: list[Any], mechanism: str, found: str | None
) -> None:
    left = [Connection(answer) for answer in answers]
    opened: list[Connection] = []

    def create(*arguments: Any, **options: Any) -> Connection:
        opened.append(left.pop(0))
        return opened[-1]

    class Client:
        async def start(self) -> None:
            opened.clear()

    async def close(client: object) -> None:
        opened.append(Connection(0))

    monkeypatch.setattr(connection, "AIOKafkaConnection", create)
    servers = ",".join(f"127.0.0.1:{port}" for port in range(1, len(answers) + 1))
    starting = connection.start(Client(), close, servers, {"sasl_mechanism": mechanism})
    if found is None:
        await starting
        assert opened == []
    else:
        with pytest.raises(AuthenticationFailedError, match=found):
            await starting
        assert [each.is_closed for each in opened] == [True] * len(answers) + [False]


@in_loop
async def test_what_is_wrong_is_found_by_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(*arguments: Any, **options: Any) -> Connection:
        return Connection({1: CLOSED, 2: 0, 3: ConnectionRefusedError(111, "refused")}[arguments[1]])

    monkeypatch.setattr(connection, "AIOKafkaConnection", create)
    monkeypatch.setattr(connection, "GRACE_SECONDS", 60.0)
    assert "closed" in await connection.reasons("127.0.0.1:1", {})
    began = time.monotonic()
    assert "refused" in await connection.reasons("127.0.0.1:3", {})
    assert time.monotonic() - began < connection.GRACE_SECONDS
    assert await connection.reasons("127.0.0.1:2", {}) == ""
    assert "TLS or a login" in connection.hint("127.0.0.1:1: Connection closed")
    assert "advertised" in connection.hint("")
    assert connection.no_answer(TimeoutError()) == "no answer within 10 s"
    assert connection.no_answer(CLOSED) == "KafkaConnectionError: KafkaConnectionError: closed"


@in_loop
async def test_a_token_comes_from_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    async def later() -> str:
        return "abc"

    class Issuer:
        async def __call__(self) -> str:
            return "abc"

    for function in (later, lambda: "abc", Issuer()):
        assert await TokenProvider(function).token() == "abc"
        security = KafkaSecurity(mechanism="OAUTHBEARER", token=function)
        assert await security.client_options()["sasl_oauth_token_provider"].token() == "abc"
        assert "token='***'" in repr(security)
    for wrong in (lambda: None, lambda: "", lambda: "hunter\n2", lambda: "hunterä", lambda: b"hunter"):
        with pytest.raises(PlanError, match="cannot be sent") as caught:
            await TokenProvider(wrong).token()
        assert "hunter" not in str(caught.value)
    monkeypatch.setenv("TOKEN", "hunter\t2")
    with pytest.raises(ArrowstreamError, match="cannot be sent"):
        await TokenProvider("env:TOKEN").token()
