"""Jobs with ``[checkpoint]`` on the command line: what runs print, and their exit codes."""

import signal
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from command_line import invoke

from arrowstream import Source
from arrowstream.jobs import connectors as job_parts

pytestmark = pytest.mark.once

JOB = """
[source]
kind = "file"
path = "in/*.csv"
[[steps]]
filter = "x > 1"
[sink]
kind = "file"
path = "out.csv"
[checkpoint]
path = "state/"
every = "1s"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/1.csv").write_text("x\n1\n2\n")
    Path("daily.toml").write_text(JOB)


def test_each_run_goes_on_where_the_one_before_it_ended() -> None:
    code, out, _ = invoke("run", "daily.toml")
    assert code == 0 and "the newest is epoch 1 " in out and out.rstrip().endswith("from the beginning")
    Path("in/2.csv").write_text("x\n3\n")
    code, out, _ = invoke("run", "daily.toml")
    assert code == 0 and "continued from epoch 1" in out
    assert pl.read_csv("out.csv")["x"].to_list() == [2, 3]
    code, out, _ = invoke("checkpoints", "state")
    assert code == 0 and "epoch 2: daily, run 2" in out


def test_the_beginning_again_is_said_to_repeat_rows(caplog: pytest.LogCaptureFixture) -> None:
    invoke("run", "daily.toml")
    code, _, _ = invoke("run", "daily.toml", "--from-checkpoint", "ignore")
    assert code == 0 and "starts from the beginning" in caplog.text
    assert pl.read_csv("out.csv")["x"].to_list() == [2, 2]


def test_what_does_not_go_with_checkpoints_is_refused_before_the_run() -> None:
    code, _, err = invoke("run", "daily.toml", "--limit", "1")
    assert code == 2 and "a run with checkpoints takes no limit" in err and not Path("out.csv").exists()


def test_a_changed_job_is_refused() -> None:
    invoke("run", "daily.toml")
    Path("daily.toml").write_text(JOB.replace("x > 1", "x > 2"))
    code, _, err = invoke("run", "daily.toml")
    assert code == 1 and "of another pipeline" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path = 1", "path"),
        ('path = "s/"\nevry = "1s"', "did you mean 'every'"),
        ('every = "1s"', "missing key 'path'"),
    ],
)
def test_a_mistake_in_the_table_names_its_line(text: str, message: str) -> None:
    Path("daily.toml").write_text(JOB.partition("[checkpoint]")[0] + f"[checkpoint]\n{text}\n")
    code, _, err = invoke("check", "daily.toml")
    assert code == 2 and message in err and err.startswith("daily.toml:")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 3)])
def test_a_service_that_is_stopped_has_done_its_work(
    number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def counted(resume: int | None) -> AsyncIterator[tuple[pl.DataFrame, int]]:
        start = resume or 0
        for n in count(start):
            if n == start + 3:
                signal.raise_signal(number)
            yield pl.DataFrame({"x": [n]}), n + 1

    source = Source.from_fn(counted, schema={"x": pl.Int64}, resumable=True)
    monkeypatch.setitem(job_parts.SOURCES, "counted", job_parts.Connector(lambda: source, {}))
    Path("daily.toml").write_text(JOB.replace('kind = "file"\npath = "in/*.csv"', 'kind = "counted"'))
    for _ in range(2):
        found, out, _ = invoke("run", "daily.toml")
        assert found == code and f"ended early ({number.name})" in out
    rows = pl.read_csv("out.csv")["x"].to_list()
    assert rows == list(range(2, len(rows) + 2))
