"""The benchmarks run and give figures. How good these are is never a test."""

import math
import re

import pytest

from benchmarks import __main__ as command
from benchmarks.etl_job import ENGINES, peak_bytes
from benchmarks.harness import Figure, Section, as_markdown, as_text, in_turn, percentile, ratio
from benchmarks.machine import made_once

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.etl.DATA", tmp_path / "data")
    monkeypatch.setattr("benchmarks.text.DATA", tmp_path / "data")
    monkeypatch.setattr("benchmarks.small_files.DATA", tmp_path / "data")
    monkeypatch.setattr("benchmarks.nexmark.stateless.DATA", tmp_path / "data")
    monkeypatch.setattr("benchmarks.nexmark.timing.DATA", tmp_path / "data")
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results.md")


@pytest.mark.untraced
@pytest.mark.parametrize("name", command.BENCHMARKS)
def test_gives_figures(name):
    section = command.BENCHMARKS[name]("tiny")
    assert section.title
    assert section.figures
    for figure in section.figures:
        assert figure.what
        assert math.isfinite(figure.value)


def test_every_engine_of_the_etl_measures_its_memory():
    assert set(ENGINES) == {"arrowstream", "polars", "duckdb"}
    assert peak_bytes() > 10 * 2**20


def test_an_input_whose_making_was_interrupted_is_made_again(tmp_path):
    path = tmp_path / "data" / "input.parquet"

    def interrupted(place):
        place.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made_once(path, interrupted)
    assert not path.exists()
    made_once(path, lambda place: place.write_text("whole"))
    assert made_once(path, interrupted).read_text() == "whole"


def section(scale):
    """In place of a benchmark that takes a minute."""
    return Section(f"Sizes: {scale}", (Figure("speed", 0.5, "x", at_least=0.9, note="slow"),))


def test_a_complete_run_is_kept(monkeypatch, capsys):
    monkeypatch.setattr(command, "BENCHMARKS", {"one": section, "two": section})
    command.main([])
    kept = command.RESULTS.read_text()
    assert kept.startswith("# Benchmark results\n\n- ")
    assert kept.count("## Sizes: full") == 2
    assert "| speed | 0.50x | ≥ 0.90x | ✗ | slow |" in kept
    assert re.search(r"Python 3\.\d+.*, polars \d.*, pyarrow \d.*, duckdb \d", kept)
    assert "measuring two ..." in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["one"], ["--quick"], ["one", "--quick"]])
def test_a_part_is_only_printed(arguments, monkeypatch, capsys):
    monkeypatch.setattr(command, "BENCHMARKS", {"one": section})
    command.main(arguments)
    assert not command.RESULTS.exists()
    assert ("Sizes: quick" if "--quick" in arguments else "Sizes: full") in capsys.readouterr().out


def test_a_part_that_is_to_be_kept_replaces_its_section(monkeypatch):
    def other(scale):
        return Section("Other", (Figure("speed", 2.0, "x"),))

    monkeypatch.setattr(command, "BENCHMARKS", {"one": section, "two": other})
    command.main([])
    before = command.RESULTS.read_text()
    monkeypatch.setattr(
        command, "BENCHMARKS", {"one": lambda scale: Section("Sizes: full", (Figure("speed", 0.7, "x"),))}
    )
    command.main(["one", "--keep"])
    kept = command.RESULTS.read_text()
    assert "| speed | 0.70x |" in kept and "0.50x" not in kept and kept.count("## ") == 2
    assert re.search(r"\nMeasured after the rest of this page: \d{4}-\d\d-\d\d, ", kept)
    assert kept.index("## Sizes") < kept.index("## Other")
    assert before.startswith(kept.partition("\n\n## ")[0])


def test_an_unknown_name_is_told(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["etle"])
    assert stopped.value.code == 2
    assert "no benchmark etle; there are bare_loop, throughput, latency" in capsys.readouterr().err


@pytest.mark.parametrize(
    "figure, cells",
    [
        (Figure("a", 1.0, "x", at_least=0.9), ("a", "1.00x", "≥ 0.90x", "✓", "")),
        (Figure("a", 0.89, "x", at_least=0.9), ("a", "0.89x", "≥ 0.90x", "✗", "")),
        (Figure("a", 41.25, "us", at_most=40), ("a", "41.2 us", "≤ 40.0 us", "✗", "")),
        (Figure("a", 1234.5, "us", at_most=2000, note="n"), ("a", "1,234 us", "≤ 2,000 us", "✓", "n")),
        (Figure("a", 12.0, "MB"), ("a", "12.0 MB", "", "", "")),
    ],
)
def test_a_figure_stands_beside_its_budget(figure, cells):
    assert figure.cells == cells


def test_rivals_take_turns():
    calls = []
    rivals = {name: lambda name=name: float(len(calls.append(name) or calls)) for name in "ab"}
    assert in_turn(rivals, 2) == {"a": [1, 3], "b": [2, 4]}
    assert calls == ["a", "b", "a", "b"]


def test_statistics():
    assert ratio([1.0, 4.0, 9.0], [1.0, 2.0, 3.0]) == 2.0
    assert percentile([5.0, 1.0, 3.0, 2.0, 4.0], 50) == 3.0
    assert percentile([1.0, 2.0], 99) == 2.0


def test_tables_line_up():
    sections = [Section("S", (Figure("a long name", 1.0, "x"), Figure("b", 2.0, "x", note="n")))]
    head, _, title, first, second = as_text(sections).splitlines()
    assert title == "S"
    assert head.index("measured") == first.index("1.00x") == second.index("2.00x")
    assert as_markdown(sections, ["today"]).splitlines()[:3] == ["# Benchmark results", "", "- today"]
