"""Secrets of sources and sinks are in nothing that a run with checkpoints writes or shows."""

import logging
import traceback
import uuid
from pathlib import Path

import polars as pl
import pytest
from checkpoints.killed_sinks import new_place
from epoch_files import PacedSource
from servers.kafka import PASSWORD, USER, KafkaServer
from servers.postgresql import USER as LOGIN
from servers.topics import new_topic

from arrowstream import Pipeline, Sink
from arrowstream.checkpoints.layout import complete_epochs
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.errors import ArrowstreamError
from arrowstream.io.kafka.security import KafkaSecurity
from arrowstream.io.sink import SinkSpec
from arrowstream.metrics.prometheus import exposition

pytestmark = [pytest.mark.once, pytest.mark.untraced]

SECRET = "hunter2-is-secret"


def fail_later(reached: Failpoint) -> None:
    """Fail in the second epoch, when the first one is complete."""
    if reached is Failpoint.EPOCH_MARKED:
        raise OSError("the disk is broken")


def check(sink: SinkSpec, secret: str, state: Path, caplog: pytest.LogCaptureFixture, complete: int) -> None:
    """Run into the sink, which fails, and look for the secret."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "aiokafka")  # which shows requests of a login, if it is asked for all
    frames = [pl.DataFrame({"x": [number]}) for number in range(3)]
    job = Pipeline.builder(uuid.uuid4().hex).source(PacedSource(frames, 1)).sink(sink).build()
    with pytest.raises(ArrowstreamError) as raised, on_reach(fail_later):
        job.run_sync(checkpoint=state, every="1ms")
    assert len(complete_epochs(state)) == complete
    shown = [repr(sink), repr(job), str(job), job.explain(), exposition(job.metrics()), caplog.text]
    shown += traceback.format_exception(raised.value)
    assert not [text for text in shown if secret in text]
    files = [path for path in state.rglob("*") if path.is_file()]
    assert files and not [path for path in files if secret.encode() in path.read_bytes()]


@pytest.mark.parametrize("written", [SECRET, "env:SECRET_OF_THE_TEST"])
def test_a_server_that_does_not_answer(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TEST", SECRET)
    sink = Sink.to_database(f"postgresql://me:{written}@127.0.0.1:9/d", "t")
    check(sink, SECRET, tmp_path / "state", caplog, complete=0)


def test_a_database(request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = new_place(tmp_path, ["postgresql"], request.getfixturevalue)
    uri = place.postgresql.replace(f"{LOGIN}@", f"{LOGIN}:{SECRET}@")
    assert SECRET in uri
    check(Sink.to_database(uri, "t"), SECRET, tmp_path / "state", caplog, complete=1)


def test_kafka(kafka: KafkaServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    security = KafkaSecurity(mechanism="PLAIN", username=USER, password=PASSWORD)
    sink = Sink.to_kafka(kafka.sasl_address, new_topic(kafka.address), security=security)
    check(sink, PASSWORD, tmp_path / "state", caplog, complete=1)
