"""A run in a cell of a notebook: the live widget, the HTML next to it, and what a real kernel gets."""

import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
import polars as pl
import pytest
from background_runs import Fed, failing, until
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import run_kernel
from nbclient import NotebookClient

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.page import cell
from arrowstream.page.widget import live_widget

pytestmark = pytest.mark.once


def version_of(package: str) -> tuple[int, ...]:
    return tuple(map(int, version(package).split(".")[:2]))


WIDGET = "application/vnd.jupyter.widget-view+json"


class Shell:
    """Stands in for a notebook: keeps what is displayed, and what replaces it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_notebook: bool = True) -> None:
        self.shown: list[dict[str, Any]] = []
        handle = type("Handle", (), {"update": lambda _, bundle, raw: self.shown.append(bundle)})()

        def display(bundle: dict[str, Any], *, raw: bool, display_id: bool) -> Any:
            assert raw and display_id
            self.shown.append(bundle)
            return handle if is_notebook else None

        monkeypatch.setattr("IPython.display.display", display)


def test_a_cell_has_the_live_view_and_html_that_is_final_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(monkeypatch)
    fed = Fed()
    with fed.pipeline.start() as running:
        running._ipython_display_()
        [first] = shell.shown
        assert first["text/plain"].startswith("<Running running: ") and WIDGET in first
        assert "running: " in first["text/html"] and "<svg" in first["text/html"]
        fed.send(2)
        until(lambda: running.metrics().rows_out == 1)
    until(lambda: len(shell.shown) == 2)
    assert "done: 1 row in" in shell.shown[1]["text/html"] and shell.shown[1][WIDGET] == first[WIDGET]


def test_without_widgets_the_html_is_written_anew_while_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.setattr(cell, "_EVERY", 0.01)
    shell = Shell(monkeypatch)
    fed = Fed()
    with fed.pipeline.start() as running:
        cell.show_in_cell(running)
        assert WIDGET not in shell.shown[0]
        fed.send(2, 4)
        until(lambda: any("2 rows in" in bundle["text/html"] for bundle in list(shell.shown)))
    until(lambda: "done: " in shell.shown[-1]["text/html"])


@pytest.mark.parametrize("is_notebook", [True, False])
def test_a_run_that_has_ended_is_shown_once(monkeypatch: pytest.MonkeyPatch, is_notebook: bool) -> None:
    shell = Shell(monkeypatch, is_notebook=is_notebook)
    fed = Fed()
    fed.tx.close()
    running = fed.pipeline.start()
    running.wait(60)
    cell.show_in_cell(running)
    assert [bundle["text/plain"].split(":")[0] for bundle in shell.shown] == ["<Running done"]


def test_a_failed_run_shows_its_error_and_its_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(monkeypatch)
    fed = Fed(Sink.to_fn(failing))
    running = fed.pipeline.start()
    fed.send(2)
    until(lambda: running.done)
    cell.show_in_cell(running)
    assert '<div class="as-error" role="alert"><b>SinkError</b> ' in shell.shown[0]["text/html"]
    assert "no room" in shell.shown[0]["text/html"]


def test_the_lines_of_an_error_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(monkeypatch)
    source = Source.from_frame(pl.DataFrame({"x": [1]}))
    failed = Pipeline.builder().source(source).map(failing, schema={"x": int}).sink(Sink.to_fn(len))
    running = failed.build().start()
    until(lambda: running.done)
    cell.show_in_cell(running)
    _, _, box = shell.shown[0]["text/html"].partition('role="alert">')
    assert box.startswith("<b>StageError</b> ValueError: no room (stage map)<pre>")
    assert "hint: after the step, .on_error(" in box and "\\n" not in box


def test_what_is_noted_without_a_loss_is_not_red(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shell = Shell(monkeypatch)
    pl.DataFrame({"x": [1]}).write_csv(tmp_path / "a.csv")
    source = Source.from_file(tmp_path / "*.csv", watch="10ms")
    with Pipeline.builder().source(source).sink(Sink.to_fn(len)).build().start() as running:
        until(lambda: running.metrics().rows_out == 1)
    cell.show_in_cell(running)
    html = shell.shown[0]["text/html"]
    assert '<p class="as-said">noted: 1 file read' in html and '<p class="as-lost">' not in html


class Front:
    """Stands in for the script of a widget: what the kernel sent to it."""

    def __init__(self, widget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.widget = widget
        self.sent: list[dict[str, Any]] = []
        monkeypatch.setattr(type(widget), "send", lambda _, message, buffers=None: self.sent.append(message))

    def ask(self, number: int, **question: Any) -> dict[str, Any]:
        self.widget._handle_custom_msg({"number": number, **question}, [])
        return next(message for message in self.sent if message.get("number") == number)


def test_the_widget_answers_questions_and_sends_figures_until_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("arrowstream.page.widget._EVERY", 0.01)
    fed = Fed()
    with fed.pipeline.start() as running:
        widget = live_widget(running)
        front = Front(widget, monkeypatch)
        assert widget.first["state"]["name"] == "fed" and widget.first["graph"]["svg"].startswith("<svg")
        assert "export default { render }" in widget._esm and "as-live" in widget._css
        fed.send(2)
        until(lambda: any(message.get("state", {}).get("rows_out") == 1 for message in list(front.sent)))
        assert front.ask(1, what="state")["answer"]["state"] == "running"
        assert front.ask(2, what="tail", stage="sink", rows=3)["answer"]["columns"] == [("x", "Int64")]
        assert front.ask(3, what="history")["answer"].keys() <= {"source", "filter", "sink"}
        assert front.ask(4, what="graph")["answer"]["outline"]["nodes"][0]["id"] == "source"
        assert front.ask(5, what="nothing")["error"].startswith("KeyError")
        assert front.ask(6, what="stop")["answer"] is None
    # The answer to the last question may come after it.
    until(lambda: any(message.get("state", {}).get("state") == "done" for message in list(front.sent)))


def test_outside_of_notebooks_ipython_prints_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell.instance()
    try:
        fed = Fed()
        fed.tx.close()
        running = fed.pipeline.start()
        running.wait(60)
        shell.display_formatter.format(running)  # type: ignore[union-attr]
        assert capsys.readouterr().out.startswith("<Running done: fed: 0 rows in")
    finally:
        InteractiveShell.clear_instance()


def test_on_a_terminal_ipython_prints_a_run_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It cannot replace what it has printed, and would write a line a second into what its user types."""
    monkeypatch.setattr(cell, "_EVERY", 0.001)
    shell = InteractiveShell.instance()
    try:
        fed = Fed()
        with fed.pipeline.start() as running:
            before = set(threading.enumerate())
            shell.display_formatter.format(running)  # type: ignore[union-attr]
            assert {each.name for each in set(threading.enumerate()) - before} <= {
                "IPythonHistorySavingThread"
            }
        assert capsys.readouterr().out.count("<Running ") == 1
    finally:
        InteractiveShell.clear_instance()


def test_losses_are_shown_in_red(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(monkeypatch)
    fed = Fed(Sink.to_fn(failing), ErrorHandler.skip())
    fed.send(2)
    fed.tx.close()
    running = fed.pipeline.start()
    running.wait(60)
    cell.show_in_cell(running)
    assert '<p class="as-lost">' in shell.shown[0]["text/html"]


def test_without_jupyter_a_view_is_no_widget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anywidget.AnyWidget._repr_mimebundle_", lambda *_, **__: None)
    shell = Shell(monkeypatch)
    fed = Fed()
    with fed.pipeline.start() as running:
        cell.show_in_cell(running)
    assert set(shell.shown[0]) == {"text/plain", "text/html"}


@pytest.mark.untraced
def test_a_real_kernel_shows_a_run_and_its_end() -> None:
    code = """
import polars as pl
from arrowstream import Pipeline, Sink, Source, channel
tx, rx = channel(capacity=4)
source = Source.from_channel(rx, schema={"x": pl.Int64})
running = Pipeline.builder("shown").source(source).filter(pl.col("x") > 1).sink(Sink.to_fn(len)).build().start()
running
"""
    end = "await tx.send(pl.DataFrame({'x': [1, 2, 3]}))\ntx.close()\nreport = running.wait(60)\nreport"
    cells = [nbformat.v4.new_code_cell(each) for each in (code, end)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120).execute()
    [shown] = notebook.cells[0].outputs
    assert shown.output_type == "display_data"
    assert {"text/plain", "text/html", WIDGET} <= set(shown.data)
    [report] = notebook.cells[1].outputs
    assert "3 rows in, 2 rows out" in report.data["text/html"]


AWAITED = """
import polars as pl
from arrowstream import Pipeline, Sink, Source, channel
from arrowstream.page.widget import live_widget
tx, rx = channel(capacity=4)
source = Source.from_channel(rx, schema={"x": pl.Int64})
running = Pipeline.builder("awaited").source(source).sink(Sink.to_fn(len)).build().start()
print(live_widget(running).comm.comm_id)
"""


@pytest.mark.untraced
@pytest.mark.skipif(version_of("ipykernel") < (7, 4), reason="an older kernel answers between cells")
def test_a_cell_that_awaits_a_run_leaves_the_stop_button_working() -> None:
    with run_kernel(kernel_name="python3") as kernel:
        printed: list[str] = []
        kernel.execute_interactive(
            AWAITED,
            timeout=120,
            output_hook=lambda message: printed.append(message["content"].get("text", "")),
        )
        cell = kernel.execute("await running\nrunning.report.stopped")
        # Once the cell has begun; the run itself waits for rows that never come.
        while kernel.get_iopub_msg(timeout=120)["msg_type"] != "execute_input":
            pass
        stop = {"method": "custom", "content": {"number": 1, "what": "stop"}}
        message = kernel.session.msg("comm_msg", {"comm_id": "".join(printed).strip(), "data": stop})
        kernel.shell_channel.send(message)
        reply = kernel.get_shell_msg(timeout=120)
        assert reply["parent_header"]["msg_id"] == cell and reply["content"]["status"] == "ok"
