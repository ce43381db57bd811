"""The folder of checkpoints: what is saved comes back, damage is noticed, and one run at a time uses it."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from arrowstream.checkpoints.folder import CheckpointFolder
from arrowstream.checkpoints.inspection import epochs
from arrowstream.checkpoints.manifest import Manifest
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.errors import CheckpointError

pytestmark = pytest.mark.once

LINES = ("source: frame: x Int64", "filter(x > 1)", "sink: memory: x Int64")
STATE = [pa.record_batch({"x": [1, 2, 3]}), pa.record_batch({"x": [4]})]


def opened(path: Path, lines: tuple[str, ...] = LINES, **options: bool) -> CheckpointFolder:
    return CheckpointFolder(path, "job", lines, **options)


def take(folder: CheckpointFolder, *, commit: bool = True, ended: bool = False) -> int:
    """One epoch with three states, of which one is empty."""
    epoch = folder.begin()
    folder.save("window", epoch, iter(STATE))
    folder.save("merge/km%2Fh/source", epoch, iter(STATE[:1]))
    folder.save("map", epoch, iter(()))
    folder.complete(epoch, {"sink": {"file": f"part-{epoch}"}}, ended=ended)
    if commit:
        folder.mark_committed(epoch)
    return epoch


def rows(folder: CheckpointFolder, id: str) -> list[int] | None:
    batches = folder.load(id)
    return None if batches is None else [x for batch in batches for x in batch["x"].to_pylist()]


def pieces(path: Path) -> set[str]:
    return {file.name for file in (path / "pieces").iterdir()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a" / "state"


def test_what_an_epoch_saves_the_next_run_finds(path: Path) -> None:
    first = opened(path)
    assert (first.restored, first.attempt, rows(first, "window"), list(first.state_ids())) == (
        None,
        1,
        None,
        [],
    )
    take(first)
    first.close()
    second = opened(path)
    assert second.restored is not None
    assert (second.restored.epoch, second.restored.handles) == (1, {"sink": {"file": "part-1"}})
    assert (second.attempt, second.epoch, (path / "committed-00000001").exists()) == (2, 1, True)
    assert sorted(second.state_ids()) == ["merge/km%2Fh/source", "window"]
    assert rows(second, "window") == [1, 2, 3, 4] and rows(second, "merge/km%2Fh/source") == [1, 2, 3]
    assert rows(second, "map") is rows(second, "unknown") is None
    assert take(second) == 2
    second.close()


def test_two_epochs_are_kept(path: Path) -> None:
    folder = opened(path)
    for _ in range(4):
        take(folder)
    folder.close()
    assert [(epoch.number, epoch.committed, epoch.damage) for epoch in epochs(path)] == [
        (3, True, None),
        (4, True, None),
    ]
    names = sorted(entry.name for entry in path.iterdir())
    ours = [
        name for epoch in (3, 4) for name in (f"committed-0000000{epoch}", f"manifest-0000000{epoch}.json")
    ]
    assert names == sorted([*ours, "attempt", "lock", "owner", "pieces"])


def test_folders_that_are_made_survive_a_crash_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{file}").readlink()))
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    path = tmp_path / "a" / "state"
    folder = opened(path)
    assert {str(tmp_path), str(tmp_path / "a")} < set(synced)
    for sink in ("one", "two"):
        synced.clear()
        folder.context(sink)
        assert synced == [str(path / "sinks"), *([str(path)] if sink == "one" else [])]
        folder.context(sink)
    folder.close()
    synced.clear()
    again = opened(path)
    again.context("one")
    again.close()
    assert synced == [str(path / "attempt.tmp"), str(path)]


def test_an_epoch_without_a_manifest_leaves_nothing(path: Path) -> None:
    folder = opened(path)
    take(folder)
    kept = pieces(path)
    folder.save("window", folder.begin(), iter([pa.record_batch({"x": [7]})]))
    assert len(pieces(path)) == len(kept) + 1
    folder.close()
    again = opened(path)
    assert again.restored is not None and again.restored.epoch == 1
    assert pieces(path) == kept
    again.close()


def test_a_piece_that_has_not_changed_is_written_once(path: Path) -> None:
    """Whatever the metadata of the schema, which holds numbers that change with every epoch."""
    folder = opened(path)
    grown: list[set[str]] = []
    for number in range(4):
        changed = pa.record_batch({"x": [number]})
        batches = [batch.replace_schema_metadata({"values": str(number)}) for batch in (STATE[0], changed)]
        epoch = folder.begin()
        folder.save("window", epoch, iter(batches))
        manifest = folder.complete(epoch, {})
        folder.mark_committed(epoch)
        grown.append(pieces(path))
        sizes = [file.stat().st_size for file in (path / "pieces").iterdir()]
        assert manifest.nbytes > max(sizes)
        # Only the changed piece, after the first epoch.
        assert folder.written_bytes == (manifest.nbytes if number == 0 else min(sizes))
    folder.close()
    # The unchanged one, and those of the two epochs that are kept.
    assert [len(names) for names in grown] == [2, 3, 3, 3]
    assert len(set.intersection(*grown)) == 1
    again = opened(path)
    restored = list(again.load("window") or ())
    assert [batch["x"].to_pylist() for batch in restored] == [[1, 2, 3], [3]]
    assert {batch.schema.metadata[b"values"] for batch in restored} == {b"3"}
    again.close()


def test_types_with_dictionaries_and_names_come_back(path: Path) -> None:
    frame = pl.DataFrame(
        {"c": ["a", None, "b"], "e": ["y", "x", None], "s": [{"f": 1}, None, {"f": 3}], "l": [[1], [], None]},
        schema_overrides={"c": pl.Categorical, "e": pl.Enum(["x", "y"])},
    )
    folder = opened(path)
    epoch = folder.begin()
    folder.save("any", epoch, iter(frame.to_arrow().to_batches()))
    folder.complete(epoch, {})
    folder.close()
    again = opened(path)
    [batch] = again.load("any") or ()
    assert_frame_equal(pl.DataFrame(batch), frame)
    again.close()


def test_one_run_at_a_time(path: Path) -> None:
    folder = opened(path)
    with pytest.raises(CheckpointError, match="another run uses the checkpoint folder") as error:
        opened(path)
    assert "a lock by process" in str(error.value)
    folder.close()
    opened(path).close()


def test_a_run_whose_lock_was_lost_completes_no_epoch_after_another_one_has_begun(path: Path) -> None:
    old = opened(path)
    take(old)
    (path / "lock").unlink()
    new = opened(path)
    with pytest.raises(CheckpointError, match="another run has taken over the checkpoint folder") as error:
        take(old)
    assert error.value.found == "attempt 2"
    assert [each.name for each in path.glob("manifest-*.json")] == ["manifest-00000001.json"]
    old.close()
    assert take(new) == 2
    new.close()


def test_another_pipeline_is_refused_with_the_lines_that_differ(path: Path) -> None:
    folder = opened(path)
    take(folder)
    folder.close()
    changed = (LINES[0], "filter(x > 2)", LINES[2])
    with pytest.raises(CheckpointError, match="another pipeline") as error:
        opened(path, changed)
    assert "    - filter(x > 1)\n    + filter(x > 2)" in str(error.value)
    # Refusing has not taken the lock, and counts as no run.
    ignoring = opened(path, changed, ignore=True)
    assert (ignoring.restored, ignoring.attempt, ignoring.epoch) == (None, 2, 1)
    take(ignoring)
    ignoring.close()
    opened(path, changed).close()


def damaged(content: bytes) -> bytes:
    return content[:100]


def flipped(content: bytes) -> bytes:
    return content[:-200] + bytes([content[-200] ^ 1]) + content[-199:]


@pytest.mark.parametrize("damage", [damaged, flipped, lambda content: b""])
def test_a_damaged_manifest_is_set_aside_and_reported(path: Path, damage: Callable[[bytes], bytes]) -> None:
    folder = opened(path)
    take(folder)
    take(folder)
    folder.close()
    newest = path / "manifest-00000002.json"
    newest.write_bytes(damage(newest.read_bytes()))
    whole, broken = epochs(path)
    assert whole.damage is None and broken.manifest is None
    assert "a manifest is damaged" in (broken.damage or "")
    again = opened(path)
    assert again.restored is not None and (again.restored.epoch, again.epoch) == (1, 2)
    [note] = again.notes
    assert note.startswith(f"epoch 2 of {path} is damaged and was set aside")
    assert (path / "manifest-00000002.damaged").exists()
    again.close()


def test_where_every_manifest_is_damaged_nothing_begins_by_itself(path: Path) -> None:
    folder = opened(path)
    take(folder)
    folder.close()
    (path / "manifest-00000001.json").write_bytes(b"")
    for _ in range(2):
        with pytest.raises(CheckpointError, match="every manifest in") as error:
            opened(path)
    assert "of the epochs 1" in str(error.value)
    ignoring = opened(path, ignore=True)
    assert ignoring.begin() == 2
    ignoring.close()


def test_a_manifest_of_another_version_is_an_error_and_stays(path: Path) -> None:
    folder = opened(path)
    take(folder)
    folder.close()
    newest = path / "manifest-00000001.json"
    body = newest.read_bytes().splitlines()[0].replace(b'"format": 4', b'"format": 9')
    import hashlib

    newest.write_bytes(body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n")
    with pytest.raises(CheckpointError, match="another version of arrowstream") as error:
        opened(path)
    assert "format 9" in str(error.value) and newest.exists()


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_damaged_state_is_an_error_that_names_its_step_and_file(path: Path, how: str) -> None:
    folder = opened(path)
    take(folder)
    folder.close()
    assert folder.restored is None
    [before] = epochs(path)
    assert before.damage is None and before.manifest is not None
    state = path / "pieces" / f"{before.manifest.states['window'].pieces[1].name}.arrow"
    content = state.read_bytes()
    if how == "remove":
        state.unlink()
    else:
        state.write_bytes(flipped(content) if how == "flip" else content[:-8])
    [epoch] = epochs(path)
    again = opened(path)
    with pytest.raises(CheckpointError, match="the saved state of window is damaged") as error:
        rows(again, "window")
    assert str(state) in str(error.value)
    assert epoch.damage == str(error.value) and epoch.manifest is not None
    assert rows(again, "merge/km%2Fh/source") == [1, 2, 3]
    again.close()


def test_a_step_that_finished_is_known_unless_it_saved_in_the_same_epoch(path: Path) -> None:
    folder = opened(path)
    epoch = folder.begin()
    folder.save("both", epoch, iter(STATE))
    folder.finish("both")
    folder.finish("done")
    assert folder.complete(epoch, {}).finished == ("done",)
    folder.close()
    again = opened(path)
    assert [again.is_finished(id) for id in ("done", "both", "other")] == [True, False, False]
    # It stays so in the epochs of the next run.
    epoch = again.begin()
    assert again.complete(epoch, {}).finished == ("done",)
    again.close()
    ended = opened(path)
    assert take(ended, ended=True) == 3
    ended.close()
    fresh = opened(path)
    assert not fresh.is_finished("done") and fresh.complete(fresh.begin(), {}).finished == ()
    fresh.close()


def test_sinks_have_folders_of_their_own(path: Path) -> None:
    folder = opened(path)
    one, other = folder.context("split/high/sink"), folder.context("../sink")
    assert one.job == other.job and re.fullmatch(r"job-[0-9a-f]{8}", one.job) and one.attempt == 1
    for context in (one, other):
        assert context.folder.is_dir() and context.folder.parent == path / "sinks"
    assert one.folder != other.folder
    folder.close()
    renamed = CheckpointFolder(path, "another name", LINES)
    assert renamed.context("sink").job == one.job
    renamed.close()
    elsewhere = opened(path.with_name("elsewhere"))
    assert elsewhere.context("sink").job != one.job
    elsewhere.close()


def test_failpoints_are_reached_in_the_order_of_an_epoch(path: Path) -> None:
    reached: list[Failpoint] = []
    with on_reach(reached.append):
        folder = opened(path)
        for _ in range(3):
            take(folder)
        folder.close()
    written = [Failpoint.STATE_WRITTEN] * 2
    named = [Failpoint.MANIFEST_WRITTEN, Failpoint.MANIFEST_NAMED, Failpoint.EPOCH_MARKED]
    # Both pieces are new in the first epoch only.
    first = [Failpoint.ATTEMPT_COUNTED, *written, *[Failpoint.STATE_SAVED] * 2, *named]
    assert reached == [*first, *[*written, *named] * 2, Failpoint.EPOCH_DROPPED]


def test_sizes_are_in_the_manifest(path: Path) -> None:
    folder = opened(path)
    take(folder)
    folder.close()
    [epoch] = epochs(path)
    manifest = epoch.manifest
    assert manifest is not None
    sizes = {file.stem: file.stat().st_size for file in (path / "pieces").iterdir()}
    named = [piece.name for state in manifest.states.values() for piece in state.pieces]
    assert manifest.nbytes == sum(sizes[name] for name in named) > 0
    assert Manifest.decode(manifest.encode()) == manifest
