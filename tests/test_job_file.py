"""Reading TOML files with the place of every mistake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arrowstream.config.toml_file import JobFile, Value, nearest
from arrowstream.errors import JobError

pytestmark = pytest.mark.once

TEXT = """\
flag = true
number = 3
zero = 0
half = 0.5
name = "x"
names = [
  "x",
  7,
]
day = 2013-01-01
[table]
x = 1
[[steps]]
deep = { y = 1 }
"""


@pytest.fixture
def root() -> Value:
    return JobFile("j.toml", TEXT).root


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb ! 2\n", "j.toml:2: not TOML: Expected '=' after a key in a key/value pair"),
        ("a = 1\na = 2\n", "j.toml:2: not TOML: Cannot overwrite a value"),
        ("a = 1\r\nb = \r\n", "j.toml:2: not TOML: Invalid value"),
        ("a = 1\n\nb = [1,\n\n", "j.toml:3: not TOML: Invalid value"),
        ('a = """\n', "j.toml:1: not TOML: Unterminated string"),
    ],
)
def test_bad_toml(text: str, message: str) -> None:
    with pytest.raises(JobError) as raised:
        JobFile("j.toml", text)
    assert str(raised.value) == message


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JobError, match=r"^none\.toml: no such file$"):
        JobFile.read("none.toml")
    Path("folder.toml").mkdir()
    with pytest.raises(JobError, match=r"^folder\.toml: Is a directory$"):
        JobFile.read(Path("folder.toml"))
    Path("latin.toml").write_bytes('a = 1\nb = "é"'.encode("latin-1"))
    with pytest.raises(JobError, match=r"^latin\.toml:2: not TOML: the text is not UTF-8$"):
        JobFile.read("latin.toml")


def test_windows_files(tmp_path: Path) -> None:
    path = tmp_path / "j.toml"
    path.write_bytes("\ufeffa = 1\r\nb = 'é'\r\n".encode())
    root = JobFile.read(path).root
    assert root.found == {"a": 1, "b": "é"}
    assert root.need("b").line == 2


def test_good_values(root: Value) -> None:
    assert root.need("flag").flag() is True
    assert root.need("number").count() == 3
    assert root.need("name").one_of(["x", "y"]) == "x"
    assert root.need("name").texts() == ["x"]
    assert root.maybe("name", Value.text) == "x"
    assert root.maybe("no", Value.text) is None
    assert root.need("table").table()["x"].found == 1
    root.need("table").check_keys(("x", "y"), required=("x",))


@pytest.mark.parametrize(
    ("key", "read", "message"),
    [
        ("flag", Value.text, "j.toml:1: [flag]: expected a string, found the boolean true"),
        (
            "flag",
            Value.count,
            "j.toml:1: [flag]: expected an integer of at least 1, found the boolean true",
        ),
        (
            "zero",
            Value.count,
            "j.toml:3: [zero]: expected an integer of at least 1, found the integer 0",
        ),
        (
            "half",
            Value.count,
            "j.toml:4: [half]: expected an integer of at least 1, found the float 0.5",
        ),
        ("name", Value.flag, "j.toml:5: [name]: expected true or false, found the string 'x'"),
        ("names", Value.text, "j.toml:6: [names]: expected a string, found an array"),
        (
            "names",
            Value.texts,
            "j.toml:8: item 2 of [names]: expected a string, found the integer 7",
        ),
        ("day", Value.text, "j.toml:10: [day]: expected a string, found a date or time"),
        ("table", Value.text, "j.toml:11: [table]: expected a string, found a table"),
        ("steps", Value.table, "j.toml:13: [steps]: expected a table, found an array"),
        ("name", lambda v: v.one_of(["y"]), "j.toml:5: [name]: unknown name 'x' (one of 'y')"),
        (
            "name",
            lambda v: v.one_of(["xx"]),
            "j.toml:5: [name]: unknown name 'x' (did you mean 'xx'?)",
        ),
        ("table", lambda v: v.check_keys(["y"]), "j.toml:12: unknown key 'x' in [table] (one of 'y')"),
        ("table", lambda v: v.check_keys(["x"], ["y"]), "j.toml:11: missing key 'y' in [table]"),
        ("table", lambda v: v.need("z"), "j.toml:11: missing key 'z' in [table]"),
    ],
)
def test_wrong_values(root: Value, key: str, read: Callable[[Value], Any], message: str) -> None:
    with pytest.raises(JobError) as raised:
        read(root.need(key))
    assert str(raised.value) == message


def test_wrong_values_in_arrays_of_tables(root: Value) -> None:
    (step,) = root.need("steps").items()
    with pytest.raises(JobError, match=r"^j\.toml:13: missing key 'x' in \[\[steps\]\]$"):
        step.need("x")
    with pytest.raises(JobError, match=r"^j\.toml:14: 'y' in \[\[steps\]\] deep: expected a string"):
        step.need("deep").need("y").text()
    with pytest.raises(JobError, match=r"^j\.toml:13: item 1 of \[steps\]: expected a string"):
        step.text()


def test_the_file_as_a_whole(root: Value) -> None:
    with pytest.raises(JobError, match=r"^j\.toml:1: missing key 'source' in the job$"):
        root.need("source")
    with pytest.raises(JobError, match=r"^j\.toml:3: unknown key 'zero' in the job \(one of "):
        root.check_keys(("flag", "number"))
    assert root.file.line(("table", "not there")) == 11


def test_a_message_stays_on_one_line(root: Value) -> None:
    assert str(root.need("name").error("a\n b")).endswith(": a b")


def test_the_nearest_name() -> None:
    assert nearest("fitler", ["filter", "select"]) == "did you mean 'filter'?"
    assert nearest("", ["filter"]) == "one of 'filter'"
