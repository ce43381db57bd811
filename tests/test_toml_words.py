"""Errors of a job speak of TOML keys and SQL, never of Python."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from arrowstream.errors import JobError
from arrowstream.jobs.job import Job
from arrowstream.jobs.toml_words import in_toml

pytestmark = pytest.mark.once

PACKAGE = Path(__file__).parents[1] / "arrowstream"

PYTHON_ONLY = (
    *(
        "builder/",
        "pipeline.py",
        "testing/",
        "gpu/",
        "io/memory/",
        "io/sink.py",
        "core/mistakes/",
        "core/hints.py",
        "runtime/background/",
    ),
    *("core/channel.py", "core/rows/", "plan/graph.py", "plan/compile.py"),
    *("plan/checks/split_schema.py", "plan/source_steps.py"),
    *(
        "operators/map_zero_copy.py",
        "operators/process_gpu.py",
        "operators/parallel",
        "operators/functions/scan_function.py",
        "plan/composites/router.py",
    ),
    *(
        "operators/functions/",
        "operators/zero_copy/",
        "operators/flat_map.py",
        "operators/aggregation/grouped.py",
    ),
    *("runtime/flow/iteration.py", "metrics/", "backends/", "terminal.py", "operators/reduce.py", "cli/"),
)
"""Modules whose hints a job never shows: they are about Python objects, functions and the order of calls."""

PYTHON = re.compile(r"\bpl\.|\bSource\.|\bSink\.|\w=[\w\"'{.]|\w\(\.\.\.\)|\w\(fn\)|=(True|False)\b|\.\w+\(")

ELSEWHERE = {
    "read it by Source.from_frame(pyarrow.ipc.open_stream(path)), or write it as a file": "only Python reads that",
    "rename the folder, or percent-encode the value as in day=caf%C3%A9": "the name of a folder",
    "write name(**mapping)": "a job has no mapping for columns",
    "did you mean 'name'? A column of this name is name=pl.lit(...) or pl.col(...)": "columns of a job are a table",
    "write format='csv' or 'ndjson', or write the lines by Sink.to_fn(fn)": "a job refuses this format by its name",
    "a function of whole batches goes into map(...): name": "a job has no functions",
}
"""Hints that still have Python in them, with the reason."""


def texts(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else filled(part) for part in values
            )
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*texts(body), *texts(orelse))
        case ast.BoolOp(values=values):
            for value in values:
                yield from texts(value)


def filled(part: ast.expr) -> str:
    return "'name'" if isinstance(part, ast.FormattedValue) and part.conversion == ord("r") else "name"


def hints() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(PYTHON_ONLY):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.keyword) and node.arg == "hint":
                    yield from ((name, text) for text in texts(node.value))


@pytest.mark.untraced
def test_no_hint_of_a_job_speaks_python() -> None:
    found = dict.fromkeys(hints())
    assert len(found) > 80
    left = [(name, text, in_toml(text)) for name, text in found if PYTHON.search(in_toml(text))]
    assert [each for each in left if each[1] not in ELSEWHERE] == []
    assert ELSEWHERE.keys() <= {text for _, text in found}


SENTENCES = {
    'leave it out with .filter(pl.col("x").is_not_null())': 'leave it out with filter = "x IS NOT NULL"',
    'times: .filter(pl.col("at") < ...)': 'times: filter = "at < ..."',
    'before: .with_columns(pl.col("x").fill_null(...)), or': 'before: with_columns = { x = "COALESCE(x, ...)" }, or',
    "schema={'a b': pl.String, 'c': pl.Int64}": 'schema = { a b = "String", c = "Int64" }',
    "cast(..., strict=False), in SQL TRY_CAST, makes null": "TRY_CAST makes null",
    'text first, as pl.col("at").str.to_datetime("%Y") does': "text first, as STRPTIME(at, '%Y') does",
    'read with from_file(..., schema={"at": pl.Datetime("us")})': (
        "read with [source] with schema = { at = \"Datetime('us')\" }"
    ),
    'by (pl.col("at") * 1_000_000).cast(pl.Int64)': "by CAST(at * 1_000_000 AS BIGINT)",
    "with_columns(x=pl.col('x').cast(pl.String))": 'cast = { x = "String" }',
    'write late=Sink.to_file("late/")': 'write late = { kind = "file", path = "late/" }',
    "pass overwrite=True, strict=False": "pass overwrite = true, strict = false",
    "add max_bytes=512 << 20": "add max_bytes = 536870912",
    "use backend('polars'), or skip()": "use backend = 'polars', or \"skip\"",
    "declare it, schema={'n': int, 'a b': str}": 'declare it, schema = { n = "Int64", a b = "String" }',
    "start from the beginning: from_checkpoint='ignore'": "start from the beginning: --from-checkpoint ignore",
    "begin with run(from_checkpoint='ignore')": "begin with --from-checkpoint ignore",
    "a name, such as checkpoint='state/'": "a name, such as [checkpoint] path = 'state/'",
    "or run without checkpoint=": "or run without [checkpoint]",
    "window(rows=...) needs none": "'rows' of 'window' needs none",
    "did you mean 'a=1'?": "did you mean 'a=1'?",
    "one of the columns a=1, b(...)": "one of the columns a=1, b(...)",
}


@pytest.mark.parametrize("python", SENTENCES)
def test_a_sentence_in_the_words_of_jobs(python: str) -> None:
    assert in_toml(python) == SENTENCES[python]


JOB = """
[source]
kind = "file"
path = "{path}"
[[steps]]
{step}
[sink]
kind = "file"
path = "{path}.out.parquet"
"""


def test_an_error_of_a_job_shows_the_keys_of_the_job(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("at,x\n2026-01-01 00:00:00,1\n")
    job = tmp_path / "job.toml"
    step = 'window = { size = "10s", on = "x2", agg = { n = "count(*)" } }'
    steps = {
        step.replace("x2", "at"): "STRPTIME(at, ",
        'reduce = { agg = { n = "count(*)" }, on_full = "spill" }': "add max_bytes = 536870912",
        'with_columns = { total = "sum(x)" }': "'window'",
    }
    for written, expected in steps.items():
        job.write_text(JOB.format(path=tmp_path / "x.csv", step=written))
        with pytest.raises(JobError) as raised:
            Job.load(job).pipeline()
        assert expected in str(raised.value)
        assert not re.search(r"pl\.|\(\.\.\.\)", str(raised.value))
