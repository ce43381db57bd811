"""What IPython shows, in its own process: forms of objects, and errors without the frames of libraries."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from arrowstream import Pipeline, RunReport, Settings, Sink, Source
from arrowstream.display.traceback import WHOLE, short_traceback, users_frames
from arrowstream.errors import ArrowstreamError, PlanError, SchemaError

pytestmark = pytest.mark.once

FRAME = pl.DataFrame({"x": [1, 2]})

FORMS: dict[str, Callable[[], Any]] = {
    "builder": lambda: Pipeline.builder(name="p").source(Source.from_frame(FRAME)),
    "pipeline": lambda: Pipeline.builder().source(Source.from_frame(FRAME)).sink(Sink.to_fn(print)).build(),
    "source": lambda: Source.from_frame(FRAME),
    "source with a time": lambda: Source.from_frame(FRAME).with_event_time("x"),
    "sink": lambda: Sink.to_fn(print),
    "best effort": lambda: Sink.to_fn(print).best_effort(),
    "fan-out": lambda: Sink.fanout([Sink.to_fn(print)]),
    "report": lambda: RunReport("p", 1, 1, 1.0, ()),
    "metrics": lambda: FORMS["pipeline"]().metrics(),
    "settings": Settings,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_notebook_gets_text_and_html(form: str) -> None:
    """JupyterLab takes the richest form, VS Code shows HTML without scripts, a console takes the text."""
    thing = FORMS[form]()
    data, metadata = DisplayFormatter().format(thing)
    assert set(data) == {"text/plain", "text/html"} and metadata == {}
    assert (
        data["text/html"].startswith('<div class="arrowstream"><style>')
        and "<script" not in data["text/html"]
    )
    assert data["text/html"] == thing._repr_html_()
    assert data["text/plain"] and "<" not in data["text/plain"]
    assert max(map(len, data["text/plain"].split("\n"))) < 200
    assert DisplayFormatter().format(thing, include=["text/plain"])[0] == {"text/plain": data["text/plain"]}


def test_an_error_as_the_value_of_a_cell() -> None:
    data, _ = DisplayFormatter().format(PlanError("it is wrong", hint="do it"))
    assert "it is wrong" in data["text/html"] and "PlanError" in data["text/plain"]


def test_the_classes_themselves_are_shown_as_ever() -> None:
    for kind in (Pipeline, Source, Sink, Settings, PlanError):
        assert set(DisplayFormatter().format(kind)[0]) == {"text/plain"}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    for name in ("displayhook", "excepthook"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    made = InteractiveShell.instance(config=config)
    made.run_cell("import polars as pl\nfrom arrowstream import *", silent=True)
    made.run_cell(
        "b = Pipeline.builder('x').source(Source.from_frame(pl.DataFrame({'price': [1, 2]})))", silent=True
    )
    yield made
    made.restore_sys_module_state()
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, capsys: pytest.CaptureFixture[str], code: str) -> list[str]:
    capsys.readouterr()
    shell.run_cell(code, store_history=True)
    return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).rstrip("\n").split("\n")


def test_a_mistake_in_a_cell(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(shell, capsys, "b.filter(pl.col('pricee') > 1).collect_sync()")
    assert re.fullmatch(r"Cell In\[\d+\], line 1", found[0])
    assert found[1:] == [
        "    b.filter(pl.col('pricee') > 1).collect_sync()",
        "SchemaError: filter() names a column that is not there (stage filter)",
        "  expected: one of the columns price",
        "  found: pricee",
        "  hint: did you mean 'price'?",
        WHOLE,
    ]


def test_a_function_that_fails(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    run(shell, capsys, "def outer(batch):\n    return inner(batch)")
    lines = (
        "def inner(batch):",
        "    if batch.num_rows:",
        "        raise ValueError('red \\x1b[31m')",
        "    return batch",
    )
    run(shell, capsys, "\n".join(lines))
    found = run(shell, capsys, "b.map(outer).collect_sync()")
    text = "\n".join(found)
    assert "StageError: ValueError: red \\x1b[31m (stage map)" in text
    assert "position: frame rows 0-2" in text and "caused by" in found
    assert re.search(r"Cell In\[\d+\], line 2, in outer\n    return inner\(batch\)", text)
    assert re.search(r"Cell In\[\d+\], line 3, in inner\n    raise ValueError", text)
    assert found[-2:] == ["ValueError: red \\x1b[31m", WHOLE]
    assert "arrowstream/" not in text and len(found) < 16


def test_the_whole_traceback(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    run(shell, capsys, "b.fliter()")
    run(shell, capsys, "%xmode Verbose")
    text = "\n".join(run(shell, capsys, "%tb"))
    assert "arrowstream/pipeline.py" in text and "did you mean 'filter'?" in text and WHOLE not in text
    run(shell, capsys, "%xmode Context")
    assert WHOLE in run(shell, capsys, "b.fliter()")


def test_builders_in_a_console(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shell, capsys, "b")[-1].endswith("Builder 'x': frame -> no sink yet")


def wrong(*_: object) -> None:
    raise SchemaError("from a file")


def test_a_frame_of_a_file(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.push({"wrong": wrong})
    found = run(shell, capsys, "wrong()")
    assert re.fullmatch(rf"{re.escape(__file__)}, line \d+, in wrong", found[2])


def failed(call: Callable[[], object]) -> ArrowstreamError:
    with pytest.raises(ArrowstreamError) as raised:
        call()
    return raised.value


def test_frames_of_files_and_without_a_shell() -> None:
    error = failed(wrong)
    found = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in short_traceback(error)]
    assert re.fullmatch(rf"{re.escape(__file__)}, line \d+, in wrong", found[-4])
    assert found[-3:] == ['    raise SchemaError("from a file")', "SchemaError: from a file", WHOLE]
    assert error._render_traceback_() == short_traceback(error)


def test_many_frames_are_cut_in_the_middle() -> None:
    def deep(left: int) -> None:
        if not left:
            raise PlanError("deep")
        deep(left - 1)

    error = failed(lambda: deep(30))
    assert len(users_frames(error.__traceback__)) > 30
    assert sum(", line " in line for line in short_traceback(error)) == 8


@pytest.mark.parametrize(
    "folder", ["/usr/lib/python3/dist-packages", "/home/a/.venv/lib/python3.11/site-packages"]
)
def test_code_of_libraries(folder: str) -> None:
    names: dict[str, Any] = {"PlanError": PlanError}
    exec(compile("def wrong():\n    raise PlanError('it')", f"{folder}/lib/code.py", "exec"), names)
    assert [frame.name for frame in users_frames(failed(names["wrong"]).__traceback__)] == ["failed"]


def test_code_without_a_file() -> None:
    names: dict[str, Any] = {"PlanError": PlanError}
    exec(compile("def wrong():\n    raise PlanError('it')", "<string>", "exec"), names)
    exec(compile("def cell():\n    wrong()", "<ipython-input-1>", "exec"), names)
    frames = users_frames(failed(names["cell"]).__traceback__)
    assert frames[-1].filename == "<ipython-input-1>" and frames[-1].line == ""
    assert any(
        "<ipython-input-1>, line 2, in cell" in line for line in short_traceback(failed(names["cell"]))
    )


def test_a_circle_of_causes_ends() -> None:
    one, other = PlanError("one"), PlanError("other")
    one.__cause__, other.__cause__ = other, one
    assert [line for line in short_traceback(one) if "PlanError" in line] == [
        f"\x1b[1;31mPlanError\x1b[0m: {name}" for name in ("one", "other")
    ]
