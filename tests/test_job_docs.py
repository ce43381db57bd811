"""The page of job files runs, in order; the JSON schema accepts the same jobs as their reader."""

import json
import os
import re
import shlex
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from arrowstream.cli.commands import app
from arrowstream.cli.json_output import of_report
from arrowstream.errors import JobError
from arrowstream.jobs import handlers
from arrowstream.jobs.job import Job
from arrowstream.jobs.schema import job_schema
from arrowstream.jobs.source_and_sinks import SINK_KEYS, SOURCE_KEYS
from arrowstream.jobs.steps import MODIFIERS, STEPS

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "jobs.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
JOBS = [text for kind, text in BLOCKS if kind == "toml"]
ROWS = re.findall(r"^\| `(\w+) = (.*?)` \| ", PAGE, re.MULTILINE)
EXAMPLES = [f"[[steps]]\n{key} = {value}" for key, value in ROWS if key in STEPS]
EXAMPLES += [f"[[steps]]\nfilter = 'price > 0'\n{key} = {value}" for key, value in ROWS if key in MODIFIERS]
FRAME = '[source]\nkind = "file"\npath = "orders.parquet"\n{}\n[sink]\nkind = "file"\npath = "o.parquet"\n'
PAID = """[[source]]
kind = "file"
path = "orders.parquet"
event_time = "at"
[[source]]
name = "paid"
kind = "file"
path = "orders.parquet"
event_time = "at"
"""


def framed(example: str) -> str:
    """A job with these steps, with a second source where they join one."""
    text = FRAME.format(example)
    return text.replace(FRAME.partition("{")[0], PAID, 1) if "stream =" in example else text


def commands(block: str) -> Iterator[tuple[dict[str, str], list[str], str | None]]:
    """Yield variables, arguments and the file for stdout of each line of a shell."""
    for text in block.splitlines():
        words = shlex.split(text)
        environ = dict(word.split("=", 1) for word in words[: words.index("arrowstream")])
        words = words[words.index("arrowstream") + 1 :]
        target = words[words.index(">") + 1] if ">" in words else None
        yield environ, words[: words.index(">")] if target else words, target


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    printed = defaultdict(list)
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "jobs.md", "exec"), namespace)
        elif kind == "toml":
            name = text.splitlines()[0].removeprefix("# ")
            Path(name).write_text(text)
            pipeline = Job.load(name).pipeline()
            if 'kind = "kafka"' not in text:
                pipeline.run_sync()
        else:
            for environ, arguments, target in commands(text):
                done = CliRunner().invoke(app, arguments, env=environ)
                assert done.exit_code == 0, done.output
                printed[" ".join(arguments[:1] + arguments[2:])].append(done.stdout)
                if target is not None:
                    Path(target).write_text(done.stdout)
    assert pl.read_csv("large.csv")["total"].to_list() == [25.0, 3.0, 7.0]
    assert "1 row out" in printed["run"][1]
    assert pl.read_parquet("teas.parquet")["total"].to_list() == [25.0, 3.0]
    assert pl.read_csv("largest.csv")["total"].to_list() == [25.0]
    assert sorted(pl.read_parquet("means.parquet")["n"]) == [2, 2, 3]
    assert pl.read_parquet("bad.parquet").height == 4
    assert pl.read_csv("copy.csv").height == pl.read_parquet("by-item/**/*.parquet").height == 4
    report = json.loads(printed["run --json"][0])
    assert all(f"`{key}`" in PAGE for key in [*report, *report["stages"][0], *of_report(None)])
    assert json.loads(Path("job.schema.json").read_text()) == job_schema()
    for example in EXAMPLES:
        Path("one.toml").write_text(framed(example))
        Job.load("one.toml").pipeline().run_sync()


def test_the_page_has_every_key() -> None:
    """But those of sources and sinks, which have pages."""
    arguments = {
        name for key in (*STEPS.values(), *MODIFIERS.values()) for name in getattr(key.read, "readers", ())
    }
    handled = {name for read, _ in handlers.TABLES.values() for name in read.readers}
    wanted = {*STEPS, *MODIFIERS, *SOURCE_KEYS, *SINK_KEYS, *arguments, *handled, *handlers.ALONE}
    assert wanted - set(re.findall(r"\w+", PAGE)) == set()
    assert {key for key, _ in ROWS} == {*STEPS, *MODIFIERS}


def tables(found: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield every table inside a value, with its place."""
    items = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    if isinstance(found, dict):
        yield at, found
    for key, item in items:
        yield from tables(item, (*at, key))


# ---- the schema ------------------------------------------------------------------------------------

TYPES: dict[str, Any] = {"string": str, "object": dict, "array": list, "boolean": bool, "integer": int}


def fits(found: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Check a value against the words of JSON schema that the schema of jobs uses."""
    for word, wanted in schema.items():
        match word:
            case "$ref":
                ok = fits(found, root["definitions"][wanted.rpartition("/")[2]], root)
            case "type":
                ok = any(is_a(found, name) for name in ([wanted] if isinstance(wanted, str) else wanted))
            case "const":
                ok = type(found) is type(wanted) and found == wanted
            case "enum":
                ok = found in wanted
            case "pattern":
                ok = re.search(wanted, found) is not None if isinstance(found, str) else True
            case "minimum":
                ok = found >= wanted if is_a(found, "number") else True
            case "minItems":
                ok = len(found) >= wanted if isinstance(found, list) else True
            case "maxItems":
                ok = len(found) <= wanted if isinstance(found, list) else True
            case "items":
                ok = all(fits(item, wanted, root) for item in found) if isinstance(found, list) else True
            case "anyOf":
                ok = any(fits(found, one, root) for one in wanted)
            case "oneOf":
                ok = sum(fits(found, one, root) for one in wanted) == 1
            case "required":
                ok = all(key in found for key in wanted) if isinstance(found, dict) else True
            case "properties":
                given = found.items() if isinstance(found, dict) else ()
                ok = all(fits(item, wanted[key], root) for key, item in given if key in wanted)
            case "additionalProperties":
                rest = (
                    [found[key] for key in found if key not in schema.get("properties", ())] if found else []
                )
                ok = not rest if wanted is False else all(fits(item, wanted, root) for item in rest)
            case "$schema" | "title" | "description" | "definitions":
                ok = True
            case _:
                raise AssertionError(word)
        if not ok:
            return False
    return True


def is_a(found: Any, name: str) -> bool:
    if name in ("number", "integer") and isinstance(found, bool):
        return False
    return isinstance(found, (int, float) if name == "number" else TYPES[name])


SCHEMA = job_schema()
OTHERS = [path.read_text() for path in sorted((ROOT / "examples").rglob("*.toml"))]
MORE = """
source = { kind = "file", path = "${IN}", skip_empty = "${SKIP:-true}", format = "${FORMAT:-csv}" }
steps = [{ batch = "${ROWS:-3}" }, { filter = ["a", "b"], on_error = "retry", named = "n", timeout = 1.5 }]
sink = { kind = "file", path = "o.csv", max_rows_per_file = "${MOST}" }
"""
ALL = [*JOBS, *map(framed, EXAMPLES), *OTHERS, MORE]


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"IN": "in.csv", "MOST": "3"}.items():
        monkeypatch.setitem(os.environ, name, value)


@pytest.mark.untraced
@pytest.mark.parametrize("text", ALL, ids=range(len(ALL)))
def test_schema_and_jobs_agree(text: str, tmp_path: Path) -> None:
    """Both accept a job, and refuse it once any of its tables has a key more, or lacks a key that it needs."""
    job = tomllib.loads(text)
    assert fits(job, SCHEMA, SCHEMA)
    # A query asks its sources for their columns, which are not here.
    assert "sql" in job or loads(job, tmp_path)
    for _, table in list(tables(job)):
        table["zzz"] = 1
        assert not fits(job, SCHEMA, SCHEMA) and not loads(job, tmp_path)
        del table["zzz"]
        for key in list(table):
            before = dict(table)
            for wrong in (None, 0, [[]], {}):
                table.pop(key) if wrong is None else table.__setitem__(key, wrong)
                refused = not fits(job, SCHEMA, SCHEMA)
                assert not refused or not loads(job, tmp_path), (key, wrong)
                table.clear()
                table.update(before)


def loads(job: dict[str, Any], folder: Path) -> bool:
    """Return True if the reader of jobs accepts a job."""
    path = folder / "job.toml"
    path.write_text("\n".join(f"{key} = {toml(value)}" for key, value in job.items()))
    try:
        Job.load(path)
    except JobError:
        return False
    return True


def toml(found: Any) -> str:
    if isinstance(found, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(value)}" for key, value in found.items()) + " }"
    if isinstance(found, list):
        return f"[{', '.join(map(toml, found))}]"
    return json.dumps(found)


@pytest.mark.parametrize(
    ("step", "right"),
    [
        ('filter = "a"', True),
        ("batch = 0", False),
        ('batch = "3"', False),
        ("batch = true", False),
        ('filter = "a"\ndrop = "a"', False),
        ('backend = "arrow"', False),
        ('filter = "a"\nbackend = "arow"', False),
        ('window = { rows = 2, agg = "max(a)" }', True),
        ("window = { rows = 2 }", False),
        ('scan = { columns = { x = { rolling_sum = "a" } } }', False),
        ('scan = { columns = { x = { shift = "a" } } }', True),
        ('filter = "a"\non_error = { retry = 2, skip = true }', False),
        ('filter = "a"\non_error = { skip = false }', False),
        ('filter = "a"\non_error = ["retry", { dead_letter = { kind = "file", path = "b/" } }]', True),
        ('filter = "a"\non_error = { dead_letter = { kind = "file", path = "b/", best_effort = 1 } }', False),
        ('reduce = { agg = "sum(a)", emit = "never" }', False),
    ],
)
def test_values_of_steps(step: str, right: bool, tmp_path: Path) -> None:
    job = tomllib.loads(FRAME.format(f"[[steps]]\n{step}"))
    assert fits(job, SCHEMA, SCHEMA) is loads(job, tmp_path) is right


def test_what_a_job_can_have_is_described() -> None:
    bare = [at for at, table in tables(SCHEMA) if at[-2:-1] == ("properties",) and "description" not in table]
    assert {at[-1] for at in bare} == {"kind"}
