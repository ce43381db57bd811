"""Sources and sinks of messages in jobs: options of formats, handlers of bad messages, event time, security."""

import shutil
from pathlib import Path

import polars as pl
import pytest
from command_line import invoke
from google.protobuf import descriptor_pb2
from polars.testing import assert_frame_equal
from registry_server import schema_registry
from servers.embedded_kafka import EmbeddedKafka
from servers.topics import new_topic, produce

from arrowstream.errors import JobError
from arrowstream.jobs.job import Job

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
ITEMS = pl.DataFrame({"item": ["tea", None, "a;b"], "count": [1, 2, None]})
TYPES = "{ item = 'String', count = 'Int64' }"
AVRO = """{"type": "record", "name": "Item", "fields": [
    {"name": "item", "type": ["null", "string"]}, {"name": "count", "type": ["null", "long"]}]}"""

OPTIONS = {
    "csv": """{ delimiter = ";", quote_char = "'", null_values = "NA" }""",
    "arrow": "{ max_rows = 100, max_bytes = 100_000 }",
    "avro": '{ schema = "item.avsc" }',
    "protobuf": """{ message = "shop.Item", descriptors = "item.pb", enums = "number" }""",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the jobs, which is not the current one."""
    made = tmp_path / "jobs"
    made.mkdir()
    monkeypatch.chdir(tmp_path)
    ITEMS.write_parquet(made / "items.parquet")
    (made / "item.avsc").write_text(AVRO)
    file = descriptor_pb2.FileDescriptorProto(name="item.proto", package="shop", syntax="proto3")
    message = file.message_type.add(name="Item")
    for number, (name, kind) in enumerate((("item", 9), ("count", 3))):
        message.field.add(
            name=name, number=number + 1, type=kind, label=1, oneof_index=number
        ).proto3_optional = True
        message.oneof_decl.add(name=f"_{name}")
    (made / "item.pb").write_bytes(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())
    return made


def run(folder: Path, text: str) -> None:
    (folder / "job.toml").write_text(text)
    Job.load(folder / "job.toml").pipeline().run_sync()


def kafka(address: str, topic: str, **keys: str) -> str:
    """The keys of a source or sink, each as TOML."""
    lines = {"kind": "'kafka'", "servers": f"'{address}'", "topic": f"'{topic}'", **keys}
    return "".join(f"{key} = {value}\n" for key, value in lines.items())


def there_and_back(folder: Path, address: str, format: str, options: str) -> str:
    """Write rows to a topic by one job and read them by another; return the topic."""
    topic = new_topic(address)
    form = {"format": f"'{format}'", "format_options": options}
    sink = kafka(address, topic, **form, idempotent="false")
    run(folder, f"[source]\nkind = 'file'\npath = 'items.parquet'\n[sink]\n{sink}")
    source = kafka(address, topic, **form, schema=TYPES, stop_at_end="true")
    run(folder, f"[source]\n{source}[sink]\nkind = 'file'\npath = '{format}.parquet'\n")
    assert_frame_equal(pl.read_parquet(folder / f"{format}.parquet"), ITEMS)
    return topic


@pytest.mark.parametrize("format", OPTIONS)
def test_a_job_writes_and_reads_with_options(
    format: str, folder: Path, embedded_kafka: EmbeddedKafka
) -> None:
    topic = there_and_back(folder, embedded_kafka.address, format, OPTIONS[format])
    if format == "csv":
        source = kafka(embedded_kafka.address, topic, format="'raw'", stop_at_end="true")
        run(folder, f"[source]\n{source}[sink]\nkind = 'file'\npath = 'raw.parquet'\n")
        assert pl.read_parquet(folder / "raw.parquet")["value"].to_list() == [b"tea;1", b"NA;2", b"'a;b';NA"]


def test_a_registry_and_its_login(
    folder: Path, embedded_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    with schema_registry() as registry:
        login = (
            f'{{ url = "{registry.url}", user = "me", password = "env:SECRET", timeout = "60s", tries = 2 }}'
        )
        schema = f"'''  {AVRO}'''"
        options = f'{{ registry = {login}, schema = {schema}, subject = "items" }}'
        there_and_back(folder, embedded_kafka.address, "avro", options)
        assert list(registry.versions) == ["items"]
        assert set(registry.logins) == {"Basic bWU6aHVudGVyMg=="}


BAD = """
on_error = ["log", { dead_letter = { kind = "file", path = "bad.parquet" } }]
[[source.steps]]
with_columns = { x = "x * 2" }
[sink]
kind = "file"
path = "good.parquet"
"""


@pytest.mark.parametrize("time", ["", "event_time = 'timestamp'\nlateness = '1s'"])
def test_bad_messages_go_to_the_handlers_of_the_source(
    time: str, folder: Path, embedded_kafka: EmbeddedKafka
) -> None:
    topic = new_topic(embedded_kafka.address)
    produce(embedded_kafka.address, topic, [(0, None, value) for value in (b'{"x":1}', b"oops", b'{"x":3}')])
    metadata = "['timestamp']" if time else "[]"
    source = kafka(
        embedded_kafka.address, topic, schema="{ x = 'Int64' }", stop_at_end="true", metadata=metadata
    )
    run(folder, f"[source]\n{source}{time}{BAD}")
    assert pl.read_parquet(folder / "good.parquet")["x"].to_list() == [2, 6]
    bad = pl.read_parquet(folder / "bad.parquet")
    assert bad.select("stage", "position").rows() == [("decode", f"{topic}[0] offsets 1-2")]


def test_event_time_of_a_topic_is_that_of_a_file(folder: Path, embedded_kafka: EmbeddedKafka) -> None:
    """Each partition is in order, and one is an hour ahead: no row is late, and windows are those of the file."""
    topic = new_topic(embedded_kafka.address, 2)
    minutes = [(number % 2, 60 * (number % 2) + number // 2) for number in range(60)]
    rows = [(partition, f'{{"at":"2026-01-01 {at // 60:02}:{at % 60:02}:00"}}') for partition, at in minutes]
    produce(embedded_kafka.address, topic, [(partition, None, row.encode()) for partition, row in rows])
    (folder / "rows.ndjson").write_text("\n".join(sorted(row for _, row in rows)))
    time = "schema = { at = \"Datetime('us')\" }\nevent_time = 'at'\n"
    rest = "[[steps]]\nwindow = { size = '10m', on = 'at', agg = 'count(*) AS n' }\n[sink]\nkind = 'file'\n"
    run(
        folder,
        f"[source]\n{kafka(embedded_kafka.address, topic, stop_at_end='true')}{time}{rest}path = 'a.csv'",
    )
    run(folder, f"[source]\nkind = 'file'\npath = 'rows.ndjson'\n{time}{rest}path = 'b.csv'")
    assert (folder / "a.csv").read_text() == (folder / "b.csv").read_text()
    assert pl.read_csv(folder / "a.csv")["n"].to_list() == [10] * 6


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"format_options": "{ delimiter = ';' }"},
            "messages of the format 'json' have no options, only those of",
        ),
        ({"format": "'csv'", "format_options": "{ delimter = ';' }"}, "did you mean 'delimiter'"),
        ({"format": "'arrow'", "format_options": "{ max_rows = 0 }"}, "an integer of at least 1"),
        ({"format": "'protobuf'", "format_options": "{ enums = 'text' }"}, "missing key 'message'"),
        ({"format": "'avro'", "format_options": "{ registry = { user = 'me' } }"}, "missing key 'url'"),
        ({"format": "'avro'", "format_options": "{ schema = 'none.avsc' }"}, "jobs/none.avsc"),
        ({"security": "{ mechanism = 'PLAN' }"}, "(one of 'PLAIN', 'SCRAM-SHA-256'"),
        ({"security": "{ key_file = 'me.pem' }"}, "security has a key but no certificate"),
        ({"on_error": "['skip', 'log']"}, "job.toml:5: 'on_error' in [source]: "),
    ],
)
def test_mistakes_name_their_place(keys: dict[str, str], message: str, folder: Path) -> None:
    (folder / "job.toml").write_text(
        f"[source]\n{kafka('localhost:9092', 't', **keys)}[sink]\nkind = 'file'\npath = 'o.parquet'"
    )
    with pytest.raises(JobError) as raised:
        Job.load(folder / "job.toml").pipeline()
    assert message in str(raised.value) and "job.toml:" in str(raised.value)


def test_other_sources_have_no_messages(folder: Path) -> None:
    text = "[source]\nkind = 'file'\npath = 'items.parquet'\non_error = 'skip'\n[sink]\nkind = 'file'\npath = 'o'"
    with pytest.raises(JobError, match=r"job\.toml:4: 'on_error' in \[source\]: only a source of messages"):
        run(folder, text)


def test_files_of_security_start_at_the_folder_of_the_job(folder: Path) -> None:
    keys = kafka(
        "localhost:9092", "t", security="{ ca_file = 'ca.pem', mechanism = 'OAUTHBEARER', token = 'env:T' }"
    )
    (folder / "job.toml").write_text(f"[source]\n{keys}[sink]\nkind = 'file'\npath = 'o.parquet'")
    source = Job.load(folder / "job.toml").complete.graph.source
    assert source.subscription.security.ca_file == str(folder / "ca.pem")  # type: ignore[union-attr]


def test_the_example(folder: Path, embedded_kafka: EmbeddedKafka) -> None:
    job = shutil.copy(ROOT / "examples" / "kafka_flights.toml", folder)
    code, out, _ = invoke("check", str(job))
    assert code == 0 and "kafka-flights: 1 source, 1 step, 1 sink" in out
    topic = new_topic(embedded_kafka.address, 3)
    row = '{"at":"2013-01-0%dT05:00:00Z","origin":"%s","carrier":"UA","dep_delay":%s}'
    rows = [(1, "EWR", "2"), (1, "EWR", "4"), (1, "JFK", "null"), (2, "EWR", "-1")]
    values = [*((row % each).encode() for each in rows), b"{"]
    produce(embedded_kafka.address, topic, [(number % 2, None, value) for number, value in enumerate(values)])
    options = [
        f"source.{key}={value}" for key, value in (("servers", embedded_kafka.address), ("topic", topic))
    ]
    code, _, _ = invoke("run", str(job), "--set", options[0], "--set", options[1])
    assert code == 0
    found = pl.read_parquet(folder.parent / "out" / "kafka-flights").select(
        pl.col("window_start").dt.day(), "origin", "flights", "cancelled", "delay"
    )
    assert sorted(found.rows()) == [(1, "EWR", 2, 0, 3.0), (1, "JFK", 1, 1, None), (2, "EWR", 1, 0, -1.0)]
    assert pl.read_parquet(folder.parent / "out" / "bad-flights.parquet")["value"].to_list() == [b"{"]
