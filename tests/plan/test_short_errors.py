"""What a script prints for a typo: one error of a few lines, and no other before it."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import polars as pl
from arrowstream import Pipeline, Sink, Source
frame = pl.DataFrame({{"price": [1], "at": [1]}})
builder = Pipeline.builder().source(Source.from_frame(frame))
builder.{step}{end}
"""
STEPS = {
    "select": 'select("prise")',
    "select of an expression": 'select(x=pl.col("prise") * 2)',
    "filter": 'filter(pl.col("prise") > 1)',
    "with_columns": 'with_columns(x=pl.col("prise"))',
    "window": 'window("1s", on="at").agg(pl.col("prise").sum())',
    "by=": 'window("1s", on="at", by="prise").agg(pl.len())',
    "on=": 'window("1s", on="prise").agg(pl.len())',
    "reduce": 'reduce(pl.col("prise").sum())',
    "reduce by=": 'reduce(pl.len(), by="prise")',
    "scan": 'scan(x=pl.col("prise").cum_sum())',
    "drop": 'drop("prise")',
    "split": 'split(pl.col("prise")).branch("a", lambda b: b).merge()',
    "in a branch": 'split(pl.col("price")).branch("1", lambda b: b.select("prise")).merge()',
}
ENDS = {"build": ".sink(Sink.to_fn(print)).build()", "schema": ".schema()", "collect": ".collect_sync()"}


SEVERAL = """
import sys
for name in sys.argv[1:]:
    try:
        exec(compile(open(name).read(), name, "exec"), {})
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__.tb_next)
    print("<end>", file=sys.stderr, flush=True)
"""
"""Runs scripts one after another, and prints for each what Python prints for it alone."""


def assert_short(printed: str, lines: int) -> None:
    assert printed.count("Traceback") == 1
    assert "arrowstream.errors.SchemaError: " in printed
    assert "prise" in printed.split("SchemaError: ")[1]
    assert len(printed.splitlines()) <= lines, printed


@pytest.mark.untraced
@pytest.mark.once
@pytest.mark.parametrize("end", ENDS)
def test_a_typo_is_one_short_error(end: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(step=STEPS["select"], end=ENDS[end]))
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    # Frames of the script, of build() and of the event loop, three lines each, then the message.
    assert_short(run.stderr, 40 if end == "collect" else 24)


@pytest.mark.untraced
def test_a_typo_in_any_step_is_one_short_error(tmp_path: Path) -> None:
    scripts = []
    for number, step in enumerate(STEPS.values()):
        scripts.append(tmp_path / f"script{number}.py")
        scripts[-1].write_text(SCRIPT.format(step=step, end=ENDS["build"]))
    command = [sys.executable, "-c", SEVERAL, *scripts]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    printed = run.stderr.split("<end>\n")
    assert len(printed) == len(STEPS) + 1 and printed.pop() == ""
    for text in printed:
        assert_short(text, 24)
