"""``arrowstream checkpoints``: what is in a folder, checked, and removed."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import invoke
from contexts import context

from arrowstream import Source
from arrowstream.checkpoints.folder import CheckpointFolder
from arrowstream.cli.positions import described, readable
from arrowstream.metrics.checkpoints import CheckpointMetrics
from arrowstream.state.snapshot import POSITION

pytestmark = pytest.mark.once

LINES = ("source: files in/*.csv: x Int64", "sink: files out/: x Int64")


def called(*arguments: object) -> tuple[int, str, str]:
    return invoke("checkpoints", *map(str, arguments))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A folder with two epochs, of which the second is not committed."""
    folder = CheckpointFolder(tmp_path / "state", "daily", LINES)
    for _ in range(2):
        epoch = folder.begin()
        folder.save("source", epoch, POSITION.write(position={"version": 1, "row": epoch * 10}))
        folder.complete(epoch, {"sink": {"files": []}}, ended=epoch == 1)
        if epoch == 1:
            folder.mark_committed(epoch)
    folder.close()
    return folder.path


def test_epochs_with_sizes_and_positions(state: Path) -> None:
    code, out, _ = called(state)
    first, position, second, _, *pipeline = out.splitlines()
    nbytes = max(file.stat().st_size for file in (state / "pieces").iterdir())
    assert first.startswith("epoch 1: daily, run 1, 20")
    assert first.endswith(f"1 state, {nbytes} bytes, committed, all streams had ended")
    assert position == '  source at {"version": 1, "row": 10}'
    assert second.endswith("to be committed by the next run")
    assert pipeline == ["pipeline:", *(f"  {line}" for line in LINES)]
    assert code == 0


def test_json(state: Path) -> None:
    found = json.loads(called(state, "--json")[1])
    assert (found["ok"], found["removed"]) == (True, [])
    first, second = found["epochs"]
    assert (first["epoch"], first["committed"], first["ended"], second["committed"]) == (1, True, True, False)
    assert first["positions"] == {"source": {"version": 1, "row": 10}} and first["pipeline"] == list(LINES)
    assert first["damage"] is None and first["state_bytes"] > 0


@pytest.mark.parametrize(
    ("offsets", "words"),
    [
        ({}, "no partitions yet"),
        ({"flights[0]": 1234567}, "topic flights: partition 0 offset 1,234,567"),
        (
            {"b[10]": 1, "b[9]": 2, "a[0]": 0},
            "topic a: partition 0 offset 0; topic b: partition 9 offset 2, partition 10 offset 1",
        ),
        ({"no partition": 1}, '{"version": 1, "offsets": {"no partition": 1}}'),
    ],
)
def test_positions_of_topics_are_words(offsets: dict[str, int], words: str) -> None:
    position: dict[str, Any] = {"version": 1, "offsets": dict(offsets)}
    assert described(position) == words and readable(position) == position


@pytest.mark.parametrize(
    ("batches", "words", "values"),
    [
        (0, "0 files read", {"files_read": 0, "newest_file": None, "reading": []}),
        (1, "0 files read; {at}/1.csv at row 3", {"reading": ["{at}/1.csv"], "rows": 3}),
        (3, "1 file read, newest {at}/1.csv; 3 rows of {at}/2.csv and 1 file next to it", {"files_read": 1}),
        (99, "3 files read, newest {at}/3.csv", {"files_read": 3, "newest_file": "{at}/3.csv"}),
    ],
)
def test_positions_of_files_are_words(
    batches: int, words: str, values: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 6)
    for number in (1, 2, 3):
        (tmp_path / f"{number}.csv").write_text("x\n" + "1\n" * 5)
    monkeypatch.chdir(tmp_path)
    reader: Any = Source.from_file("*.csv", batch_rows=3).open(context())
    while batches and (batch := reader.read()) is not None:
        batches -= batch.num_rows > 0
    position = json.loads(json.dumps(dict(reader.position())))
    reader.close()
    assert described(position) == words.format(at=tmp_path)
    found = json.dumps(readable(position))
    for key, value in values.items():
        assert json.dumps({key: value}).replace("{at}", str(tmp_path))[1:-1] in found


def test_positions_within_files_are_words() -> None:
    given = {"paths": ["/in"], "cwd": ""}
    reading = [["/in/1", 1, 1, None], ["/in/2", 1, 1, None], ["/in/3", 1, 1, None]]
    position = {
        "version": 1,
        "given": given,
        "done": [],
        "reading": reading,
        "row": 1000,
        "rows": 20,
        "bad_rows": 0,
    }
    assert described(position) == "0 files read; 20 rows after row 1,000 of /in/1 and 2 files next to it"
    assert described({"version": 1, "row": 7}) == '{"version": 1, "row": 7}'


def test_old_epochs_are_removed_but_never_the_newest(state: Path) -> None:
    _, out, _ = called(state, "--remove-before", "9")
    assert out.splitlines()[0] == "removed 1 epoch: 1" and "epoch 2: daily" in out
    assert not (state / "manifest-00000001.json").exists() and not (state / "committed-00000001").exists()
    assert called(state, "--remove-before", "9")[1].startswith("epoch 2: daily")


def test_nothing_is_removed_while_a_run_uses_the_folder(state: Path) -> None:
    folder = CheckpointFolder(state, "daily", LINES)
    code, _, err = called(state, "--remove-before", "2")
    assert code == 2 and "another run uses the checkpoint folder" in err
    folder.close()


def test_damage_is_shown_and_gives_exit_code_1(state: Path) -> None:
    for piece in (state / "pieces").iterdir():
        piece.write_bytes(b"")
    code, out, _ = called(state)
    assert code == 1 and "  the saved state of source is damaged\n" in out
    (state / "manifest-00000001.json").write_bytes(b"{}")
    code, out, _ = called(state)
    assert out.startswith("epoch 1: DAMAGED\n  a manifest is damaged\n") and code == 1
    found = json.loads(called(state, "--json")[1])
    assert found["ok"] is False and found["epochs"][0]["job"] is None


def test_a_folder_without_checkpoints(tmp_path: Path, state: Path) -> None:
    found = {tmp_path: "a folder without them", state / "attempt": "a file", tmp_path / "no": "nothing there"}
    for path, what in found.items():
        code, _, err = called(path)
        assert code == 2 and "is not a checkpoint folder" in err and what in err
    for epoch in (1, 2):
        (state / f"manifest-0000000{epoch}.json").unlink()
    assert called(state)[1] == "no complete epoch\n"


def test_what_a_run_says_of_its_checkpoints() -> None:
    assert str(CheckpointMetrics()) == "no checkpoint; from the beginning"
    assert str(CheckpointMetrics(restored=3)) == "no checkpoint; continued from epoch 3"
