"""Pictures of counters, as values, as Prometheus text, and over HTTP."""

import math
import socket
import sys
import threading
import urllib.request
from dataclasses import FrozenInstanceError
from http.client import HTTPConnection
from typing import ClassVar

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from servers.processes import free_ports

from arrowstream.core.batch import Barrier, Batch, Idle, Watermark
from arrowstream.core.channel import ChannelStatistics
from arrowstream.errors import MissingExtra, PlanError
from arrowstream.metrics.backlog import Backlog
from arrowstream.metrics.counters import NOTES, SAMPLE, StageCounters
from arrowstream.metrics.server import _server_class, serve
from arrowstream.metrics.snapshot import Metrics
from arrowstream.metrics.stage import StageMetrics

pytestmark = pytest.mark.once

Samples = dict[tuple[str, ...], float]


def counted() -> dict[str, StageCounters]:
    """Counters of a source, a stage and a sink, each number its own."""
    source, stage, sink = StageCounters("source"), StageCounters("filter"), StageCounters("sink")
    source.rows_in, source.rows_out = 1_000, 900
    source.record_call("read")
    stage.rows_in = 1_000
    for kind, rows, taken_ms in (("arrow", 600, 2), ("polars", 300, 4), ("polars", 100, 4)):
        stage.record_batch(kind, rows, taken_ms * 1_000_000, taken_ms * 1_000_000)
    stage.record_output(Batch(pl.DataFrame({"x": range(750)})))
    stage.errors, stage.late_rows, stage.dropped_rows = 2, 7, 9
    stage.record_skipped(3)
    stage.record_skipped(1)
    for mark in (Watermark(8_000_000), Barrier(1), Idle()):
        stage.record_mark(mark)
    stage.queues = [lambda: ChannelStatistics(1, 4_096, 2, 0, 0), lambda: ChannelStatistics(0, 0, 3, 0, 0)]
    sink.rows_out = 700
    sink.record_batch("write", 700, 500, 1_000_000)
    return {"source": source, "stage": stage, "sink": sink}


def picture() -> Metrics:
    counters = counted()
    return Metrics.of(
        "late",
        sources=[counters["source"]],
        between=[counters["stage"]],
        sinks=[counters["sink"]],
        side=[StageCounters("late rows of filter")],
        queues=[lambda: ChannelStatistics(1, 0, 2, 0, 0), lambda: ChannelStatistics(2, 0, 2, 0, 0)],
        seconds=2.0,
        running=True,
        wall_us=10_500_000,
    )


def samples(text: str) -> Samples:
    """Every sample by its name and the values of its labels."""
    order = ("pipeline", "stage", "backend", "partition", "le")
    return {
        (sample.name, *(sample.labels[label] for label in order if label in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_stage() -> None:
    stage = picture().stages["filter"]
    assert (stage.rows_in, stage.rows_out, stage.busy_seconds) == (1_000, 750, 0.01)
    assert stage.batches == {"arrow": 1, "polars": 2}
    assert (stage.queue_depth, stage.queue_bytes, stage.queue_capacity) == (1, 4_096, 5)
    assert (stage.errors, stage.failed_rows, stage.late_rows, stage.dropped_rows) == (2, 4, 7, 9)
    assert (stage.watermark_us, stage.watermark_lag_seconds) == (8_000_000, 2.5)
    assert stage.nbytes == 750 * 8
    assert stage.latency.count == 1_000
    assert stage.latency.p50_ms == pytest.approx(2, rel=0.01)
    assert stage.latency.p99_ms == stage.latency.p999_ms == pytest.approx(4, rel=0.01)


def test_the_pipeline() -> None:
    metrics = picture()
    assert list(metrics.stages) == ["source", "filter", "sink", "late rows of filter"]
    assert (metrics.rows_in, metrics.rows_out, metrics.throughput) == (1_000, 700, 500.0)
    assert (metrics.queue_depth, metrics.errors, metrics.running) == (3, 2, True)
    # What rows took on their whole way is what the sinks have counted.
    assert metrics.latency_p50_ms == metrics.latency_p99_ms == pytest.approx(1, rel=0.01)


def test_several_sinks_count_together() -> None:
    fast, slow = StageCounters("sink"), StageCounters("sink")
    fast.record_batch("write", 99, 0, 1_000_000)
    slow.record_batch("write", 2, 0, 50_000_000)
    fast.rows_out, slow.rows_out = 99, 2
    metrics = Metrics.of("two", sinks=[fast, slow])
    assert list(metrics.stages) == ["sink", "sink #2"]
    assert metrics.rows_out == 101
    assert metrics.latency_p50_ms == pytest.approx(1, rel=0.01)
    assert metrics.latency_p99_ms == pytest.approx(50, rel=0.01)


def test_before_anything_ran() -> None:
    metrics = Metrics.of("new", between=[StageCounters("map"), StageCounters("map"), StageCounters("map")])
    assert list(metrics.stages) == ["map", "map #2", "map #3"]
    assert metrics.stages["map"] == StageMetrics("map", latency=metrics.stages["map"].latency)
    assert (metrics.throughput, metrics.queue_depth, metrics.rows_in) == (0.0, 0, 0)
    assert math.isnan(metrics.latency_p50_ms)
    assert math.isnan(metrics.latency_p99_ms)


def test_a_picture_does_not_change() -> None:
    counters = StageCounters("map")
    metrics = Metrics.of("p", between=[counters])
    counters.record_batch("arrow", 1, 1, 1)
    counters.rows_in = counters.errors = 1
    stage = metrics.stages["map"]
    assert (stage.rows_in, dict(stage.batches), stage.latency.count, stage.errors) == (0, {}, 0, 0)
    with pytest.raises(FrozenInstanceError):
        stage.rows_in = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        metrics.stages["other"] = stage  # type: ignore[index]
    with pytest.raises(TypeError):
        stage.batches["arrow"] = 5  # type: ignore[index]


def test_bytes_are_measured_on_a_sample() -> None:
    counters = StageCounters("map")
    small, large = Batch(pl.DataFrame({"x": [1]})), Batch(pl.DataFrame({"x": [1], "y": [2]}))
    assert counters.nbytes == 0
    # Without rows, a batch says nothing of their size.
    counters.record_output(Batch(pl.DataFrame(schema={"x": pl.Int64})))
    # The first one is measured, the next, the one 4 after that, 16 after that, ... and then each of so many.
    turns = [1, 2, 6, 22, 86, 342, 342 + SAMPLE, 342 + 2 * SAMPLE]
    for number in range(1, turns[-1] + 1):
        counters.record_output(large if number == turns[-1] else small)
        # Batches that are not measured count as those that were.
        assert counters.nbytes == (number * 8 if number < turns[-1] else round(number * (7 * 8 + 16) / 8))
    for number in range(turns[-1] + 1, turns[-1] + SAMPLE):
        counters.record_output(large)
        assert counters.nbytes == round(number * (7 * 8 + 16) / 8)


@given(rows=st.lists(st.integers(0, 2_000), min_size=1, max_size=30))
def test_bytes_of_rows_of_one_width_are_exact(rows: list[int]) -> None:
    counters = StageCounters("map")
    for height in rows:
        counters.record_output(Batch(pl.DataFrame({"x": range(height)}, schema={"x": pl.Int64})))
    assert (counters.rows_out, counters.nbytes) == (sum(rows), 8 * sum(rows))


def test_notes_are_added_up_and_seen_before() -> None:
    counters = StageCounters("map")
    for number in range(1, 2 * NOTES + 5):
        counters.record_batch("arrow" if number % 2 else "polars", number, 10, number * 1_000_000)
        moment = counters.snapshot(0)
        assert sum(moment.batches.values()) == number
        assert moment.busy_seconds == number * 10 / 1e9
        assert moment.latency.count == counters.latency.count == number * (number + 1) / 2
    counters.flush()
    assert counters.batches == {"arrow": NOTES + 2, "polars": NOTES + 2}
    assert counters.busy_ns == (2 * NOTES + 4) * 10


def test_a_batch_of_unknown_age_counts_but_for_its_age() -> None:
    counters = StageCounters("sink")
    counters.record_batch("write", 0, 10, 10)
    moment = counters.snapshot(0)
    assert (dict(moment.batches), moment.busy_seconds, moment.latency.count) == ({"write": 1}, 1e-8, 0)


def test_counters_never_go_back_while_others_look() -> None:
    counters, seen, stop = StageCounters("map"), [0], threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.append(counters.snapshot(0).latency.count)

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(20_000):
        counters.record_batch("arrow", 1, 1, 1_000)
    stop.set()
    thread.join()
    assert seen == sorted(seen)
    assert counters.latency.count == 20_000


def test_prometheus_text() -> None:
    found = samples(picture().export_prometheus())
    stage = ("late", "filter")
    expected = {
        ("arrowstream_run_seconds", "late"): 2.0,
        ("arrowstream_rows_in_total", *stage): 1_000,
        ("arrowstream_rows_out_total", *stage): 750,
        ("arrowstream_bytes_total", *stage): 6_000,
        ("arrowstream_busy_seconds_total", *stage): 0.01,
        ("arrowstream_errors_total", *stage): 2,
        ("arrowstream_failed_rows_total", *stage): 4,
        ("arrowstream_late_rows_total", *stage): 7,
        ("arrowstream_dropped_rows_total", *stage): 9,
        ("arrowstream_batches_total", *stage, "arrow"): 1,
        ("arrowstream_batches_total", *stage, "polars"): 2,
        ("arrowstream_queue_batches", *stage): 1,
        ("arrowstream_queue_bytes", *stage): 4_096,
        ("arrowstream_queue_capacity_batches", *stage): 5,
        ("arrowstream_watermark_lag_seconds", *stage): 2.5,
        ("arrowstream_latency_seconds_bucket", *stage, "0.001"): 0,
        ("arrowstream_latency_seconds_bucket", *stage, "0.005"): 1_000,
        ("arrowstream_latency_seconds_bucket", *stage, "+Inf"): 1_000,
        ("arrowstream_latency_seconds_count", *stage): 1_000,
        ("arrowstream_rows_out_total", "late", "sink"): 700,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found["arrowstream_latency_seconds_sum", *stage] == pytest.approx(2.8, rel=0.01)
    # Without event time there is no lag, rather than one of zero.
    assert ("arrowstream_watermark_lag_seconds", "late", "sink") not in found


def test_what_a_source_has_not_read_yet() -> None:
    class Behind(Backlog):
        lag: ClassVar = {"t[0]": 7, "t[1]": 0}
        rebalances = 3

    metrics = Metrics.of("p", sources=[StageCounters("source", Behind())], sinks=[StageCounters("sink")])
    assert dict(metrics.stages["source"].lag) == Behind.lag and metrics.stages["source"].rebalances == 3
    assert dict(metrics.stages["sink"].lag) == {} and metrics.stages["sink"].rebalances == 0
    found = samples(metrics.export_prometheus())
    assert found["arrowstream_source_lag_offsets", "p", "source", "t[0]"] == 7
    assert found["arrowstream_source_rebalances_total", "p", "source"] == 3


def test_names_that_prometheus_must_not_misread() -> None:
    odd = 'a "b" \\ \n c'
    found = samples(Metrics.of(odd, between=[StageCounters(odd)]).export_prometheus())
    assert found["arrowstream_rows_in_total", odd, odd] == 0


def test_a_scrape_gets_a_fresh_picture() -> None:
    counters = StageCounters("map")
    with serve(lambda: Metrics.of("p", between=[counters]), port=0) as server:
        for rows in (1, 2):
            counters.rows_in = rows
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
                assert answer.headers["Content-Type"].startswith("text/plain; version=")
                found = samples(answer.read().decode())
            assert found["arrowstream_rows_in_total", "p", "map"] == rows


def answer_of(port: int, path: str) -> tuple[int, str]:
    """The status and the text of an answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_health_is_that_of_the_run() -> None:
    running = False
    with serve(lambda: Metrics.of("p", running=running), port=0) as server:
        assert answer_of(server.port, "/healthz") == (503, "not running\n")
        running = True
        assert answer_of(server.port, "/healthz?verbose") == (200, "running\n")
        # Others have the metrics, whether a run is in progress or not.
        for path in ("/metrics", "/"):
            status, text = answer_of(server.port, path)
            assert status == 200 and "arrowstream_run_seconds" in text
        running = False
        assert answer_of(server.port, "/healthz") == (503, "not running\n")


def test_a_server_listens_on_addresses_of_both_families() -> None:
    assert _server_class("127.0.0.1", 0).address_family is socket.AF_INET
    assert _server_class("::1", 0).address_family is socket.AF_INET6


def test_a_closed_server_is_gone() -> None:
    before = {*threading.enumerate()}
    [port] = free_ports(1)
    server = serve(lambda: Metrics.of("p"), port=port)
    server.close()
    server.close()
    for thread in {*threading.enumerate()} - before:
        thread.join(60)  # one that has answered ends a moment later
    assert {*threading.enumerate()} <= before
    again = serve(lambda: Metrics.of("p"), port=port)
    with again, pytest.raises(PlanError, match=f"127.0.0.1:{port}: .*in use"):
        serve(lambda: Metrics.of("p"), port=port)


@pytest.mark.parametrize(
    "use", [lambda: Metrics.of("p").export_prometheus(), lambda: serve(lambda: Metrics.of("p"), port=0)]
)
def test_the_extra_is_named_where_it_is_missing(use, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtra, match=r"arrowstream\[metrics\]"):
        use()
