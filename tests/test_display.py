"""The progress bar and the report table."""

import io
import re
import sys

import pytest
from rich.console import Console

from arrowstream.errors import MissingExtra
from arrowstream.metrics.counters import StageCounters
from arrowstream.metrics.snapshot import Metrics
from arrowstream.metrics.stage import StageMetrics
from arrowstream.runtime.report import Progress, RunReport
from arrowstream.terminal import PIPED_WIDTH, print_report, progress_bar

pytestmark = pytest.mark.once

REPORT = RunReport(
    "late",
    336_776,
    26_581,
    0.5,
    (
        StageMetrics("source", 336_776, 336_776, {"read": 12}, 0.2, 0.9),
        StageMetrics("with_columns+filter[x]", 336_776, 26_581, {"arrow": 3, "polars": 1200}, 0.1234),
        StageMetrics("sink", 26_581, 26_581),
    ),
)


def terminal(width: int = 110) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, highlight=False)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_bar_is_there_before_the_first_batch() -> None:
    console = terminal()
    with progress_bar("late", console=console):
        assert "late" in text(console)


def test_the_bar_shows_rows_and_speed() -> None:
    console = terminal()
    with progress_bar("late", console=console) as show:
        show(Progress(1000, 10, 0.5, 4000))
        assert "1,000 rows in, 10 out, 2,000 rows/s" in text(console)
        show(Progress(2000, 20, 0.0))
        assert "2,000 rows in, 20 out, 0 rows/s" in text(console)


@pytest.mark.parametrize(("known", "told"), [(4000, None), (None, 4000), (9, 4000)])
def test_the_bar_is_as_long_as_the_rows_read(known: int | None, told: int | None) -> None:
    console = terminal()
    with progress_bar("late", known, console=console) as show:
        show(Progress(2000, 0, 1.0, told))
        assert text(console).split("\r")[-1].count("━") == 10  # half of 20


def test_a_name_with_brackets_is_no_markup() -> None:
    console = terminal()
    with progress_bar("late[red]", console=console):
        assert "late[red]" in text(console)


def test_output_of_the_users_code_is_not_moved_to_the_bars_stream() -> None:
    before = sys.stdout
    with progress_bar("late", console=terminal()):
        assert sys.stdout is before


def test_nothing_is_drawn_off_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar("late") as show:
        show(Progress(1, 1, 1.0))
    assert capsys.readouterr() == ("", "")


def test_the_bar_goes_to_stderr_of_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("late") as show:
        show(Progress(1, 1, 1.0))
    out, err = capsys.readouterr()
    assert out == ""
    assert "late" in err


def counted_stage(name: str, rows: int, seconds: float) -> StageCounters:
    counters = StageCounters(name)
    counters.rows_in = counters.rows_out = rows
    counters.busy_ns = round(seconds * 1e9)
    return counters


def test_figures_of_the_stages_are_below_the_bar_with_the_rates_of_the_last_second() -> None:
    console = terminal()
    moments = [
        Metrics.of("late", seconds=seconds, between=[counted_stage("filter[x]", rows, busy)])
        for seconds, rows, busy in ((0.0, 0, 0.0), (2.0, 1000, 1.0), (4.0, 5000, 1.5), (4.5, 6000, 1.5))
    ]
    now = [moments[0]]
    with progress_bar("late", metrics=lambda: now[0], console=console) as show:
        for moment, rate, busy in zip(
            moments[1:], ("500", "2,000", "2,000"), ("50%", "25%", "20%"), strict=True
        ):
            now[0] = moment
            show(Progress(moment.rows_in, 0, moment.seconds))
            shown = [line.split() for line in text(console).splitlines() if line.startswith("filter[x]")]
            stage = moment.stages["filter[x]"]
            rows = f"{stage.rows_in:,}"
            assert shown[-1] == ["filter[x]", rows, rows, rate, "-", busy, "-", "0", "0"]


def test_rates_do_not_begin_at_the_end_of_an_earlier_run() -> None:
    """Until a run has begun, the metrics of its pipeline are those of the run before."""
    console = terminal()
    moments = [
        Metrics.of("late", seconds=seconds, between=[counted_stage("filter", rows, 0.0)])
        for seconds, rows in ((10.0, 1_000_000), (0.5, 50), (11.5, 1150))
    ]
    now = [moments[0]]
    with progress_bar("late", metrics=lambda: now[0], console=console) as show:
        for moment in moments[1:]:
            now[0] = moment
            show(Progress(moment.rows_in, 0, moment.seconds))
            shown = [line.split() for line in text(console).splitlines() if line.startswith("filter ")]
            assert shown[-1][3] == "100"


def test_the_report_is_a_line_of_totals_and_a_table_of_stages() -> None:
    console = terminal()
    print_report(REPORT, console=console)
    assert [line.rstrip() for line in text(console).splitlines()] == [
        "late: 336,776 rows in, 26,581 rows out, 0.50 s, 673,552 rows/s",
        "stage                   rows in  rows out  busy s  waiting s  batches",
        "source                  336,776   336,776   0.200      0.900  read 12",
        "with_columns+filter[x]  336,776    26,581   0.123      0.000  arrow 3, polars 1,200",
        "sink                     26,581    26,581   0.000      0.000",
    ]


def test_a_narrow_terminal_folds_names_but_never_numbers() -> None:
    console = terminal(width=55)
    print_report(REPORT, console=console)
    lines = text(console).splitlines()
    assert lines[0] == REPORT.summary
    assert all("…" not in line and len(line) <= 55 for line in lines[1:])
    assert any("336,776    26,581   0.123      0.000" in line for line in lines)


def test_a_piped_report_is_plain_and_wide(capsys: pytest.CaptureFixture[str]) -> None:
    name = "1-9 " + "with_columns+" * 7
    print_report(RunReport("late", 0, 0, 0.0, (StageMetrics(name, 1, 1),)))
    out, err = capsys.readouterr()
    assert name in out
    assert "\x1b" not in out
    assert err == ""
    assert max(map(len, out.splitlines())) <= PIPED_WIDTH


def test_a_report_on_a_terminal_has_its_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("TERM", "xterm")
    print_report(REPORT)
    plain = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert max(map(len, plain.splitlines()[1:])) <= 50


def test_the_summary_says_why_a_run_ended_early() -> None:
    assert RunReport("late", 2, 1, 0.0, (), "limit").summary.endswith("0 rows/s, ended early (limit)")


def test_nothing_is_drawn_on_a_console_that_is_no_terminal() -> None:
    text = io.StringIO()
    with progress_bar("x", console=Console(file=text)) as show:
        show(Progress(1, 1, 1.0))
    assert text.getvalue() == ""


def test_without_rich_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with progress_bar("x") as show:  # off a terminal there is nothing to draw with
        show(Progress(1, 1, 1.0))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with (
        pytest.raises(MissingExtra, match=r"progress bar needs the extra 'cli'") as raised,
        progress_bar("x"),
    ):
        pass
    assert raised.value.hint == "pip install 'arrowstream[cli]'"
    with pytest.raises(MissingExtra, match="a report needs the extra 'cli'"):
        print_report(REPORT)


def test_a_report_as_text() -> None:
    text = str(REPORT)
    assert text.splitlines()[0] == REPORT.summary
    for line, stage in zip(text.splitlines()[1:], REPORT.stages, strict=True):
        assert line.startswith(f"  {stage.name}")
        assert f"{stage.rows_in:,} rows in, {stage.rows_out:,} rows out" in line
    assert str(RunReport("none", 0, 0, 0.0, ())) == "none: 0 rows in, 0 rows out, 0.00 s, 0 rows/s"
    lone = RunReport("p", 1, 1, 1.0, (StageMetrics("source", 1, 1),))
    assert str(lone).endswith("\n  source  1 row in, 1 row out, 0.000 s busy")
    assert "0.200 s busy, 0.900 s waiting (read 12)" in text


def test_what_was_lost_stands_last() -> None:
    window = StageMetrics(
        "window", 9, 1, late_rows=1_002, late_rows_kept=2, failed_rows=5, dead_letter_rows=4
    )
    sink = StageMetrics("sink", 3, 3, dropped_rows=7, limited_rows=8, aborted=True)
    report = RunReport("p", 9, 3, 1.0, (window, sink))
    assert report.lost_rows == 1_008
    assert report.losses == (
        "lost: 1,000 rows came late to window; 1 row failed in window and was skipped; "
        "7 rows dropped before sink, which is best effort; "
        "sink, which is best effort, failed and was aborted after 3 rows"
    )
    assert str(report).splitlines()[-1] == report.losses
    assert "window  9 rows in, 1 row out, 1,002 late, 5 failed, 0.000 s busy" in str(report)
    assert "sink    3 rows in, 3 rows out, 7 dropped, 8 over the limit, 0.000 s busy" in str(report)
    console = terminal()
    print_report(report, console=console)
    assert text(console).splitlines()[-1].rstrip() == report.losses
    assert REPORT.losses is None
