"""Spilled state in checkpoints: its files are linked, not read and written again."""

import os
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import polars as pl
import pytest
from contexts import context
from polars.testing import assert_frame_equal
from windowing import end, feed

from arrowstream.checkpoints.folder import CheckpointFolder
from arrowstream.checkpoints.inspection import epochs
from arrowstream.checkpoints.manifest import Manifest
from arrowstream.checkpoints.pieces import StatePiece
from arrowstream.core.batch import Batch
from arrowstream.errors import CheckpointError
from arrowstream.operators.window import windows
from arrowstream.state import spill_file
from arrowstream.state.snapshot import SnapshotFormat
from arrowstream.state.spill_file import RowsInFile, SpillFile

ROWS = pl.DataFrame(
    {
        "ts": [number * 100_000 for number in range(600)],
        "k": [number % 20 for number in range(600)],
        "s": [None if number % 7 == 0 else "é" * (number % 30) for number in range(600)],
    }
)


def started() -> Any:
    window = windows(lambda made: made, size="2s", on="ts", by="k", max_bytes=1, on_full="spill")
    return window.agg(pl.len(), pl.col("s").max()).start(ROWS.schema, context())


def saved(folder: CheckpointFolder, process: Any) -> Manifest:
    epoch = folder.begin()
    folder.save("window", epoch, process.snapshot())
    manifest = folder.complete(epoch, {})
    folder.mark_committed(epoch)
    return manifest


def filed(manifest: Manifest) -> list[StatePiece]:
    return [piece for piece in manifest.states["window"].pieces if piece.spans]


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "state", "job", ())


def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the files that are written from now on."""
    sizes: list[int] = []
    write = Path.write_bytes

    def noted(path: Path, data: Any) -> int:
        sizes.append(memoryview(data).nbytes)
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", noted)
    return sizes


def test_spilled_state_is_linked_once_and_goes_on_from_there(
    folder: CheckpointFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    straight, first, second = (started() for _ in range(3))
    before = [ROWS[:200], ROWS[200:400]]
    feed(straight, before), feed(first, before)
    sizes = written(monkeypatch)
    manifest = saved(folder, first)
    pieces = filed(manifest)
    # Everything lies in files: nothing was written.
    assert pieces and pieces == list(manifest.states["window"].pieces) and sizes == []
    assert [piece.start for piece in pieces] == [0] * len(pieces)
    content = sum((folder.path / "pieces" / f"{piece.name}.arrow").stat().st_size for piece in pieces)
    assert manifest.nbytes == content
    # Windows that close are left out of the files that stay.
    feed(straight, [9_000_000]), feed(first, [9_000_000])
    again = filed(saved(folder, first))
    assert {piece.name for piece in again} <= {piece.name for piece in pieces}
    assert any(piece.start for piece in again) and sizes == []
    del first
    folder.close()
    restored = CheckpointFolder(folder.path, "job", ())
    second.restore(restored.load("window"))
    restored.close()
    [*_, newest] = epochs(folder.path)
    assert newest.damage is None
    after = [ROWS[400:], 55_000_000]
    for one, other in zip(
        feed(second, after) + end(second), feed(straight, after) + end(straight), strict=True
    ):
        assert_frame_equal(one, other) if isinstance(one, pl.DataFrame) else None


@pytest.mark.parametrize(
    "how", ["another file system", "no links of open files", "no files without names", "not Linux"]
)
def test_where_files_cannot_be_linked_they_are_copied(
    how: str, folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = None
    if how == "another file system":
        if not os.access("/dev/shm", os.W_OK) or Path("/dev/shm").stat().st_dev == folder.path.stat().st_dev:
            pytest.skip("one file system only")
        elsewhere = mkdtemp(dir="/dev/shm")
        monkeypatch.setenv("TMPDIR", elsewhere)
    elif how == "no files without names":
        monkeypatch.setattr(spill_file, "_UNNAMED", os.O_DIRECTORY)  # fails as there
    elif how == "not Linux":
        monkeypatch.setattr(spill_file, "_UNNAMED", None)
    process, other = started(), started()
    feed(process, [ROWS])
    sizes = written(monkeypatch)
    if how == "no links of open files":
        monkeypatch.setattr(spill_file, "_DESCRIPTORS", "/proc/self/none")
    manifest = saved(folder, process)
    assert len(sizes) == len(filed(manifest)) > 0
    saved(folder, process)
    assert len(sizes) == len(filed(manifest))
    folder.close()
    again = CheckpointFolder(folder.path, "job", ())
    other.restore(again.load("window"))
    again.close()
    for one, two in zip(end(other), end(process), strict=True):
        assert_frame_equal(one, two)
    if elsewhere is not None:
        shutil.rmtree(elsewhere)


def test_rows_before_and_after_a_file_keep_their_place(folder: CheckpointFolder) -> None:
    form, file = SnapshotFormat("rows", 1), spill_file.spill_file([ROWS[200:300], ROWS[300:400]])
    epoch = folder.begin()
    parts = [Batch(ROWS[:250]), RowsInFile(file, 50), Batch(ROWS[400:])]
    _, unsaved = form.read(form.write(parts))
    assert_frame_equal(pl.concat([batch.polars() for batch in unsaved]), ROWS)
    folder.save("window", epoch, form.write(parts))
    folder.save("keyed", epoch, form.write(parts, ["k"]))
    manifest = folder.complete(epoch, {})
    folder.close()
    assert [bool(piece.spans) for piece in manifest.states["window"].pieces] == [False, True, False]
    assert [bool(piece.spans) for piece in manifest.states["keyed"].pieces] == [False, True, False]
    again = CheckpointFolder(folder.path, "job", ())
    for id in ("window", "keyed"):
        _, rows = form.read(again.load(id) or iter(()))
        found = pl.concat([batch.polars() for batch in rows])
        assert_frame_equal(found if id == "window" else found.sort("ts"), ROWS)
    again.close()


def test_a_file_is_hashed_once(folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    process, hashed = started(), list[int]()
    feed(process, [ROWS])
    whole = SpillFile.hash

    def counted(file: SpillFile, function: Any) -> str:
        return whole(file, lambda content: hashed.append(1) or function(content))  # type: ignore[func-returns-value]

    monkeypatch.setattr(SpillFile, "hash", counted)
    files = len(filed(saved(folder, process)))
    saved(folder, process)
    assert len(hashed) == files
    folder.close()


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_damaged_file_is_an_error(how: str, folder: CheckpointFolder) -> None:
    process = started()
    feed(process, [ROWS])
    piece = filed(saved(folder, process))[0]
    folder.close()
    path = folder.path / "pieces" / f"{piece.name}.arrow"
    content = path.read_bytes()
    path.unlink()
    if how != "remove":
        path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:] if how == "flip" else b"")
    [epoch] = epochs(folder.path)
    again = CheckpointFolder(folder.path, "job", ())
    with pytest.raises(CheckpointError, match="the saved state of window is damaged") as error:
        started().restore(again.load("window"))
    assert epoch.damage == str(error.value) and str(path) in str(error.value)
    again.close()
