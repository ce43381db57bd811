"""What comes into a job from outside of its file: variables, assignments, and the folder of its paths."""

import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream.config.toml_file import JobFile, Value
from arrowstream.errors import JobError
from arrowstream.jobs.assignments import Assignment, assign
from arrowstream.jobs.job import Job
from arrowstream.jobs.values import duration, length
from arrowstream.jobs.variables import with_variables

pytestmark = pytest.mark.once


def root(text: str) -> Value:
    return JobFile("j.toml", text).root


def filled(text: str, variables: Mapping[str, str] | None = None) -> Value:
    return with_variables(root(text), variables or {})


# ---- variables -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${A}", "a b"),
        ("x/${A}/${B_2}.csv", "x/a b/2.csv"),
        ("${NONE:-d}${EMPTY:-e}${A:-f}", "dea b"),
        ("${NONE:-}|${EMPTY}", "|"),
        ("${NONE:-a:-b}", "a:-b"),
        ("$${A} $$A $A ${A}", "${A} $$A $A a b"),
        ("$$${A}", "$${A}"),
        ("'^a$'", "'^a$'"),
        ("${LOOP}", "${A}"),
    ],
)
def test_variables_in_a_string(written: str, expected: str) -> None:
    variables = {"A": "a b", "B_2": "2", "EMPTY": "", "LOOP": "${A}"}
    assert filled(f'x = "{written}"', variables).found == {"x": expected}


def test_variables_are_filled_in_everywhere_but_in_keys() -> None:
    text = '"${A}" = 1\nxs = ["${A}", ["${A}"], 3]\nat = 2026-01-01\n[[steps]]\nt = { x = "${A}" }'
    found = filled(text, {"A": "v"}).found
    assert found.pop("at").year == 2026
    assert found == {"${A}": 1, "xs": ["v", ["v"], 3], "steps": [{"t": {"x": "v"}}]}


def test_a_variable_alone_is_a_number_or_a_flag_where_one_is_needed() -> None:
    table = filled(
        'n = "${N}"\nflag = "${F:-true}"\nhalf = "${H}"\nmixed = "1${N}"\nliteral = "7"\nnone = "$${"',
        {"N": "10", "H": "0.5"},
    ).table()
    assert table["n"].count() == table["n"].number() == 10
    assert table["n"].text() == "10"
    assert table["flag"].flag() is True
    assert table["half"].number() == 0.5
    for name in ("mixed", "literal", "flag", "none"):
        with pytest.raises(JobError, match=rf"'{name}'|\[{name}\].*: expected an integer"):
            table[name].count()
    with pytest.raises(JobError, match=r"\[n\]: expected true or false, found the string '10'"):
        table["n"].flag()


@pytest.mark.parametrize("read", [duration, length])
def test_a_variable_is_a_duration_as_text_or_in_seconds(read: Callable[[Value], object]) -> None:
    table = filled('text = "${A}"\nseconds = "${B}"\nhalf = "${C:-0.5}"', {"A": "1m30s", "B": "5"}).table()
    assert [read(value) for value in table.values()] == ["1m30s", 5, 0.5]
    value = root("x = 1")
    assign(value, [Assignment.written("x=5"), Assignment.written("y=10s")])
    assert [read(each) for each in value.table().values()] == [5, "10s"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "${DATS}",
            "the variable DATS is not set (did you mean 'DATA'?); a default is written ${DATS:-default}",
        ),
        ("${XYZ}", "the variable XYZ is not set; a default is written ${XYZ:-default}"),
        *(
            (written, "'${' begins ${NAME} or ${NAME:-default}; the text '${' is written '$${'")
            for written in ("${", "a${}", "${1}", "${A-b}", "${DATA:-${B}}", "${DATA:-x")
        ),
    ],
)
def test_mistakes_with_variables_name_their_place(written: str, message: str) -> None:
    with pytest.raises(JobError) as raised:
        filled(f'[source]\n\npath = ["x", "{written}"]', {"DATA": "d"})
    assert str(raised.value) == f"j.toml:3: item 2 of 'path' in [source]: {message}"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=examples(50))
@given(st.lists(st.one_of(texts, st.sampled_from(["V", "W"]).map(lambda name: (name,)))), texts, texts)
def test_text_around_variables_stays(parts: list[Any], v: str, w: str) -> None:
    values = {"V": v, "W": w}
    written = "".join(
        f"${{{part[0]}}}" if isinstance(part, tuple) else part.replace("$", "").replace("{", "$${")
        for part in parts
    )
    expected = "".join(
        values[part[0]] if isinstance(part, tuple) else part.replace("$", "").replace("{", "${")
        for part in parts
    )
    assert with_variables(Value(JobFile("j.toml", ""), ("x",), written), values).found == expected


SECRET = "s3cr\\et's"


@pytest.mark.parametrize(
    ("written", "key", "variables"),
    [
        ("${PASSWORD}", "path", {"PASSWORD": SECRET}),
        ("${AWS_SECRET_ACCESS_KEY}", "path", {"AWS_SECRET_ACCESS_KEY": SECRET}),
        ("${X}", "api_key", {"X": SECRET}),
        ("db://me:${X}@host/t", "path", {"X": SECRET}),
        ("a/${DB_TOKEN}/b", "path", {"DB_TOKEN": SECRET}),
        ("${DB_PASS}", "path", {"DB_PASS": SECRET}),
        ("https://host/x.csv?sv=1&sig=${SAS}", "path", {"SAS": SECRET}),
        ("${X}", "pwd", {"X": SECRET}),
    ],
)
def test_secrets_are_not_shown(written: str, key: str, variables: dict[str, str]) -> None:
    value = filled(f'{key} = "{written}"', variables).table()[key]
    assert SECRET in value.text()
    for message in (str(value.error(f"no {value.found}")), str(value.error(f"no {value.found!r}"))):
        assert "***" in message and "cr" not in message.replace("j.toml:1", "")
    with pytest.raises(JobError, match=r"\*\*\*"):
        value.one_of(["a"])
    plain = filled('key = "${X}"', {"X": "shown"}).table()["key"]
    assert "shown" in str(plain.error(plain.text()))


def test_a_secret_of_an_assignment_is_not_shown() -> None:
    for written in ("sink.password=12345", "sink={ password = '12345' }", "sink.url=db://me:12345@host/"):
        value = root(TABLES)
        assign(value, [Assignment.written(written)])
        with_variables(value, {})
        assert "12345" not in str(value.file.error((), "no 12345"))


def test_names_and_sql_under_any_key_are_no_secrets() -> None:
    value = filled(
        'with_columns = { token = "lower(a)" }\nrename = { secret = "b" }\nurl = "db://me:pw@host/"'
    )
    assert value.file.secrets == {"pw"}


def test_neither_the_error_nor_its_cause_shows_a_secret(folder: Path) -> None:
    job = write(source='path = "${MY_TOKEN}.csv"')
    secret = "".join(["hunter", "2"])  # a traceback shows the lines of this test, too
    with pytest.raises(JobError) as raised:
        Job.load(job, variables={"MY_TOKEN": secret}).pipeline()
    assert "there is no file ***.csv" in str(raised.value)
    assert secret not in "".join(traceback.format_exception(raised.value))


# ---- assignments -----------------------------------------------------------------------------------

TABLES = """\
source = { kind = "file", path = "a.csv" }
[[steps]]
filter = "a > 1"
[[steps]]
batch = { rows = 2 }
[sink]
path = "o.csv"
"""


def assigned(*written: str) -> Any:
    value = root(TABLES)
    assign(value, map(Assignment.written, written))
    return value


@pytest.mark.parametrize(
    ("written", "keys", "expected"),
    [
        ("sink.path=x=y.csv", ("sink", "path"), "x=y.csv"),
        ("steps.0.filter=a > 2", ("steps", 0, "filter"), "a > 2"),
        ("steps.1.batch.rows=3", ("steps", 1, "batch", "rows"), 3),
        ("steps.1.batch=3", ("steps", 1, "batch"), 3),
        ("steps.1={ filter = 'b' }", ("steps", 1), {"filter": "b"}),
        ('source.path=["a", "b"]', ("source", "path"), ["a", "b"]),
        ("source.skip_empty=true", ("source", "skip_empty"), True),
        (" pipeline.name = n", ("pipeline", "name"), " n"),
        ('source.schema."two words"=Int8', ("source", "schema", "two words"), "Int8"),
        ("sink.path=", ("sink", "path"), ""),
        ("sink.path=1\nvalue2 = 3", ("sink", "path"), "1\nvalue2 = 3"),
    ],
)
def test_an_assignment(written: str, keys: tuple[Any, ...], expected: object) -> None:
    found = assigned(written).found
    for key in keys:
        found = found[key]
    assert found == expected


def test_a_text_is_needed_where_toml_says_otherwise() -> None:
    for text in ("2026", "2026-01-01", "true", "1e5", "inf", "1 # x"):
        table = assigned(f"sink.path={text}").table()["sink"].table()
        assert table["path"].text() == text
    assert assigned("a.b=1", "a.b=2", "a.c=x").found["a"] == {"b": 2, "c": "x"}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("sink.path", "--set sink.path: expected key=value, such as sink.path=out.csv"),
        ("=x", "--set : expected a key of the job"),
        ("a b=x", "--set a b: expected a key of the job"),
        (
            "steps.2.filter=x",
            "--set steps.2.filter: [steps] is an array, which has no element '2' (one of 0, 1)",
        ),
        ("steps.x=1", "--set steps.x: [steps] is an array, which has no element 'x' (one of 0, 1)"),
        ("steps.-1=1", "--set steps.-1: [steps] is an array, which has no element '-1'"),
        (
            "source.path.x=1",
            "--set source.path.x: 'path' in [source] is not a table, so it has no key 'x'",
        ),
        (
            "source.path.x.y=1",
            "--set source.path.x.y: 'path' in [source] is not a table, so it has no key 'x'",
        ),
    ],
)
def test_assignments_that_lead_nowhere(written: str, message: str) -> None:
    with pytest.raises(JobError) as raised:
        assigned(written)
    assert str(raised.value).startswith(message)


def test_the_number_after_the_last_one_adds_a_whole_element() -> None:
    found = assigned("steps.2={ drop = ['b'] }", "steps.3={ batch = 5 }", "steps.3.batch=7").found
    assert found["steps"][2:] == [{"drop": ["b"]}, {"batch": 7}] and len(found["steps"]) == 4
    value = root("[source]")
    assign(value, [Assignment.written("steps.0={ batch = 5 }")])
    assert value.found["steps"] == [{"batch": 5}]
    with pytest.raises(JobError, match=r"has no element '2' .*; a whole one may be added as 1"):
        assign(value, [Assignment.written("steps.2={ batch = 5 }")])


def test_an_empty_array_has_no_element() -> None:
    value = root("steps = []")
    with pytest.raises(JobError, match=r"has no element '0' \(it is empty\)"):
        assign(value, [Assignment.written("steps.0.filter=x")])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with data in it."""
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("a,b\n1,x\n2,y\n3,z\n")
    return tmp_path


def write(steps: str = "", *, source: str = 'path = "in.csv"', sink: str = 'path = "out.csv"') -> str:
    Path("j.toml").write_text(f'[source]\nkind = "file"\n{source}\n{steps}\n[sink]\nkind = "file"\n{sink}\n')
    return "j.toml"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("sinks.path=x", "--set sinks.path: unknown key 'sinks' in the job (did you mean 'sink'?)"),
        ("sink.pth=x", "--set sink.pth: unknown key 'pth' in [sink] (did you mean 'path'?)"),
        (
            "steps.0.fitler=x",
            "--set steps.0.fitler: unknown key 'fitler' in [[steps]] (did you mean 'filter'?)",
        ),
        ("stesp.0.filter=x", "--set stesp.0.filter: unknown key 'stesp' in the job (did you mean 'steps'?)"),
        (
            "source.skip_empty=1",
            "--set source.skip_empty: 'skip_empty' in [source]: expected true or false, found ",
        ),
        (
            "steps.0.filter=c > 1",
            "--set steps.0.filter: 'filter' in [[steps]]: filter() names a column that is not",
        ),
        *((f"sink.kind={x}", f"--set sink.kind: 'kind' in [sink]: unknown name '{x}'") for x in ("x", "1")),
        ("sink.path=${NOT_SET}", "--set sink.path: 'path' in [sink]: the variable NOT_SET is not set"),
        (
            "sink.max_rows_per_file=0",
            "--set sink.max_rows_per_file: 'max_rows_per_file' in [sink]: expected an int",
        ),
    ],
)
def test_a_wrong_value_of_an_assignment_is_refused_by_its_name(
    written: str, message: str, folder: Path
) -> None:
    job = write("[[steps]]\nfilter = 'a > 1'")
    with pytest.raises(JobError) as raised:
        Job.load(job, assignments=[Assignment.written(written)], variables={}).pipeline()
    assert str(raised.value).startswith(message)


def test_a_run_with_variables_and_assignments(folder: Path) -> None:
    job = write(
        '[[steps]]\nfilter = "a > ${LEAST}"\n[[steps]]\nbatch = "${ROWS:-2}"', source='path = "${IN}"'
    )
    values = Assignment.of({"sink.path": Path("other.csv"), "pipeline.name": "n"})
    loaded = Job.load(job, assignments=values, variables={"LEAST": "1", "IN": "in.csv"})
    assert loaded.pipeline().run_sync().name == "n"
    assert pl.read_csv("other.csv")["a"].to_list() == [2, 3]
    with pytest.raises(JobError, match=r"^set\['sink.pth'\]: unknown key 'pth' in \[sink\]"):
        Job.load(job, assignments=Assignment.of({"sink.pth": 1}), variables={"LEAST": "1", "IN": "in.csv"})


# ---- paths -----------------------------------------------------------------------------------------

SIDES = """
[[steps]]
cast = { a = "Int64" }
on_error = { dead_letter = { kind = "file", path = "bad.csv" } }
[[steps]]
with_event_time = "ts"
[[steps]]
window = { size = "1s", on = "ts", agg = "count(*)", late = { kind = "file", path = "sub/late.csv" } }
"""


@pytest.mark.untraced
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", ["jobs", "j[a]*b"])
def test_paths_start_at_the_folder_of_the_job(
    name: str, inside: bool, folder: Path, monkeypatch: Any
) -> None:
    (folder / name / "data").mkdir(parents=True)
    (folder / name / "sub").mkdir()
    row = "a,ts\n1,2026-01-01T00:00:00\n"
    (folder / name / "data" / "x.csv").write_text(row + "x,2026-01-01T00:00:09\n")
    (folder / name / "y.csv").write_text(row)
    schema = 'schema = { a = "String", ts = "Datetime(\'us\')" }'
    write(SIDES, source=f'path = ["data/*.csv", "y.csv"]\n{schema}', sink='path = "out/"\nformat = "csv"')
    os.renames("j.toml", f"{name}/j.toml")
    if inside:
        monkeypatch.chdir(folder / name)
    Job.load("j.toml" if inside else f"{name}/j.toml").pipeline().run_sync()
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.csv"))
    made = ["bad.csv", "data/x.csv", "out/part-00000.csv", "sub/late.csv", "y.csv"]
    assert files == [*([] if "in.csv" not in files else ["in.csv"]), *(f"{name}/{path}" for path in made)]


def test_paths_may_start_elsewhere(folder: Path) -> None:
    write()
    (folder / "jobs").mkdir()
    os.renames("j.toml", "jobs/j.toml")
    with pytest.raises(
        JobError, match=r"^jobs/j\.toml:3: 'path' in \[source\]: there is no file jobs/in\.csv"
    ):
        Job.load("jobs/j.toml").pipeline()
    Job.load("jobs/j.toml", relative_to=".").pipeline().run_sync()
    assert pl.read_csv("out.csv").height == 3
    with pytest.raises(JobError, match="there is no file jobs/in"):
        Job.load("jobs/j.toml", relative_to="jobs").pipeline()


def test_paths_that_are_complete_stay(folder: Path) -> None:
    absolute, url = f'path = "{folder}/in.csv"', 'path = "ftp://b/x.csv"'
    (folder / "jobs").mkdir()
    for source, message in (
        (absolute, None),
        (url, "ftp://b/x.csv is a URL"),
        ('path = ""', "the path is empty"),
    ):
        write(source=source, sink=f'path = "{folder}/o.csv"')
        os.renames("j.toml", "jobs/j.toml")
        if message is None:
            Job.load("jobs/j.toml").pipeline().run_sync()
            assert pl.read_csv("o.csv").height == 3
        else:
            with pytest.raises(JobError, match=message):
                Job.load("jobs/j.toml").pipeline()
