"""TOML jobs: what they build, and where their mistakes are found."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from arrowstream.errors import JobError, SourceError
from arrowstream.jobs import connectors as job_parts
from arrowstream.jobs import steps as job_steps
from arrowstream.jobs.connectors import Connector
from arrowstream.jobs.job import Job
from arrowstream.testing import TestSource

FRAME = pl.DataFrame(
    {
        "a": [1, 2, 3, None],
        "b": ["x", "y", None, "z"],
        "xs": [[1, 2], [3], None, [4]],
        "s": [{"p": 1, "q": "u"}, {"p": 2, "q": "v"}, {"p": 3, "q": None}, None],
    }
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with data in it."""
    monkeypatch.chdir(tmp_path)
    FRAME.write_parquet("in.parquet")
    FRAME.select("a", "b").write_csv("in.csv", separator=";")
    return tmp_path


def write(steps: str = "", *, source: str = 'path = "in.parquet"', sink: str = 'path = "out.parquet"') -> str:
    """A job on disk: the source's keys stand on line 3, the steps begin on line 4."""
    text = f'[source]\nkind = "file"\n{source}\n{steps}\n[sink]\nkind = "file"\n{sink}\n'
    Path("j.toml").write_text(text, encoding="utf-8")
    return "j.toml"


def run(steps: str) -> pl.DataFrame:
    report = Job.load(write(steps)).pipeline().run_sync()
    assert report.name == "j"
    return pl.read_parquet("out.parquet")


def refusal(path: str) -> str:
    with pytest.raises(JobError) as raised:
        Job.load(path).pipeline()
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("", FRAME),
        ('[[steps]]\nfilter = "a > 1"', FRAME.filter(pl.col("a") > 1)),
        ('[[steps]]\nfilter = ["a > 1", "b IS NOT NULL"]', FRAME.filter(pl.col("a") == 2)),
        (
            '[[steps]]\nwith_columns = { c = "a * 2", self = "upper(b)" }',
            FRAME.with_columns(c=pl.col("a") * 2).with_columns(pl.col("b").str.to_uppercase().alias("self")),
        ),
        (
            '[[steps]]\nselect = ["b", "a + 1 AS c"]',
            FRAME.select("b", c=pl.col("a") + 1),
        ),
        ('[[steps]]\nselect = { c = "a + 1" }', FRAME.select(c=pl.col("a") + 1)),
        ('[[steps]]\nselect = "a"', FRAME.select("a")),
        ('[[steps]]\ndrop = ["a", "s"]', FRAME.drop("a", "s")),
        ('[[steps]]\nrename = { a = "A", b = "two words" }', FRAME.rename({"a": "A", "b": "two words"})),
        (
            '[[steps]]\ncast = { a = "Float64", xs = "List(Int8)" }',
            FRAME.cast({"a": pl.Float64, "xs": pl.List(pl.Int8)}),
        ),
        ('[[steps]]\nexplode = ["xs"]', FRAME.explode("xs")),
        ('[[steps]]\nunnest = "s"', FRAME.unnest("s")),
        ("[[steps]]\nbatch = { rows = 3 }", FRAME),
        ('[[steps]]\nfilter = "a > 1"\nbackend = "polars"', FRAME.filter(pl.col("a") > 1)),
        (
            'steps = [ { filter = "a > 1" },\n { select = ["a"] } ]',
            FRAME.filter(pl.col("a") > 1).select("a"),
        ),
    ],
)
def test_every_operator_does_what_polars_does(steps: str, expected: pl.DataFrame) -> None:
    if steps.startswith("steps"):  # a key of the file must come before its first section
        path = write()
        text = Path(path).read_text(encoding="utf-8")
        Path(path).write_text(f"{steps}\n{text}", encoding="utf-8")
        Job.load(path).pipeline().run_sync()
        assert_frame_equal(pl.read_parquet("out.parquet"), expected)
    else:
        assert_frame_equal(run(steps), expected)


def test_a_pin_is_on_its_step_only() -> None:
    job = Job.load(write('[[steps]]\nfilter = "a > 1"\nbackend = "polars"\n[[steps]]\nselect = ["a"]'))
    assert [step.backend for step in job.complete.graph.steps] == ["polars", "auto"]


def test_a_source_with_all_its_keys() -> None:
    source = 'path = ["in.csv"]\nformat = "csv"\ndelimiter = ";"\nschema = { a = "Float32" }'
    Job.load(write(source=source)).pipeline().run_sync()
    expected = FRAME.select(pl.col("a").cast(pl.Float32), "b")
    assert_frame_equal(pl.read_parquet("out.parquet"), expected)


@pytest.mark.untraced
@pytest.mark.parametrize("strict", ["true", "false"])
def test_a_source_of_objects_that_is_strict(strict: str) -> None:
    rows = ['{"a": 1, "b": "x"}'] * 10_001 + ['{"a": 1, "c": 3}']
    Path("in.ndjson").write_text("\n".join(rows), encoding="utf-8")
    job = Job.load(write(source=f'path = "in.ndjson"\nstrict_keys = {strict}'))
    if strict == "true":
        with pytest.raises(SourceError, match="has a key that is no column: 'c'"):
            job.pipeline().run_sync()
    else:
        assert job.pipeline().run_sync().rows_out == 10_002


def test_a_sink_with_all_its_keys() -> None:
    sink = (
        'path = "out/"\nformat = "parquet"\npartition_by = ["b"]\ncompression = "snappy"\n'
        "overwrite = true\nmax_rows_per_file = 1\nmax_bytes_per_file = 1000000\n"
        'mode = "overwrite"\nsort_by = ["a"]\nrow_group_size = 5\nstatistics = false'
    )
    path = write('[[steps]]\nfilter = "b IS NOT NULL"\n[[steps]]\nselect = ["a", "b"]', sink=sink)
    for _ in range(2):  # the second time there is something to overwrite
        Job.load(path).pipeline().run_sync()
    written = pl.read_parquet("out/**/*.parquet", hive_partitioning=True).select("a", "b").sort("b")
    assert_frame_equal(written, FRAME.select("a", "b").drop_nulls("b").sort("b"))
    assert len(list(Path("out").rglob("*.parquet"))) == written.height


def test_a_sink_that_rolls() -> None:
    sink = 'path = "out/"\nmode = "append"\nroll_every = "1h"\ncompression = "zstd"\ncompression_level = 3'
    for runs in (1, 2):
        Job.load(write(sink=sink)).pipeline().run_sync()
        assert pl.read_parquet("out/").height == runs * FRAME.height
        assert len(list(Path("out").iterdir())) == runs


def test_the_name() -> None:
    assert Job.load(write()).name == "j"
    path = Path(write())
    path.write_text(
        '[pipeline]\nname = "late flights"\n' + path.read_text(encoding="utf-8"), encoding="utf-8"
    )
    job = Job.load(path)
    assert job.name == "late flights"
    assert job.pipeline().name == "late flights"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            "[[steps]]\nfitler = 'a > 1'",
            "j.toml:5: unknown key 'fitler' in [[steps]] (did you mean 'filter'?)",
        ),
        ("[[step]]\nfilter = 'a > 1'", "j.toml:4: unknown key 'step' in the job (did you mean 'steps'?)"),
        (
            "[settings]\nmax_retries = 3",
            "j.toml:4: unknown key 'settings' in the job (settings are given in section [streaming] of "
            "./arrowstream.toml, or by variables such as ARROWSTREAM_MAX_RETRIES)",
        ),
        (
            "[gpu_batch_size]",
            "j.toml:4: unknown key 'gpu_batch_size' in the job (settings are given in section [streaming] of "
            "./arrowstream.toml, or by variables such as ARROWSTREAM_GPU_BATCH_SIZE)",
        ),
        (
            "[steps]\nfilter = 'a > 1'",
            "j.toml:4: [steps]: a step is written under [[steps]], in two pairs of brackets",
        ),
        (
            "[[steps]]\nbackend = 'arrow'",
            "j.toml:4: a step has exactly one operator, found none (one of 'filter', 'with_columns', "
            "'select', 'drop', 'rename', 'cast', 'explode', 'unnest', 'batch', 'with_event_time', 'window', ",
        ),
        (
            "[[steps]]\nfilter = 'a > 1'\ndrop = 'a'",
            "j.toml:4: a step has exactly one operator, found 'filter' and 'drop' (one of ",
        ),
        (
            "[[steps]]\nfilter = 'a > 1'\nbackend = 'arow'",
            "j.toml:6: 'backend' in [[steps]]: unknown name 'arow' (did you mean 'arrow'?)",
        ),
        (
            "[[steps]]\nbatch = { rows = 1 }\nbackend = 'polars'",
            "j.toml:6: 'backend' in [[steps]]: backend('polars') has no step",
        ),
        ("[[steps]]\nbatch = {}", "j.toml:5: 'batch' in [[steps]]: batch() has no limit"),
        (
            "[[steps]]\nbatch = { row = 1 }",
            "j.toml:5: unknown key 'row' in [[steps]] batch (did you mean 'rows'?)",
        ),
        (
            "[[steps]]\nbatch = { rows = 'x' }",
            "j.toml:5: 'rows' in [[steps]] batch: expected an integer of at least",
        ),
        ("[[steps]]\nbatch = 0", "j.toml:5: 'batch' in [[steps]]: expected an integer of at least 1, found "),
        ("[[steps]]\nfilter = []", "j.toml:5: 'filter' in [[steps]]: filter() has no predicate"),
        (
            "[[steps]]\nrename = { a = 1 }",
            "j.toml:5: 'a' in [[steps]] rename: expected a string, found the integer 1",
        ),
        (
            "[[steps]]\ndrop = 'xs'\n# and\n[[steps]]\nfilter = 'c > 1'",
            "j.toml:8: 'filter' in [[steps]]: filter() names a column that is not there",
        ),
        (
            "[[steps]]\nselect = ['a']\n[[steps]]\nfilter = 'a'",
            "j.toml:7: 'filter' in [[steps]]: filter() does not fit",
        ),
        (
            "[[steps]]\nwith_columns.n = 'sum(a)'",
            "j.toml:5: 'with_columns' in [[steps]]: an expression looks at other rows",
        ),
        ("steps = 3 3", "j.toml:4: not TOML: "),
    ],
)
def test_mistakes_in_steps(steps: str, message: str) -> None:
    assert refusal(write(steps)).startswith(message)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "j.toml:1: missing key 'path' in [source]"),
        ("path = 3", "j.toml:3: 'path' in [source]: expected a string, found the integer 3"),
        (
            "path = 'in.parquet'\nwwwww = ';'",
            "j.toml:4: unknown key 'wwwww' in [source] (one of 'kind', 'path', ",
        ),
        (
            "path = 'in.parquet'\nquote = ';'",
            "j.toml:4: unknown key 'quote' in [source] (did you mean 'quote_char'?)",
        ),
        *(
            (
                f"path = 'in.parquet'\n{name} = ';'",
                f"j.toml:4: unknown key '{name}' in [source] (did you mean 'delimiter'?)",
            )
            for name in ("sep", "separator", "delimeter")
        ),
        (
            "path = 'in.parquet'\nformat = 'parkett'",
            "j.toml:4: 'format' in [source]: unknown name 'parkett' (did you mean 'parquet'?)",
        ),
        ("path = 'none.parquet'", "j.toml:3: 'path' in [source]: there is no file none.parquet"),
        ("path = 'in.csv'\ndelimiter = ';;'", "j.toml:1: [source]: "),
        (
            "path = 'in.csv'\n[source.schema]\na = 'Int46'",
            "j.toml:5: 'a' in [source.schema]: unknown type 'Int46' (did you mean 'Int64'?)",
        ),
    ],
)
def test_mistakes_in_the_source(source: str, message: str) -> None:
    assert refusal(write(source=source)).startswith(message)


@pytest.mark.parametrize(
    ("sink", "message"),
    [
        ("", "j.toml:5: missing key 'path' in [sink]"),
        (
            "path = 'o.parquet'\noverwrite = 'yes'",
            "j.toml:8: 'overwrite' in [sink]: expected true or false, found ",
        ),
        ("path = 'o/'\nformat = 'parquet'\npartition_by = ['c']", "j.toml:5: [sink]: "),
        ("path = 'o.csv'", "j.toml:5: [sink]: "),
    ],
)
def test_mistakes_in_the_sink(sink: str, message: str) -> None:
    assert refusal(write(sink=sink)).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "j.toml:1: missing key 'source' in the job"),
        ("[source]\nkind = 'file'\npath = 'x'", "j.toml:1: missing key 'sink' in the job"),
        ("[sink]\n[source]\npath = 'x'", "j.toml:2: missing key 'kind' in [source]"),
        (
            "[sink]\n[source]\nkind = 'flie'",
            "j.toml:3: 'kind' in [source]: unknown name 'flie' (did you mean 'file'?)",
        ),
        ("sink = 3\nsource = 4", "j.toml:2: [source]: expected a table, found the integer 4"),
        (
            "[pipeline]\ntitle = 'x'\n[source]\n[sink]",
            "j.toml:2: unknown key 'title' in [pipeline] (one of 'name')",
        ),
        ("[pipeline]\nname = 1\n[source]\n[sink]", "j.toml:2: 'name' in [pipeline]: expected a string"),
    ],
)
def test_mistakes_in_the_file(text: str, message: str) -> None:
    Path("j.toml").write_text(text, encoding="utf-8")
    assert refusal("j.toml").startswith(message)


def test_a_gpu_that_is_missing_is_said_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_steps, "backend_names", lambda: ("auto", "arrow", "polars"))
    monkeypatch.setattr(job_steps, "missing", lambda: "no driver")
    place = "j.toml:6: 'backend' in [[steps]]"
    write("[[steps]]\nfilter = 'a > 1'\nbackend = 'gpu'")
    assert refusal("j.toml") == f"{place}: the backend 'gpu' is not ready here: no driver"


def test_a_missing_job() -> None:
    assert refusal("none.toml") == "none.toml: no such file"


def test_the_cause_of_a_mistake_is_kept() -> None:
    with pytest.raises(JobError) as raised:
        Job.load(write("[[steps]]\nfilter = 'c > 1'")).pipeline()
    assert raised.value.__cause__ is not None


def test_schemas_of_every_edge() -> None:
    job = Job.load(write("[[steps]]\nselect = ['a']\n\n[[steps]]\ncast = { a = 'String' }"))
    assert list(job.schemas()) == [
        ("source (j.toml:3)", FRAME.schema),
        ("step 1 select (j.toml:5)", pl.Schema({"a": pl.Int64})),
        ("step 2 cast (j.toml:8)", pl.Schema({"a": pl.String})),
    ]


def test_schemas_up_to_the_mistake() -> None:
    schemas = Job.load(write("[[steps]]\nfilter = 'c > 1'")).schemas()
    assert next(schemas)[1] == FRAME.schema
    with pytest.raises(JobError, match=r"^j\.toml:5: 'filter' in \[\[steps\]\]: "):
        next(schemas)


def test_another_kind_of_source(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Connector(lambda rows: TestSource.from_list([1] * rows), {"rows": "count"})
    monkeypatch.setitem(job_parts.SOURCES, "ones", kind)
    Path("j.toml").write_text('source = {kind="ones", rows=3}\nsink = {kind="file", path="o.csv"}')
    job = Job.load("j.toml")
    job.pipeline().run_sync()
    assert Path("o.csv").read_text() == "value\n1\n1\n1\n"
    assert [label for label, _ in job.schemas()] == ["source (j.toml:1)"]
    Path("j.toml").write_text('source = {kind="ones"}\nsink = {kind="file", path="o.csv"}')
    with pytest.raises(JobError, match=r"^j.toml:1: missing key 'rows' in \[source\]"):
        Job.load("j.toml")
    Path("j.toml").write_text('source = {kind="ones", rows=-1}\nsink = {kind="file", path="o.csv"}')
    with pytest.raises(JobError, match="expected an integer of at least 1"):
        Job.load("j.toml")


@pytest.mark.parametrize("kind", ["frame", "channel", "fn"])
def test_what_takes_python_objects_is_no_source_of_a_job(kind: str) -> None:
    Path("j.toml").write_text(f'source = {{kind="{kind}"}}\nsink = {{kind="file", path="o.csv"}}')
    with pytest.raises(JobError, match=rf"^j.toml:1: 'kind' in \[source\]: '{kind}' takes Python objects"):
        Job.load("j.toml")
