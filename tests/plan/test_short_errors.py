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


@pytest.mark.parametrize("step", STEPS)
def test_a_typo_is_one_short_error(step: str, tmp_path: Path) -> None:
    for end in ENDS if step == "select" else ["build"]:
        script = tmp_path / "script.py"
        script.write_text(SCRIPT.format(step=STEPS[step], end=ENDS[end]))
        run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
        assert run.returncode == 1
        assert run.stderr.count("Traceback") == 1
        assert "arrowstream.errors.SchemaError: " in run.stderr
        assert "prise" in run.stderr.split("SchemaError: ")[1]
        # Frames of the script, of build() and of the event loop, three lines each, then the message.
        most = 40 if end == "collect" else 24
        assert len(run.stderr.splitlines()) <= most, run.stderr
