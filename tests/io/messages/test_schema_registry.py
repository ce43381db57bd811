"""The client of a schema registry, against a server of the documented protocol."""

import base64
from collections.abc import Iterator

import pytest
from registry_server import Registry, schema_registry

from arrowstream.connectors.messages import SchemaRegistry
from arrowstream.errors import PlanError, SinkError, SourceError
from arrowstream.io.messages.registry import client
from arrowstream.io.messages.registry.client import RegistryClient, UnknownSchema

pytestmark = pytest.mark.once


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setattr(client, "_FIRST_WAIT_S", 0.0)
    with schema_registry() as found:
        yield found


def reader(registry: Registry, **options: object) -> RegistryClient:
    return RegistryClient(SchemaRegistry(registry.url, **options), SourceError)  # type: ignore[arg-type]


def test_a_schema_is_asked_for_once_and_the_oldest_one_makes_room(registry, monkeypatch):
    monkeypatch.setattr(client, "_KEPT", 2)
    asked = reader(registry)
    for number in (registry.add('"int"'), registry.add('"long"'), registry.add('"float"')):
        asked.schema(number)
        assert asked.schema(1 if number == 2 else number).kind == "AVRO"
    assert registry.requests == [f"GET /schemas/ids/{number}" for number in (1, 2, 3)]
    asked.schema(2)
    assert registry.requests[-1] == "GET /schemas/ids/2"


def test_an_unknown_id_is_asked_for_again_after_a_while(registry, monkeypatch):
    asked = reader(registry)
    for _ in range(2):
        with pytest.raises(UnknownSchema):
            asked.schema(1)
    assert len(registry.requests) == 1
    registry.add('"int"')
    monkeypatch.setattr(client, "_MISSING_S", 0.0)
    assert asked.schema(1).text == '"int"'


def test_a_schema_comes_with_those_that_it_names(registry):
    registry.add('"inner"', "i/n", schemaType="AVRO")
    refers = {"name": "i.Inner", "subject": "i/n", "version": 1}
    # A schema that names itself ends.
    registry.add('"middle"', "m", references=[refers, {"name": "self", "subject": "m", "version": 1}])
    outer = registry.add('"outer"', references=[{"name": "m.Middle", "subject": "m", "version": 1}])
    found = reader(registry).schema(outer)
    assert found.references == {"i.Inner": '"inner"', "m.Middle": '"middle"'}
    lost = registry.add('"lost"', references=[{"name": "x", "subject": "nowhere", "version": 1}])
    with pytest.raises(SourceError, match="is not there"):
        reader(registry).schema(lost)


@pytest.mark.parametrize(
    ("options", "login"),
    [
        ({}, None),
        ({"user": "me", "password": "env:PASSWORD"}, "Basic " + base64.b64encode(b"me:hunter2").decode()),
        ({"token": "swordfish"}, "Bearer swordfish"),
    ],
)
def test_the_login_is_sent_and_never_shown(registry, monkeypatch, options, login):
    monkeypatch.setenv("PASSWORD", "hunter2")
    registry.add('"int"')
    reader(registry, **options).schema(1)
    assert registry.logins == [login]
    registry.answers = [(401, b"who are you?")]
    with pytest.raises(SourceError) as refused:
        reader(registry, **options).register("s", "AVRO", '"int"')
    shown = str(refused.value) + repr(reader(registry, **options)._registry)
    assert "401" in shown
    assert "hunter2" not in shown
    assert "swordfish" not in shown


@pytest.mark.parametrize("token", ["swordfish\n", "swordfish\u20ac"])
def test_a_token_that_cannot_be_sent_is_not_shown(registry, monkeypatch, token):
    monkeypatch.setenv("TOKEN", token)
    with pytest.raises(SourceError, match="token for the schema registry cannot be sent") as refused:
        reader(registry, token="env:TOKEN").schema(1)
    assert "swordfish" not in str(refused.value)
    assert registry.requests == []


def test_options_show_where_secrets_are_and_mask_the_secrets():
    shown = repr(SchemaRegistry("http://r", user="me", password="hunter2", timeout="3s"))
    assert shown == "SchemaRegistry('http://r', user='me', password='***', timeout='3s')"
    assert "token='file:/run/token'" in repr(SchemaRegistry("http://r", token="file:/run/token"))


@pytest.mark.parametrize(
    "options",
    [
        {"url": "kafka:9092"},
        {"url": "http://"},
        {"url": "http://r?x=hunter2"},
        {"url": "http://me:hunter2@r"},
        {"url": "http://r", "user": "me"},
        {"url": "http://r", "user": "me", "password": "hunter2", "token": "hunter2"},
        {"url": "http://r", "tries": 0},
        {"url": "http://r", "timeout": 0},
    ],
)
def test_options_that_do_not_fit_are_refused(options):
    with pytest.raises(PlanError) as refused:
        SchemaRegistry(**options)
    assert "hunter2@" not in str(refused.value)


def test_requests_are_tried_again_while_that_may_help(registry):
    registry.add('"int"')
    registry.answers = [(503, b""), (429, b""), (500, b"")]
    assert reader(registry).schema(1).text == '"int"'
    assert len(registry.requests) == 4
    registry.answers = [(503, b"busy")] * 2
    with pytest.raises(SourceError, match="status 503: busy"):
        reader(registry, tries=2).schema(1)
    registry.answers = [(409, b"incompatible")]
    with pytest.raises(SinkError, match="incompatible") as refused:
        RegistryClient(SchemaRegistry(registry.url), SinkError).register("s", "AVRO", '"long"')
    assert "have a default" in refused.value.hint


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"[1]", b"{}", b'{"schema": "x", "references": [{}]}', b"[" * 100_000, b'{"references": 1}'],
)
def test_an_answer_that_is_no_schema_is_an_error(registry, content):
    registry.answers = [(200, content)]
    with pytest.raises(SourceError, match="does not answer as it should"):
        reader(registry).schema(1)
    registry.answers = [(200, content)]
    with pytest.raises(SourceError, match="does not answer as it should"):
        reader(registry).register("s", "AVRO", "x")


def test_redirects_long_answers_and_missing_servers_are_errors(registry, monkeypatch, tmp_path):
    registry.answers = [(302, b"")]
    with pytest.raises(SourceError, match="status 302"):
        reader(registry, token="swordfish").schema(1)
    assert registry.requests == ["GET /schemas/ids/1"]
    monkeypatch.setattr(client, "_MOST_BYTES", 10)
    registry.answers = [(200, b" " * 11)]
    with pytest.raises(SourceError, match="more than 16 MiB"):
        reader(registry, tries=1).schema(1)
    with pytest.raises(SourceError, match="no answer"):
        RegistryClient(SchemaRegistry("http://127.0.0.1:9/", tries=1), SourceError).schema(1)
    with pytest.raises(SourceError, match="certificates"):
        RegistryClient(SchemaRegistry("https://r", ca_file=str(tmp_path / "no.pem")), SourceError).schema(1)
    with pytest.raises(SourceError, match="no answer"):
        secure = registry.url.replace("http", "https")
        RegistryClient(SchemaRegistry(secure, tries=1), SourceError).schema(1)
    with pytest.raises(UnknownSchema):
        registry.answers = [(404, b"")]
        reader(registry).schema(1)
    registry.answers = [(404, b"")]
    with pytest.raises(SourceError, match="status 404"):
        reader(registry).register("s", "AVRO", "x")
