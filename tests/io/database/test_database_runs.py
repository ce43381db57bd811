"""Runs with checkpoints from and into databases: what is new, once."""

from pathlib import Path

import polars as pl
import pytest
from databases import Database, batch
from epoch_files import PacedSource

from arrowstream import Pipeline, RunReport, Sink, Source

pytestmark = pytest.mark.once


def test_the_next_run_reads_and_writes_what_is_new(database: Database, tmp_path: Path) -> None:
    target = Database("sqlite", f"sqlite:///{tmp_path}/target.db", tmp_path / "target.db")
    for day in range(3):
        new = batch(*range(10 * day, 10 * day + 5 * day)).polars()
        Pipeline.builder().source(Source.from_frame(new)).sink(database.sink()).build().run_sync()
        rows = Pipeline.builder("copy").source(database.source(increasing="id"))
        job = rows.sink(target.sink(mode="create")).build()
        assert "exactly once" in job.explain()
        assert job.run_sync(checkpoint=tmp_path / "state").rows_in == new.height
    assert target.rows("SELECT * FROM t ORDER BY id") == database.rows("SELECT * FROM t ORDER BY id")


def test_an_epoch_ends_while_rows_wait(sqlite: Database, tmp_path: Path) -> None:
    frames = [pl.DataFrame({"id": [number]}) for number in range(6)]
    steps = Pipeline.builder().source(PacedSource(frames, 1)).sink(sqlite.sink(batch_size=100)).build()
    steps.run_sync(checkpoint=tmp_path / "state", every="1ms")
    assert sqlite.rows("SELECT * FROM t ORDER BY id") == [(number,) for number in range(6)]
    [(epoch, attempt)] = sqlite.rows("SELECT epoch, attempt FROM arrowstream_epochs")
    assert epoch >= 6 and attempt == 1


def test_a_new_checkpoint_folder_over_epochs_of_the_same_job_is_noted(tmp_path: Path) -> None:
    def run(name: str, state: str) -> RunReport:
        rows = Source.from_frame(pl.DataFrame({"x": [1]}))
        sink = Sink.to_database(f"sqlite:///{tmp_path}/x.db", "t")
        return Pipeline.builder(name).source(rows).sink(sink).build().run_sync(checkpoint=tmp_path / state)

    assert run("job", "one").notes == () == run("other", "two").notes
    assert run("job", "one").notes == ()
    [note] = run("job", "three").notes
    assert str(note).startswith("1 epoch of earlier runs of this job, with another checkpoint folder")
    assert not note.lost and "first in the table arrowstream_epochs, of 'job-" in str(note)
