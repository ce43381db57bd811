"""The server of the live page: what it answers, whom it refuses, and that it ends."""

import asyncio
import http.client
import json
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from background_runs import Fed, failing, until

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import MissingExtra, PlanError, SinkError
from arrowstream.jobs.job import Job
from arrowstream.page.answers import Answers
from arrowstream.page.server import PageServer
from arrowstream.runtime.background.foreground import Foreground

pytestmark = pytest.mark.once


class Client:
    """Asks a page."""

    def __init__(self, served: PageServer) -> None:
        self.served = served

    def ask(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=60)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        status, headers, text = self.ask(path)
        assert status == 200 and headers["content-type"] == "application/json", text
        return json.loads(text)


def quick(rows: int = 3) -> Pipeline:
    source = Source.from_frame(pl.DataFrame({"x": range(rows)}))
    return Pipeline.builder("quick").source(source).filter(pl.col("x") > 0).sink(Sink.to_fn(len)).build()


def test_the_page_is_there_before_during_and_after_a_run() -> None:
    fed = Fed()
    with fed.pipeline.serve(port=0) as served:
        client = Client(served)
        before = client.json("/state")
        assert (before["state"], before["stages"], before["name"]) == ("ready", [], "fed")
        assert client.json("/history") == {}
        assert client.json("/tail?stage=filter")["said"] == "nothing has run here so far"
        assert [node["id"] for node in client.json("/graph")["outline"]["nodes"]] == [
            "source",
            "filter",
            "sink",
        ]
        assert client.ask("/stop", "POST", {"X-Arrowstream": "page"})[0] == 204  # nothing runs
        with fed.pipeline.start() as running:
            fed.send(1, 2)
            until(lambda: client.json("/state")["rows_out"] == 1)
            now = client.json("/state")
            assert now["state"] == "running" and now["planned"] is True
            assert [stage["id"] for stage in now["stages"]] == ["source", "filter", "sink"]
            until(lambda: client.json("/history") != {})
            assert client.ask("/stop", "POST", {"X-Arrowstream": "page"})[0] == 204
            report = running.wait(60)
        assert report.stopped == "stop"
        assert client.json("/state")["state"] == "done"
        assert (
            client.json("/tail?stage=sink&rows=5")["said"] == "the run ended before its rows were looked at"
        )


def test_last_rows_are_texts_with_the_types_of_their_columns() -> None:
    fed = Fed()
    with fed.pipeline.serve(port=0) as served, fed.pipeline.start():
        client = Client(served)
        until(lambda: client.json("/state")["stages"] != [])
        assert client.json("/tail?stage=filter&rows=2")["said"] == "no rows have passed since"
        fed.send(1, 2, 4, 6)
        until(lambda: client.json("/tail?stage=filter&rows=2")["rows"] == [["4"], ["6"]])
        answer = client.json("/tail?stage=filter&rows=2")
        assert answer["columns"] == [["x", "Int64"]] and answer["costs"][0]["backend"] == "arrow"


def test_values_are_cut_and_nulls_are_no_texts() -> None:
    rows = pl.DataFrame({"a": ["x" * 1000, None]})

    class Viewed:
        def __init__(self) -> None:
            pipeline = quick()
            with pipeline.viewer() as viewer:
                pipeline.run_sync()
                self.snapshot = viewer.snapshot
                self.history = viewer.history
                self.stop = viewer.stop

        def tail(self, stage: str, rows_wanted: int) -> pl.DataFrame:
            return rows

    answer = Answers(Viewed()).tail("sink", 20)
    assert answer["rows"] == [["x" * 299 + "…"], [None]]


def test_a_run_that_its_caller_waits_for_is_shown_too() -> None:
    pipeline = quick(5)
    with pipeline.serve(port=0) as served:
        client = Client(served)
        pipeline.run_sync()
        state = client.json("/state")
        assert (state["state"], state["rows_in"], state["rows_out"]) == ("done", 5, 4)
        assert client.json("/history") == {}  # one sample has no rate


def test_a_run_in_the_foreground_goes_on_while_it_is_looked_at_and_stopped() -> None:
    fed = Fed()
    thread = threading.Thread(target=fed.pipeline.run_sync, daemon=True)
    thread.start()
    until(lambda: fed.pipeline.metrics().running)
    with fed.pipeline.serve(port=0) as served:  # the run has begun before
        client = Client(served)
        until(lambda: client.json("/state")["state"] == "running")
        fed.send(2, 4)
        until(lambda: client.json("/state")["rows_out"] == 2)
        client.json("/tail?stage=sink&rows=2")
        fed.send(6, 8)
        until(lambda: client.json("/tail?stage=sink&rows=2")["rows"] == [["6"], ["8"]])
        until(lambda: client.json("/history") != {})  # sampled because it is asked
        client.ask("/stop", "POST", {"X-Arrowstream": "page"})
        until(lambda: client.json("/state")["state"] == "done")
        client.ask("/stop", "POST", {"X-Arrowstream": "page"})  # its loop is closed
    thread.join(60)
    assert not thread.is_alive()


def test_a_run_that_fails_says_why() -> None:
    source = Source.from_frame(pl.DataFrame({"x": [1]}))
    pipeline = Pipeline.builder("broken").source(source).sink(Sink.to_fn(failing)).build()
    with pipeline.serve(port=0) as served:
        with pytest.raises(SinkError):
            pipeline.run_sync()
        state = Client(served).json("/state")
    assert state["state"] == "failed" and "no room" in state["error"]
    assert state["stages"][-1]["latest_errors"] == ["ValueError: no room"]


def test_half_characters_are_shown_as_escapes() -> None:
    """Names of files may have them, and errors name files."""

    def failing(rows: Any) -> None:
        raise ValueError("no \udcff.csv")

    pipeline = (
        Pipeline.builder()
        .source(Source.from_frame(pl.DataFrame({"x": [1]})))
        .sink(Sink.to_fn(failing))
        .build()
    )
    with pipeline.serve(port=0) as served:
        assert pipeline.start().join(60)
        state = Client(served).json("/state")
    assert state["state"] == "failed" and "no \\udcff.csv" in state["error"]
    assert "no \\udcff.csv" in state["stages"][-1]["latest_errors"][0]


def test_the_secrets_of_a_job_are_masked(tmp_path: Path) -> None:
    """Whoever uses this machine can open the page."""
    data, secret = tmp_path / "in.csv", "hunter2secret"
    data.write_text(f"a\n1\n{secret}\n")
    job = tmp_path / "job.toml"
    job.write_text(
        f'[source]\nkind = "file"\npath = "{data}"\nschema = {{ a = "String" }}\n'
        '[[steps]]\nwith_columns = { b = "a = \'${API_TOKEN}\'", c = "CAST(a AS BIGINT)" }\n'
        f'[sink]\nkind = "file"\npath = "{tmp_path / "out.parquet"}"\n'
    )
    pipeline = Job.load(job, variables={"API_TOKEN": secret}).pipeline()
    with pipeline.serve(port=0) as served:
        client = Client(served)
        assert "***" in client.ask("/graph")[2] and secret not in client.ask("/graph")[2]
        running = pipeline.start()
        assert running.join(60) and secret in str(running.error)
        state = client.json("/state")
        assert "***" in state["error"] and secret not in json.dumps(state)
        assert "a" in client.ask("/tail?stage=sink")[2]


def test_a_run_that_was_cancelled_says_so() -> None:
    fed = Fed()

    async def cancelled() -> None:
        task = asyncio.create_task(fed.pipeline.run())
        await asyncio.sleep(0)  # it begins
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    with fed.pipeline.viewer() as viewer:
        asyncio.run(cancelled())
        assert viewer.snapshot().state == "cancelled"


def test_a_stage_is_waited_for_and_a_tap_goes_when_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    fed = Fed()
    thread = threading.Thread(target=fed.pipeline.run_sync, daemon=True)
    with fed.pipeline.viewer() as viewer:
        thread.start()
        until(lambda: viewer.snapshot().state == "running")
        assert viewer.tail("sink", 1).is_empty()
        monkeypatch.setattr("arrowstream.runtime.background.tap.KEPT_SECONDS", -1.0)
        fed.send(2)  # takes the tap off
        until(lambda: viewer.snapshot().rows_out == 1)
        watched = viewer._watched
        assert isinstance(watched, Foreground) and watched._run.counters["sink"].tap is None
        monkeypatch.undo()
        assert viewer.tail("sink", 1).is_empty()  # asked again: a new tap
        fed.send(4)
        until(lambda: viewer.tail("sink", 1).rows() == [(4,)])
        fed.tx.close()
        thread.join(60)
        assert viewer.snapshot().state == "done" and watched.join(0)


def test_files_have_headers_that_keep_other_sites_out() -> None:
    with quick().serve(port=0) as served:
        client = Client(served)
        size = 0
        for path, kind in (
            ("/", "text/html"),
            ("/start.js", "text/javascript"),
            ("/page.js", "text/javascript"),
            ("/page.css", "text/css"),
        ):
            status, headers, text = client.ask(path)
            assert status == 200 and headers["content-type"].startswith(kind)
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"
            assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
            size += len(text.encode())
        assert size < 200_000
        assert client.ask("/", headers={"Host": "attacker.example"})[0] == 400
        assert client.ask("/", headers={"Host": "localhost:1234"})[0] == 200
        assert client.ask("/stop", "POST")[0] == 403
        assert client.ask("/stop")[0] == 405
        for rows in ("0", "1001", "x", "%C2%B2", "-1", "1" * 5000):
            status, _, text = client.ask(f"/tail?stage=sink&rows={rows}")
            assert status == 400 and text == "rows must be from 1 to 1,000"
        assert client.ask("/tail?stage=nowhere")[0] == 404


def test_a_token_is_asked_for_once() -> None:
    with quick().serve(port=0, token="secret") as served:
        client = Client(served)
        assert served.url.endswith("/?token=secret") and repr(served) == f"<page at {served.url}>"
        assert client.ask("/")[0] == client.ask("/state?token=other")[0] == 403
        status, headers, _ = client.ask("/?token=secret")
        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie
        assert client.ask("/state", headers={"Cookie": cookie.partition(";")[0]})[0] == 200


def test_two_pages_of_one_host_keep_their_cookies_apart() -> None:
    """A browser sends the cookies of one port to all others, too."""
    with quick().serve(port=0, token="one") as first, quick().serve(port=0, token="other") as second:
        asked = [Client(first).ask("/?token=one")[1], Client(second).ask("/?token=other")[1]]
        cookies = dict(headers["set-cookie"].partition(";")[0].split("=") for headers in asked)
        both = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        assert (
            Client(first).ask("/state", headers=both)[0]
            == Client(second).ask("/state", headers=both)[0]
            == 200
        )


def test_an_address_that_others_reach_gets_a_token() -> None:
    with quick().serve(port=0, host="0.0.0.0") as served:
        assert len(served.url.partition("?token=")[2]) >= 32
        assert Client(served).ask("/", headers={"Host": "anything"})[0] == 403
    with quick().serve(port=0, host="localhost") as served:
        assert "token" not in served.url


def test_every_address_of_this_machine_alone_is_asked_by_its_name() -> None:
    with quick().serve(port=0, host="127.0.0.2") as served:
        connection = http.client.HTTPConnection("127.0.0.2", served.port, timeout=60)
        connection.request("GET", "/state")
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_of_ipv6_has_brackets() -> None:
    try:
        server = quick().serve(port=0, host="::1")
    except PlanError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with server as served:
        assert served.url == f"http://[::1]:{served.port}/"


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing() -> None:
    pipeline = quick()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PlanError, match="the page cannot be served") as info:
            pipeline.serve(port)
    assert str(port) in str(info.value) and "port=0" in str(info.value)
    with pytest.raises(PlanError, match="cannot be served"):
        pipeline.serve(0, "no.such.host.invalid")
    assert pipeline._viewers == []
    with pipeline.serve(port=0):
        assert len(pipeline._viewers) == 1
    assert pipeline._viewers == []


def test_without_its_libraries_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(MissingExtra, match="notebook"):
        quick().serve(port=0)


def test_a_page_that_is_looked_at_is_told_the_end_before_the_server_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("arrowstream.page.answers.LOOKS", 600.0)
    monkeypatch.setattr("arrowstream.page.server.LOOKS", 600.0)
    fed = Fed()
    served = fed.pipeline.serve(port=0)
    client = Client(served)
    with fed.pipeline.start():
        until(lambda: client.json("/state")["state"] == "running")
    closing = threading.Thread(target=served.close)
    closing.start()
    closing.join(0.5)
    assert closing.is_alive()
    assert client.json("/state")["state"] == "done"
    closing.join(60)
    assert not closing.is_alive()


def test_a_page_that_is_closed_during_a_run_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.page.server._EVERY", 600.0)
    fed = Fed()
    with fed.pipeline.start(), fed.pipeline.serve(port=0) as served:
        until(lambda: Client(served).json("/state")["state"] == "running")


def test_nobody_who_looks_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.page.answers.LOOKS", -1.0)
    monkeypatch.setattr("arrowstream.page.server._EVERY", 600.0)
    fed = Fed()
    with fed.pipeline.serve(port=0) as served, fed.pipeline.start():
        until(lambda: Client(served).json("/state")["state"] == "running")


def test_a_page_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.page.answers.LOOKS", 600.0)
    monkeypatch.setattr("arrowstream.page.server.LOOKS", 0.0)
    fed = Fed()
    with fed.pipeline.serve(port=0) as served, fed.pipeline.start():
        until(lambda: Client(served).json("/state")["state"] == "running")
