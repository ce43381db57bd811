"""What sinks of lakes have in common with checkpoints: each row once, wherever a run ends."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from delta_tables import numbers
from effort import examples
from epoch_files import PacedSource
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pyiceberg")  # the oldest versions have none

from lakes import Delta, Iceberg, Lake

from arrowstream import Pipeline, Source
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.errors import PlanError, SinkError

pytestmark = pytest.mark.once

both = pytest.mark.parametrize("kind", [Delta, Iceberg])


@both
def test_an_epoch_without_rows_makes_the_table_but_no_commit(
    kind: Callable[[Path], Lake], tmp_path: Path
) -> None:
    lake = kind(tmp_path / "t")
    writer = lake.opened(tmp_path / "state")
    for epoch in (1, 2):
        writer.commit(writer.prepare(epoch))
        assert lake.commits() == 0
    writer.write(numbers(1))
    writer.commit(writer.prepare(3))
    writer.close()
    assert lake.found() == [1]


@both
@settings(max_examples=examples(60))
@given(
    kills=st.lists(st.integers(1, 9), max_size=5),
    by=st.sampled_from([(), ("k",)]),
    recovers=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_each_row_once_wherever_writers_are_dropped(
    kind: Callable[[Path], Lake], kills: list[int], by: tuple[str, ...], recovers: list[bool]
) -> None:
    """A kill drops the writer after any call, in a recovery as well; the next one gets the newest complete epoch."""
    with TemporaryDirectory() as folder:
        lake, state = kind(Path(folder) / "t"), Path(folder) / "state"
        complete: tuple[int, Any, int] = (0, None, 0)  # epoch, handle, rows read before it
        expected = list(range(10))
        for attempt, budget in enumerate([*kills, 1000], start=1):
            writer = lake.opened(state, attempt, partition_by=by)
            epoch, handle, read = complete
            writer.recover(epoch, handle)
            if not recovers[attempt - 1]:
                writer.recover(epoch, handle)
            handle = None
            for call in range(budget):
                if handle is not None:
                    writer.commit(handle)
                    handle = None
                elif read < len(expected) and read < complete[2] + 3:
                    writer.write(numbers(*expected[read : read + 2]))
                    read += 2
                elif read > complete[2]:
                    handle = json.loads(json.dumps(writer.prepare(complete[0] + 1)))
                    if call % 2:  # the manifest gets its name
                        complete = (complete[0] + 1, handle, read)
                    else:
                        break
            writer.close()
            seen = lake.found()
            assert seen == expected[: len(seen)]
        writer = lake.opened(state, 99, partition_by=by)
        writer.recover(complete[0], complete[1])
        writer.close()
        assert lake.found() == expected[: complete[2]]
        assert lake.orphans() == [] and list(state.iterdir()) == []


@both
def test_jobs_into_one_table_do_not_see_each_other(kind: Callable[[Path], Lake], tmp_path: Path) -> None:
    lake = kind(tmp_path / "t")
    one, two = (lake.opened(tmp_path / job, job=job) for job in ("one", "two"))
    for epoch in (1, 2):
        for number, writer in enumerate((one, two)):
            writer.write(numbers(10 * number + epoch))
        handles = [writer.prepare(epoch) for writer in (one, two)]
        for writer, handle in zip((one, two), handles, strict=True):
            writer.commit(handle)
    for writer in (one, two):
        writer.close()
    assert lake.found() == [1, 2, 11, 12]
    assert lake.epoch("two") == 2


@both
def test_what_a_run_that_begins_again_leaves_out(kind: Callable[[Path], Lake], tmp_path: Path) -> None:
    """With from_checkpoint="ignore", rows that are prepared do not come; those that are shown stay."""
    lake, state = kind(tmp_path / "t"), tmp_path / "state"
    writer = lake.opened(state)
    writer.write(numbers(1))
    first = writer.prepare(1)
    log = (state / "files-1.txt").read_text()
    writer.commit(first)
    (state / "files-1.txt").write_text(log)  # killed after the commit
    writer.write(numbers(2))
    writer.prepare(2)
    writer.write(numbers(3))
    writer.prepare(3)
    assert len(lake.orphans()) == 2
    lake.opened(state, 2).recover(2, None)
    assert lake.found() == [1] and lake.orphans() == [] and list(state.iterdir()) == []


@both
def test_files_that_a_later_run_has_removed_are_missed(kind: Callable[[Path], Lake], tmp_path: Path) -> None:
    """As it does not know what was prepared, after from_checkpoint="ignore"."""
    lake = kind(tmp_path / "t")
    writer = lake.opened(tmp_path / "state")
    writer.write(numbers(1))
    handle = writer.prepare(1)
    lake.opened(tmp_path / "state", 1).recover(0, None)
    with pytest.raises(SinkError, match=f"a data file for {lake.name}") as raised:
        writer.commit(handle)
    assert raised.value.found == "no file"


@both
@pytest.mark.parametrize("killed", [False, True])
def test_of_two_runs_with_copies_the_second_is_refused_also_at_a_later_epoch(
    kind: Callable[[Path], Lake], killed: bool, tmp_path: Path
) -> None:
    """Epochs without rows commit nothing, so that their newest epochs may differ."""
    lake = kind(tmp_path / "t")
    one, two = (lake.opened(tmp_path / state) for state in ("one", "two"))
    for number, writer in enumerate((one, two)):
        writer.recover(0, None)
        writer.write(numbers(number))
    handles = [one.prepare(1), two.prepare(2)]
    one.commit(handles[0])
    if killed:
        two.abort()
        two = lake.opened(tmp_path / "two", 2)
    with pytest.raises(SinkError, match=f"another run writes {lake.name} .* as 'job/sink'") as raised:
        two.recover(2, handles[1]) if killed else two.commit(handles[1])
    assert raised.value.found == "epoch 1"
    one.write(numbers(5))
    if not killed:  # the attempt of the one that was started again is later
        one.commit(one.prepare(3))
        assert lake.found() == [0, 5]
        one.commit(handle := one.prepare(4))
        assert not handle["files"]
    assert lake.found()[0] == 0


@both
def test_a_data_file_that_was_cut(kind: Callable[[Path], Lake], tmp_path: Path) -> None:
    lake = kind(tmp_path / "t")
    writer = lake.opened(tmp_path / "state")
    writer.write(numbers(1))
    handle = writer.prepare(1)
    [name] = lake.orphans()
    Path(name).write_bytes(b"PAR1")
    with pytest.raises(SinkError, match="is damaged") as raised:
        writer.commit(handle)
    assert raised.value.found == "4 bytes"


@both
def test_a_table_that_the_job_has_made_is_its_own(kind: Callable[[Path], Lake], tmp_path: Path) -> None:
    lake, state = kind(tmp_path / "t"), tmp_path / "state"
    for epoch in (1, 2):
        writer = lake.opened(state, epoch, mode="error")
        writer.recover(epoch - 1, None)
        writer.write(numbers(epoch))
        writer.commit(writer.prepare(epoch))
    assert lake.found() == [1, 2]
    with pytest.raises(SinkError, match="exists"):
        lake.opened(tmp_path / "other", job="other", mode="error")
    second = kind(tmp_path / "late")
    late = second.opened(tmp_path / "late-state", mode="error")
    late.write(numbers(1))
    handle = late.prepare(1)
    second.opened(tmp_path / "other", job="other").commit({"epoch": 1, "files": []})
    with pytest.raises(SinkError, match="exists"):
        late.commit(handle)


@both
def test_replacing_a_table_has_no_epochs(kind: Callable[[Path], Lake], tmp_path: Path) -> None:
    source = Source.from_frame(numbers(1).polars())
    job = Pipeline.builder().source(source).sink(kind(tmp_path / "t").sink(mode="overwrite")).build()
    with pytest.raises(PlanError, match="mode='overwrite' replaces"):
        job.run_sync(checkpoint=tmp_path / "state")


FRAMES = [numbers(*range(start, start + 3)).polars() for start in range(0, 36, 3)]


class Killed(Exception):
    """A run ends at a failpoint."""


@both
@pytest.mark.parametrize(
    "point",
    [Failpoint.SINK_PREPARED, Failpoint.MANIFEST_NAMED, Failpoint.SINK_COMMITTED, Failpoint.EPOCH_MARKED],
)
def test_runs_that_fail_are_continued(kind: Callable[[Path], Lake], point: Failpoint, tmp_path: Path) -> None:
    lake, state = kind(tmp_path / "t"), tmp_path / "state"

    def job() -> Pipeline:
        sink = lake.sink(partition_by="k")
        return Pipeline.builder("numbers").source(PacedSource(FRAMES, 2)).sink(sink).build()

    assert "exactly once" in job().explain()
    for hit in (1, 3):
        hits: list[None] = []

        def fail(reached: Failpoint, hits: list[None] = hits, hit: int = hit) -> None:
            if reached is point:
                hits.append(None)
                if len(hits) == hit:
                    raise Killed

        with on_reach(fail), pytest.raises(Exception):  # noqa: B017
            job().run_sync(checkpoint=state, every="1ms")
    job().run_sync(checkpoint=state, every="1ms")
    assert lake.found() == list(range(36))
    assert lake.orphans() == []
