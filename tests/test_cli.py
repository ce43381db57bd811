"""The command line, in this process and as a real one with real signals."""

import os
import re
import runpy
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import AsyncIterator, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import invoke
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import arrowstream
from arrowstream.cli import main as cli
from arrowstream.cli.commands import app
from arrowstream.connectors.source import Source
from arrowstream.errors import SinkError
from arrowstream.io.memory.function_sink import FunctionSink
from arrowstream.io.source import SourceSpec
from arrowstream.jobs import connectors as job_parts
from arrowstream.jobs.connectors import Connector
from arrowstream.testing import TestSource

pytestmark = pytest.mark.once

JOB = """\
[pipeline]
name = "late"
[source]
kind = "file"
path = "in.csv"
[[steps]]
filter = "a > 1"
[[steps]]
with_columns = { c = "a * 2" }
[sink]
kind = "file"
path = "out.parquet"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with data and a job in it."""
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("a,b\n1,x\n2,y\n3,z\n")
    Path("job.toml").write_text(JOB)
    return tmp_path


@pytest.mark.untraced
def test_run() -> None:
    code, out, err = invoke("run", "job.toml")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert re.fullmatch(r"late: 3 rows in, 2 rows out, \d+\.\d\d s, [\d,]+ rows/s", lines[0])
    assert lines[1].split() == ["stage", "rows", "in", "rows", "out", "busy", "s", "waiting", "s", "batches"]
    assert lines[2].startswith("source ")
    assert lines[-1].startswith("sink ")
    assert pl.read_parquet("out.parquet").to_dict(as_series=False) == {
        "a": [2, 3],
        "b": ["y", "z"],
        "c": [4, 6],
    }


@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_quiet(option: str) -> None:
    assert invoke("run", "job.toml", option) == (0, "", "")
    assert Path("out.parquet").exists()


LATE = """
[pipeline]
name = "late"
[source]
kind = "file"
path = "times.csv"
schema = { ts = "Datetime('us')" }
[[steps]]
batch = 1
[[steps]]
with_event_time = { column = "ts", lateness = "5s" }
[[steps]]
window = { size = "10s", on = "ts", agg = { s = "sum(v)" } }
[sink]
kind = "file"
path = "out.csv"
"""


@pytest.mark.parametrize("quiet", [False, True])
def test_rows_that_are_lost_are_said_last_and_even_quietly(quiet: bool) -> None:
    """One clock ten years ahead, and all rows after it are late."""
    Path("times.csv").write_text(
        "ts,v\n2026-01-01T00:00:01,1\n2036-01-01T00:00:00,2\n2026-01-01T00:00:02,3\n2026-01-01T00:00:11,4\n"
    )
    Path("late.toml").write_text(LATE)
    code, out, err = invoke("run", "late.toml", *(["--quiet"] if quiet else []))
    assert code == 0
    last = (err if quiet else out).splitlines()[-1]
    assert last.startswith("lost: 2 rows came late to ")
    assert (out == "") == quiet


def test_limit() -> None:
    code, out, _ = invoke("run", "job.toml", "--limit", "1")
    assert code == 0
    assert "1 row out" in out
    assert "ended early (limit)" in out
    assert pl.read_parquet("out.parquet").height == 1


def test_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(job_parts.SOURCES, "endless", Connector(lambda: endless(), {}))
    Path("job.toml").write_text(JOB.replace('kind = "file"\npath = "in.csv"', 'kind = "endless"'))
    code, out, _ = invoke("run", "job.toml", "--duration", "1ms")
    assert code == 0
    assert "ended early (duration)" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["job.toml", "--duration", "10 parsecs"],
            "'10 parsecs' is not a duration; expected: numbers with units",
        ),
        (["none.toml"], "none.toml: no such file\n"),
        (["job.toml", "--limit", "-1"], ""),
        ([], ""),
    ],
)
def test_a_wrong_command_line_is_2(arguments: list[str], message: str) -> None:
    code, out, err = invoke("run", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert "Traceback" not in err


@pytest.mark.untraced
@pytest.mark.parametrize("command", ["run", "explain", "schema"])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("filter", "fitler", "job.toml:7: unknown key 'fitler' in [[steps]] (did you mean 'filter'?)\n"),
        (
            "a > 1",
            "d > 1",
            "job.toml:7: 'filter' in [[steps]]: filter() names a column that is not there; expected: ",
        ),
        ("in.csv", "on.csv", "job.toml:5: 'path' in [source]: there is no file on.csv; "),
        ("[sink]", "[sink", "job.toml:10: not TOML: "),
    ],
)
def test_a_wrong_job_is_one_line_and_2(command: str, old: str, new: str, message: str) -> None:
    Path("job.toml").write_text(JOB.replace(old, new))
    code, out, err = invoke(command, "job.toml")
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert not Path("out.parquet").exists()


def test_a_failed_run_is_1_and_names_the_stage() -> None:
    Path("in.csv").write_text("a,b\n" + "1,x\n" * 20_000 + "one,x\n")
    Path("job.toml").write_text(JOB.replace('path = "in.csv"', 'path = "in.csv"\nschema = { a = "Int64" }'))
    code, out, err = invoke("run", "job.toml")
    assert (code, out) == (1, "")
    assert "(stage source)" in err.splitlines()[0]
    assert "Traceback" not in err
    assert not Path("out.parquet").exists()


def test_notes_of_a_failure_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(batch: object) -> None:
        error = SinkError("the disk is full", hint="delete something")
        error.add_note("and: the network is down")
        raise error

    monkeypatch.setitem(job_parts.SINKS, "failing", Connector(lambda: FunctionSink(fail), {}))
    Path("job.toml").write_text(JOB.replace('kind = "file"\npath = "out.parquet"', 'kind = "failing"'))
    code, _, err = invoke("run", "job.toml")
    assert code == 1
    place = "(stage sink)\n  position: in.csv rows 0-3"
    assert err == f"the disk is full {place}\n  hint: delete something\nand: the network is down\n"


def test_explain_runs_nothing() -> None:
    code, out, err = invoke("explain", "job.toml")
    assert (code, err) == (0, "")
    assert out.startswith("pipeline late\n  source: ")
    assert out.endswith("\n")
    assert not Path("out.parquet").exists()


def test_schema_of_files() -> None:
    Path("more").mkdir()
    for name in ("1", "2"):
        pl.DataFrame({"two words": [1.0], "day": ["x"]}).write_parquet(f"more/{name}.parquet")
    for target in ("more/*.parquet", "more", "more/1.parquet"):
        assert invoke("schema", target) == (0, f'# {target}\n"two words" = "Float64"\nday = "String"\n', "")


def test_schemas_of_several() -> None:
    """As a shell gives them that puts the names in place of a glob."""
    Path("b.csv").write_text("a;b\n1;2\n")
    Path("c.csv").write_text("c;d\n1;2\n")
    code, out, err = invoke("schema", "in.csv", "b.csv", "c.csv", "job.toml")
    assert code == 0
    parts = out.split("\n\n")
    assert [part.splitlines()[0] for part in parts[:4]] == [
        "# in.csv",
        "# b.csv",
        "# c.csv",
        "# source (job.toml:5)",
    ]
    assert parts[0] == '# in.csv\na = "Int64"\nb = "String"'
    assert err.count("there is one column") == 1
    code, out, err = invoke("schema", "in.csv", "none.csv")
    assert (code, out) == (2, "")
    assert err.startswith("there is no file none.csv")


def test_schema_of_a_job() -> None:
    code, out, err = invoke("schema", "job.toml")
    assert (code, err) == (0, "")
    assert out == (
        '# source (job.toml:5)\na = "Int64"\nb = "String"\n\n'
        '# step 1 filter (job.toml:7)\na = "Int64"\nb = "String"\n\n'
        '# step 2 with_columns (job.toml:9)\na = "Int64"\nb = "String"\nc = "Int64"\n'
    )


def test_schema_that_only_the_first_batch_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    source = TestSource.from_list([1]).undeclared()
    monkeypatch.setitem(job_parts.SOURCES, "later", Connector(lambda: source, {}))
    Path("job.toml").write_text('source = { kind = "later" }\nsink = { kind = "file", path = "o.csv" }')
    assert invoke("schema", "job.toml") == (
        0,
        "# source (job.toml:1)\n# known only once the first batch has come\n",
        "",
    )


def test_schema_of_nothing() -> None:
    code, out, err = invoke("schema", "none.parquet")
    assert (code, out) == (2, "")
    assert err.startswith("there is no file none.parquet")
    assert err.count("\n") == 1


# A name with NUL is refused: Arrow's C interface ends it there.
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(30))
@given(st.lists(names, min_size=1, max_size=3, unique=True))
def test_a_printed_schema_is_what_a_job_reads(columns: list[str]) -> None:
    frame = pl.DataFrame({name: pl.Series([1], dtype=pl.Datetime("ms")) for name in columns})
    frame.write_ipc("any.arrow")
    code, out, _ = invoke("schema", "any.arrow")
    assert code == 0
    assert tomllib.loads(out) == {name: str(dtype) for name, dtype in frame.schema.items()}


def test_doctor() -> None:
    code, out, err = invoke("doctor")
    assert (code, err) == (0, "")
    assert re.search(r"(?m)^  polars +\d+\.", out)
    assert re.search(r"(?m)^  arrow +ready$", out)


def test_doctor_shows_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("arrowstream.toml").write_text("[streaming]\nworker_threads = 3\n")
    monkeypatch.setenv("ARROWSTREAM_MAX_RETRIES", "5")
    code, out, err = invoke("doctor", "--settings")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["worker_threads", "3", "arrowstream.toml:2"] in rows
    assert ["max_retries", "5", "ARROWSTREAM_MAX_RETRIES"] in rows
    assert ["buffer_mb", "256", "default"] in rows


@pytest.mark.parametrize("command", [["doctor", "--settings"], ["run", "job.toml"], ["explain", "job.toml"]])
def test_wrong_settings_are_one_line_and_2(command: list[str]) -> None:
    Path("arrowstream.toml").write_text("[streaming]\nworker_threads = 0\n")
    code, _, err = invoke(*command)
    assert code == 2
    assert err == "arrowstream.toml:2: 'worker_threads' in [streaming]: expected `int` >= 2, found 0\n"


def test_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda package: "9.8.7")
    assert invoke("--version") == (0, "arrowstream 9.8.7\n", "")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option: str) -> None:
    code, out, _ = invoke(option)
    assert code == 0
    for command in ("run", "check", "explain", "schema", "job-schema", "doctor"):
        assert f"  {command} " in out
    assert "--install-completion" in out
    code, out, _ = invoke("run", option)
    assert code == 0
    assert "--preview" in out


@pytest.mark.parametrize(("typed", "found"), [("ex", "explain"), ("check --rel", "--relative-to-cwd")])
def test_a_shell_completes_commands_and_options(typed: str, found: str) -> None:
    words = {"COMP_WORDS": f"arrowstream {typed}", "COMP_CWORD": str(len(typed.split()))}
    environ = {"_ARROWSTREAM_COMPLETE": "complete_bash", **words}
    result = CliRunner().invoke(app, [], prog_name="arrowstream", env=environ)
    assert found in result.stdout


def endless(*signals: signal.Signals) -> SourceSpec:
    """Batches without end; after the first one, this process gets the signals."""

    async def batches() -> AsyncIterator[pl.DataFrame]:
        frame = pl.DataFrame({"a": [1, 2, 3]})
        yield frame
        for number in signals:
            signal.raise_signal(number)
        while True:
            yield frame

    return Source.from_fn(batches, schema={"a": pl.Int64})


@pytest.mark.parametrize("quiet", [False, True])
def test_a_signal_stops_gently(quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(job_parts.SOURCES, "endless", Connector(lambda: endless(signal.SIGINT), {}))
    Path("job.toml").write_text(JOB.replace('kind = "file"\npath = "in.csv"', 'kind = "endless"'))
    code, out, err = invoke("run", "job.toml", *(["--quiet"] if quiet else []))
    assert code == 3
    assert ("ended early (SIGINT)" in out, err.startswith("stopping: ")) == (
        (False, False) if quiet else (True, True)
    )
    assert pl.read_parquet("out.parquet").height >= 2


def test_a_second_signal_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoTimer(threading.Thread):
        """Stands for `threading.Timer`, which would end the tests."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__()

        def cancel(self) -> None:
            self.join()

    monkeypatch.setattr(threading, "Timer", NoTimer)
    source = Connector(lambda: endless(signal.SIGINT, signal.SIGTERM), {})
    monkeypatch.setitem(job_parts.SOURCES, "endless", source)
    Path("job.toml").write_text(JOB.replace('kind = "file"\npath = "in.csv"', 'kind = "endless"'))
    code, out, err = invoke("run", "job.toml")
    assert (code, out) == (143, "")
    assert err.splitlines()[-1] == "a second signal, SIGTERM, ended the run: nothing more is committed"
    assert sorted(path.name for path in Path().iterdir()) == ["in.csv", "job.toml"]


def test_main_is_the_app(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["arrowstream", "explain", "none.toml"])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 2
    assert capsys.readouterr().err == "none.toml: no such file\n"


def test_python_dash_m(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["arrowstream", "explain", "none.toml"])
    with pytest.raises(SystemExit):
        runpy.run_module("arrowstream", run_name="__main__")
    assert capsys.readouterr().err == "none.toml: no such file\n"
    monkeypatch.delitem(sys.modules, cli.__name__)  # Python warns of a module that is imported already
    with pytest.raises(SystemExit):
        runpy.run_module(cli.__name__, run_name="__main__")
    assert capsys.readouterr().err == "none.toml: no such file\n"


@pytest.mark.parametrize("library", ["typer", "rich"])
def test_without_the_extra_one_line_names_it(
    library: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "arrowstream.cli.commands")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("typer", "rich")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 2
    assert capsys.readouterr().err == (
        "arrowstream: the command line needs the extra 'cli', which is not installed: "
        "pip install 'arrowstream[cli]'\n"
    )


def test_another_missing_module_is_not_blamed_on_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("commands", "options"):
        monkeypatch.delitem(sys.modules, f"arrowstream.cli.{name}")
    monkeypatch.setitem(sys.modules, "arrowstream.jobs.job", None)
    with pytest.raises(ModuleNotFoundError, match=r"arrowstream\.job"):
        cli.main()


# ---- as a real process -----------------------------------------------------------------------------


def environment() -> dict[str, str]:
    here = str(Path(arrowstream.__file__).parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@pytest.mark.untraced
def test_importing_the_library_loads_no_extra_and_nothing_that_takes_long() -> None:
    unwanted = {"typer", "rich", "click", "pyarrow.compute", "pyarrow.parquet"}
    code = f"import sys, arrowstream; print(*sorted({unwanted} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=True)
    assert out.stdout.strip() == b""


@pytest.mark.untraced
def test_a_process_with_pipes() -> None:
    command = [sys.executable, "-m", "arrowstream", "run", "job.toml"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("late: 3 rows in, 2 rows out")
    assert "\x1b" not in done.stdout
    done = subprocess.run([*command, "more"], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2


@pytest.mark.untraced
def test_rows_on_stdout_are_not_mixed_with_the_report() -> None:
    Path("out.toml").write_text(
        Path("job.toml").read_text().replace('"out.parquet"', '"/dev/stdout"\nformat = "csv"')
    )
    command = [sys.executable, "-m", "arrowstream", "run", "out.toml"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "rows out" not in done.stdout
    assert len(done.stdout.splitlines()) == 3
    assert "3 rows in, 2 rows out" in done.stderr


ENDLESS = """
import polars as pl, sys
from arrowstream import Source
from arrowstream.cli.main import main
from arrowstream.jobs import connectors

async def batches():
    frame = pl.DataFrame({"a": [1, 2, 3]})
    yield frame
    print("reading", file=sys.stderr, flush=True)
    while True:
        yield frame

source = Source.from_fn(batches, schema={"a": pl.Int64})
connectors.SOURCES["file"] = connectors.Connector(lambda path: source, {"path": "text"})
main()
"""

STUCK = """
import polars as pl, sys, threading
from arrowstream.cli import commands
from arrowstream.cli.main import main
from arrowstream.jobs import connectors
from arrowstream.core.batch import Batch
from arrowstream.io.source import BlockingReader
from arrowstream.testing import TestSource

class Stuck(BlockingReader):
    def __init__(self):
        self.begun = False
    def read(self):
        if not self.begun:
            self.begun = True
            return Batch(pl.DataFrame({"a": [1, 2, 3]}))
        print("reading", file=sys.stderr, flush=True)
        threading.Event().wait()
    def close(self):
        pass

class Source(TestSource):
    def open(self, context, query=None, resume=None):
        return Stuck()

commands.GRACE_SECONDS = 0.01
source = Source((), pl.Schema({"a": pl.Int64}))
connectors.SOURCES["file"] = connectors.Connector(lambda path: source, {"path": "text"})
main()
"""


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """``arrowstream run job.toml`` with a source of its own, which says "reading" when it is under way."""
    command = [sys.executable, "-c", request.param, "run", "job.toml"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(), stdout=pipe, stderr=pipe, text=True) as child:
        yield child
        child.kill()


@pytest.mark.untraced
@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.thorough), signal.SIGTERM])
@pytest.mark.parametrize("process", [ENDLESS], indirect=True)
def test_a_real_signal_stops_gently(process: subprocess.Popen[str], number: signal.Signals) -> None:
    assert process.stderr is not None
    assert process.stderr.readline() == "reading\n"
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 3
    assert err == "stopping: what was read is still delivered; a second signal ends the run at once\n"
    assert f"ended early ({number.name})" in out
    assert pl.read_parquet("out.parquet")["c"].is_in([4, 6]).all()


@pytest.mark.untraced
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("process", [STUCK], indirect=True)
def test_a_second_real_signal_ends_at_once(
    process: subprocess.Popen[str], number: signal.Signals, code: int
) -> None:
    assert process.stderr is not None
    assert process.stderr.readline() == "reading\n"
    process.send_signal(number)
    assert process.stderr.readline().startswith("stopping: ")
    process.send_signal(number)
    process.communicate()
    assert process.returncode == code
    assert not Path("out.parquet").exists()


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_schema_of_a_file_with_another_delimiter(mark: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(f"x{mark}y\n1{mark}2\n")
    code, _, err = invoke("schema", "a.csv")
    assert code == 0
    assert f"one column, with {mark!r} in its name: try --delimiter {mark!r}" in err
    told = mark.replace("\t", "\\t")
    assert invoke("schema", "a.csv", "--delimiter", told) == (0, '# a.csv\nx = "Int64"\ny = "Int64"\n', "")
