"""What the command line does with jobs beyond running them: check, preview, JSON, --set, the folder of paths."""

import io
import json
import math
import os
import re
import signal
import threading
from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import invoke

from arrowstream import Pipeline, Source
from arrowstream.errors import JobError, SinkError
from arrowstream.io.memory.function_sink import FunctionSink
from arrowstream.jobs import connectors as job_parts
from arrowstream.jobs.connectors import Connector
from arrowstream.runtime.report import RunReport
from arrowstream.testing import TestSource

pytestmark = pytest.mark.once

JOB = """\
[pipeline]
name = "late"
[source]
kind = "file"
path = "${NAME:-in}.csv"
[[steps]]
filter = "a > 1"
[[steps]]
with_columns = { c = "a * 2" }
[sink]
kind = "file"
path = "out.parquet"
"""
OUT = {"a": [2, 3], "b": ["y", "z"], "c": [4, 6]}
SCHEMA = {"a": "Int64", "b": "String", "c": "Int64"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with data and a job in it."""
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("a,b\n1,x\n2,y\n3,z\n")
    Path("job.toml").write_text(JOB)
    return tmp_path


def answer(*arguments: str) -> tuple[int, dict[str, Any], str]:
    code, out, err = invoke(*arguments, "--json")
    assert out.count("\n") == 1
    found = json.loads(out)
    assert found["exit_code"] == code
    return code, found, err


# ---- check -----------------------------------------------------------------------------------------


def test_check_says_what_a_job_is_and_runs_nothing() -> None:
    assert invoke("check", "job.toml") == (
        0,
        "job.toml: ok\n  late: 1 source, 2 steps, 1 sink\n  out: a Int64, b String, c Int64\n",
        "",
    )
    assert not Path("out.parquet").exists()
    code, found, err = answer("check", "job.toml")
    assert (code, err) == (0, "")
    summary = "late: 1 source, 2 steps, 1 sink"
    one = {"job": "job.toml", "ok": True, "name": "late", "summary": summary, "schema": SCHEMA, "error": None}
    assert found == {"ok": True, "exit_code": 0, "jobs": [one]}


def test_check_goes_on_after_a_wrong_job() -> None:
    Path("bad.toml").write_text(JOB.replace("a > 1", "d > 1"))
    code, out, err = invoke("check", "bad.toml", "none.toml", "job.toml")
    assert code == 2
    assert out.startswith("job.toml: ok\n")
    assert err.splitlines()[0].startswith("bad.toml:7: 'filter' in [[steps]]: ")
    assert err.splitlines()[1:] == ["none.toml: no such file"]
    code, found, json_err = answer("check", "bad.toml", "none.toml", "job.toml")
    assert (code, json_err) == (2, err)
    assert [one["ok"] for one in found["jobs"]] == [False, False, True]
    assert found["jobs"][1]["error"] == {
        "type": "JobError",
        "message": "none.toml: no such file",
        "stage": None,
        "position": None,
        "notes": [],
    }


def test_check_where_the_source_declares_no_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    source = TestSource.from_list([1]).undeclared()
    monkeypatch.setitem(job_parts.SOURCES, "later", Connector(lambda: source, {}))
    Path("job.toml").write_text('source = { kind = "later" }\nsink = { kind = "file", path = "o.csv" }')
    assert invoke("check", "job.toml") == (
        0,
        "job.toml: ok\n  job: 1 source, 0 steps, 1 sink\n  out: known only once the first batch has come\n",
        "",
    )


def test_wrong_settings_are_the_error_of_a_check() -> None:
    Path("arrowstream.toml").write_text("[streaming]\nworker_threads = 0\n")
    code, found, _ = answer("check", "job.toml")
    assert code == 2
    assert found["jobs"][0]["error"]["type"] == "SettingsError"


# ---- JSON ------------------------------------------------------------------------------------------


def test_the_report_as_json() -> None:
    code, found, err = answer("run", "job.toml")
    assert (code, err) == (0, "")
    assert list(found) == [
        *("ok", "exit_code", "job", "name", "rows_in", "rows_out", "seconds", "rows_per_second"),
        *("stopped", "lost_rows", "losses", "checkpoints", "stages", "tables", "error"),
    ]
    assert (found["ok"], found["job"], found["name"]) == (True, "job.toml", "late")
    assert (found["rows_in"], found["rows_out"], found["lost_rows"]) == (3, 2, 0)
    assert found["stopped"] is found["losses"] is found["checkpoints"] is found["error"] is None
    assert [(stage["rows_in"], stage["rows_out"]) for stage in found["stages"]][::2] == [(3, 3), (2, 2)]
    assert all(isinstance(stage["batches"], dict) for stage in found["stages"]) and found["tables"] == {}
    assert pl.read_parquet("out.parquet").to_dict(as_series=False) == OUT
    assert answer("run", "job.toml", "--limit", "1", "--quiet")[1]["stopped"] == "limit"


def test_a_refused_job_as_json() -> None:
    Path("job.toml").write_text(JOB.replace("filter", "fitler"))
    code, found, err = answer("run", "job.toml")
    message = "job.toml:7: unknown key 'fitler' in [[steps]] (did you mean 'filter'?)"
    assert (code, err) == (2, f"{message}\n")
    assert (found["ok"], found["rows_in"], found["stages"]) == (False, None, None)
    assert found["error"]["message"] == message


def failing(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(batch: object) -> None:
        raise error

    monkeypatch.setitem(job_parts.SINKS, "failing", Connector(lambda: FunctionSink(fail), {}))
    Path("job.toml").write_text(JOB.replace('kind = "file"\npath = "out.parquet"', 'kind = "failing"'))


def test_a_failed_run_as_json_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("hunter2.csv").write_text("a,b\n2,y\n")
    error = SinkError("the door hunter2 is shut", hint="open hunter2")
    error.add_note("and: hunter2")
    failing(error, monkeypatch)
    job = Path("job.toml")
    job.write_text(job.read_text().replace("${NAME:-in}", "${A_TOKEN}"))
    monkeypatch.setenv("A_TOKEN", "hunter2")
    code, found, err = answer("run", "job.toml")
    assert (code, found["ok"], found["rows_in"]) == (1, False, None)
    assert found["error"] == {
        "type": "SinkError",
        "message": "the door *** is shut; hint: open ***",
        "stage": "sink",
        "position": "***.csv rows 0-1",
        "notes": ["and: ***"],
    }
    assert "***" in err and "hunter2" not in err
    job.write_text(JOB.replace("${NAME:-in}", "${A_TOKEN}"))
    assert "***.csv" in invoke("explain", "job.toml")[1]


def test_values_that_json_lacks() -> None:
    frame = pl.DataFrame(
        {
            "x": [1.5, math.inf],
            "xs": [[math.nan], None],
            "d": [date(2026, 1, 2), None],
            "s": [{"t": 0.1}, None],
        }
    ).with_columns(b=pl.lit(b"\xff"), t=pl.lit(timedelta(seconds=1)))
    frame.write_parquet("in.parquet")
    Path("job.toml").write_text(
        'source = { kind = "file", path = "in.parquet" }\nsink = { kind = "file", path = "o.parquet" }'
    )
    code, found, _ = answer("run", "job.toml", "--preview", "9")
    assert code == 0
    last = {"b": "b'\\xff'", "t": "0:00:01"}
    assert found["rows"] == [
        {"x": 1.5, "xs": [None], "d": "2026-01-02", "s": {"t": 0.1}, **last},
        {"x": None, "xs": None, "d": None, "s": None, **last},
    ]


# ---- preview ---------------------------------------------------------------------------------------


def test_a_preview_prints_rows_and_writes_nothing() -> None:
    before = sorted(Path().iterdir())
    code, out, err = invoke("run", "job.toml", "--preview", "1")
    assert (code, err) == (0, "")
    assert "shape: (1, 3)" in out and "│ 2 " in out and "│ 3 " not in out
    code, found, err = answer("run", "--preview", "10", "job.toml")
    assert (code, err) == (0, "")
    rows = pl.DataFrame(OUT).to_dicts()
    assert found == {
        **{"ok": True, "exit_code": 0, "job": "job.toml"},
        **{"stopped": None, "schema": SCHEMA, "rows": rows, "error": None},
    }
    assert sorted(Path().iterdir()) == before


def test_the_live_page_is_served_while_a_job_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    run_sync = Pipeline.run_sync

    def looked_at(pipeline: Pipeline, **options: Any) -> RunReport:
        assert len(pipeline._viewers) == 1
        return run_sync(pipeline, **options)

    monkeypatch.setattr(Pipeline, "run_sync", looked_at)
    code, _, err = invoke("run", "job.toml", "--page", "0")
    assert code == 0 and re.search(r"live page: http://127\.0\.0\.1:\d+/\n", err), err
    assert "live page" not in invoke("run", "job.toml", "--page", "0", "--quiet")[2]


def test_a_preview_has_the_mistakes_of_a_run() -> None:
    assert invoke("run", "job.toml", "--preview", "1", "--page", "0")[0] == 2
    assert invoke("run", "job.toml", "--preview", "1", "--limit", "1")[0] == 2
    assert invoke("run", "job.toml", "--preview", "0")[0] == 2
    Path("job.toml").write_text(JOB.replace("a > 1", "d > 1"))
    code, found, err = answer("run", "job.toml", "--preview", "1")
    assert (code, found["error"]["message"] + "\n") == (2, err)
    Path("in.csv").write_text("a,b\n" + "1,x\n" * 20_000 + "one,x\n")
    Path("job.toml").write_text(
        JOB.replace('in}.csv"', "in}.csv\"\nschema = { a = 'Int64' }").replace("a > 1", "a > 2")
    )
    code, found, err = answer("run", "job.toml", "--preview", "1")
    assert (code, found["error"]["stage"]) == (1, "source")


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGINT, signal.SIGTERM]])
def test_signals_end_a_preview(numbers: list[signal.Signals], monkeypatch: pytest.MonkeyPatch) -> None:
    class NoTimer(threading.Thread):
        """Stands for `threading.Timer`, which would end the tests."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__()

        def cancel(self) -> None:
            self.join()

    async def batches() -> AsyncIterator[pl.DataFrame]:
        yield pl.DataFrame({"a": [2]})
        for number in numbers:
            signal.raise_signal(number)
        while True:
            yield pl.DataFrame({"a": [0]})

    monkeypatch.setattr(threading, "Timer", NoTimer)
    endless = Connector(lambda: Source.from_fn(batches, schema={"a": pl.Int64}), {})
    monkeypatch.setitem(job_parts.SOURCES, "endless", endless)
    Path("job.toml").write_text(JOB.replace('kind = "file"\npath = "${NAME:-in}.csv"', 'kind = "endless"'))
    code, found, err = answer("run", "job.toml", "--preview", "9")
    if len(numbers) == 1:
        assert (code, found["stopped"], found["rows"]) == (3, "SIGINT", [{"a": 2, "c": 4}])
    else:
        assert (code, found["ok"], found["error"]["type"]) == (143, False, "RunInterrupted")
        assert "a second signal, SIGTERM, ended the run" in err


# ---- --set and paths -------------------------------------------------------------------------------


def test_set_in_every_command() -> None:
    step = ["--set", "steps.0.filter=a > 2"]
    assert answer("run", "job.toml", *step, "--set", "sink.path=o.csv")[1]["rows_out"] == 1
    assert Path("o.csv").exists()
    assert "a > 2" in invoke("explain", "job.toml", *step)[1]
    rename = ["--set", 'steps.1={ select = ["a"] }']
    assert invoke("schema", "job.toml", *rename)[1].endswith('# step 2 select (job.toml:8)\na = "Int64"\n')
    assert "out: a Int64\n" in invoke("check", "job.toml", *rename)[1]
    assert "schema" in answer("run", "job.toml", "--preview", "1", *rename)[1]
    count = JOB.count("[[steps]]")
    added = ["--set", f'steps.{count}={{ select = ["a"] }}']
    assert invoke("schema", "job.toml", *added)[1].endswith('a = "Int64"\n')
    wrong = ["--set", f'steps.{count}={{ select = ["zz"] }}']
    for command in ("run", "check", "explain", "schema"):
        code, _, err = invoke(command, "job.toml", *wrong)
        assert code == 2 and "zz" in err and f"--set steps.{count}" in err
        code, out, err = invoke(command, "job.toml", "--set", "snk.path=x")
        assert (code, out) == (2, "")
        assert err == "--set snk.path: unknown key 'snk' in the job (did you mean 'sink'?)\n"


@pytest.mark.untraced
def test_paths_in_every_command(folder: Path) -> None:
    (folder / "jobs").mkdir()
    os.renames("job.toml", "jobs/job.toml")
    for command in ("run", "check", "explain", "schema"):
        code, _, err = invoke(command, "jobs/job.toml")
        assert (code, err.split(";")[0]) == (
            2,
            "jobs/job.toml:5: 'path' in [source]: there is no file jobs/in.csv",
        )
        assert invoke(command, "jobs/job.toml", "--relative-to-cwd")[0] == 0
    assert Path("out.parquet").exists()


def test_the_same_from_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("eu.csv").write_text("a,b\n7,x\n")
    monkeypatch.setenv("NAME", "none")
    job = folder / "job.toml"
    report = Pipeline.from_toml(job, variables={"NAME": "eu"}, set={"sink.path": folder / "o.csv"}).run_sync()
    assert (report.name, report.rows_out) == ("late", 1)
    assert pl.read_csv("o.csv")["c"].to_list() == [14]
    with pytest.raises(JobError, match=r"there is no file .*none\.csv"):
        Pipeline.from_toml(job)
    with pytest.raises(JobError, match=r"there is no file elsewhere/eu\.csv"):
        Pipeline.from_toml(job, variables={"NAME": "eu"}, relative_to="elsewhere")


def test_a_row_that_cannot_be_read_is_no_mistake_in_the_job() -> None:
    Path("broken.csv").write_text('a,b\n1,"x\n2,y\n')
    for command in ("run", "check", "explain", "schema"):
        code, out, err = invoke(command, "job.toml", "--set", "source.path=broken.csv")
        assert (code, out) == (1, "") and "never closed" in err
    assert invoke("check", "job.toml", "missing.toml", "--set", "source.path=broken.csv")[0] == 2
    assert (
        json.loads(invoke("check", "--json", "job.toml", "--set", "source.path=broken.csv")[1])["exit_code"]
        == 1
    )


def bytes_of(write: Callable[[pl.DataFrame, io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(pl.DataFrame(OUT), file)
    return file.getvalue()


PARQUET, SHEET = bytes_of(pl.DataFrame.write_parquet), bytes_of(pl.DataFrame.write_excel)


@pytest.mark.parametrize(
    ("path", "content", "options", "expected"),
    [
        ("x.csv", b"", {}, 1),
        ("x.csv", b'a,b\n1,"x\n', {}, 1),
        ("x.csv", PARQUET, {}, 1),
        ("x.json", b'[{"a": 1', {}, 1),
        ("x.parquet", PARQUET[:-20], {}, 1),
        ("x.avro", b"no such file", {}, 1),
        ("x.xlsx", SHEET[:-20], {}, 1),
        ("x.xlsx", SHEET, {"sheet": "other"}, 2),
        ("x.csv", b"a,b\n1,2\n", {"schema": "{z = 'Int64'}"}, 2),
        ("other.csv", None, {}, 2),
    ],
)
def test_data_that_cannot_be_read_and_a_wrong_job_have_codes_of_their_own(
    path: str, content: bytes | None, options: dict[str, str], expected: int
) -> None:
    if content is not None:
        Path(path).write_bytes(content)
    options |= {"path": path}
    assignments = (word for name, value in options.items() for word in ("--set", f"source.{name}={value}"))
    assert invoke("schema", "job.toml", *assignments)[0] == expected


@pytest.mark.parametrize(
    ("assignment", "found"),
    [
        ("steps.1.with_columns.c=sum(a)", "found: a.sum(), in c = "),
        ("steps.1.with_columns.c=sum(a)", "cum_sum() in 'scan'"),
        ('steps.0.filter=b = "Oslo"', "a text stands in single quotes: 'Oslo'"),
        ('steps.0.filter=["a > 1", """b = "Oslo" """]', "a text stands in single quotes: 'Oslo'"),
        ("steps.0.filter=Oslo > 1", "found: Oslo\n"),
        ("steps.0.filter=*", "leave 'select' out to keep all columns"),
        ("source.path=$FILE/x.csv", "hint: a variable is written ${FILE}"),
    ],
)
def test_hints_for_what_other_tools_write(assignment: str, found: str) -> None:
    code, _, err = invoke("run", "job.toml", "--set", assignment)
    assert code == 2 and found in err
    assert "count" not in err


def test_the_reader_of_standard_output_has_gone() -> None:
    Path("in.csv").write_text("a,b\n" + "2,y\n" * 100)
    arguments = ("run", "job.toml", "--set", "sink.path=-", "--set", "sink.format=csv")
    ours, (read, write) = os.dup(1), os.pipe()
    os.close(read)
    os.dup2(write, 1)
    try:
        assert invoke(*arguments) == (141, "", "")
    finally:
        os.dup2(ours, 1)
        os.close(ours)
    code, _, err = invoke(*arguments[:3], f"sink.path=/dev/fd/{write}", *arguments[4:])
    os.close(write)
    assert code == 1 and "the reader of that pipe has gone" in err
