"""The checkpoints of a run: complete epochs, and the one that is being written."""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from arrowstream.checkpoints.layout import (
    ANY_EPOCH,
    check_own,
    complete_epochs,
    drop,
    locked,
    manifest_of,
    marker_of,
    named,
    pieces_in,
)
from arrowstream.checkpoints.manifest import Manifest, check_whole
from arrowstream.checkpoints.pieces import PieceWriter, State, read_state
from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.durable import make_folder, read_or_make, sync, write_durably
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.core.snapshot_store import JsonValue
from arrowstream.errors import CheckpointError

KEPT = 2
"""Number of complete epochs that stay in the folder."""


class CheckpointFolder:
    """The checkpoints of one pipeline, in a folder that one run at a time may use.

    Its methods block, and may be called on any thread. `SnapshotStore` is the part of it that steps and sources see.

    Parameters
    ----------
    path
        The folder, which is made if it is missing.
    job
        Name of the pipeline.
    pipeline
        The lines that describe the pipeline; another pipeline cannot continue from its checkpoints.
    in_full
        The same lines with absolute paths: one of the two must be as it was.
    ignore
        Whether to start from the beginning, whatever earlier runs have saved.

    Raises
    ------
    CheckpointError
        Another run uses the folder; or it is of another pipeline, damaged, or no checkpoint folder.
    """

    def __init__(
        self,
        path: Path,
        job: str,
        pipeline: tuple[str, ...],
        in_full: tuple[str, ...] = (),
        *,
        ignore: bool = False,
    ) -> None:
        check_own(path)
        make_folder(path)
        self._lock = locked(path)
        self.path = path
        self.job = job
        self._mutex = threading.Lock()
        self._saved: dict[str, State] = {}
        self._writer = PieceWriter(pieces_in(path))
        self.notes: list[str] = []
        """What a user should know about the folder as it was found."""
        try:
            self.restored = None if ignore else self._newest()
            """The epoch that this run continues from; None for a run from the beginning."""
            before = self.restored
            if before is not None and (not in_full or before.in_full != in_full):
                _check_same(before.pipeline, pipeline, path)
            self._finished_before = frozenset(() if before is None or before.ended else before.finished)
            self._finished = set(self._finished_before)
            self.pipeline = pipeline
            self._in_full = in_full
            self.epoch = max((int(match[1]) for match in named(path, ANY_EPOCH)), default=0)
            """The newest number of an epoch that any run has completed, then that of the one that has begun."""
            self._newest_before = self.epoch
            self.attempt = self._count_attempt()
            self._owner = read_or_make(path / "owner", self._new_owner)
        except BaseException:
            self.close()
            raise
        make_folder(pieces_in(path))
        drop(path, ())  # pieces of epochs that were never complete

    def close(self) -> None:
        """Release the folder for other runs."""
        os.close(self._lock)

    # What steps and sources need.

    def save(self, state_id: str, epoch: int, batches: Iterator[pa.RecordBatch]) -> None:
        """Write the state of a step at the barrier of `epoch`."""
        state = self._writer.write(batches)
        with self._mutex:
            self._saved[state_id] = state

    def finish(self, state_id: str) -> None:
        """Note that a step has given out everything, as its input has ended."""
        with self._mutex:
            self._finished.add(state_id)

    def is_finished(self, state_id: str) -> bool:
        """Return whether a step had given out everything before the epoch that this run continues from."""
        return state_id in self._finished_before

    def state_ids(self) -> Iterable[str]:
        """Return the ids of the states that this run continues from."""
        states = {} if self.restored is None else self.restored.states
        return [id for id, state in states.items() if state.pieces]

    def load(self, state_id: str) -> Iterator[pa.RecordBatch] | None:
        """Return a state that this run continues from; None without one. Its pieces are checked as they are read.

        Raises
        ------
        CheckpointError
            A piece is damaged or missing.
        """
        state = None if self.restored is None else self.restored.states.get(state_id)
        return (
            None if state is None or not state.pieces else read_state(pieces_in(self.path), state, state_id)
        )

    # What the coordinator needs.

    def begin(self) -> int:
        """Begin an epoch; return its number."""
        with self._mutex:
            self.epoch += 1
            self._saved = {}
            self._writer = PieceWriter(pieces_in(self.path))
        return self.epoch

    @property
    def written_bytes(self) -> int:
        """Bytes of state that were written for the newest epoch."""
        return self._writer.written_bytes

    def complete(
        self, epoch: int, handles: Mapping[str, Mapping[str, JsonValue]], *, ended: bool = False
    ) -> Manifest:
        """Complete an epoch: flush every state, then write the manifest, whose new name is the commit point.

        Parameters
        ----------
        epoch
            The epoch that has begun last.
        handles
            What each sink has prepared.
        ended
            True if all streams have ended.

        Raises
        ------
        OSError
            The disk failed or is full. The epoch is not complete, and the run must end.
        CheckpointError
            Another run has taken over the folder: the lock was lost, as on a network file system, or removed.
        """
        with self._mutex:
            saved = dict(self._saved)
            finished = sorted(self._finished - set(saved))
        with ThreadPoolExecutor(4, "arrowstream-flush") as threads:
            list(threads.map(self._writer.flush, self._writer.new))  # raises what a thread has raised
        sync(pieces_in(self.path))
        manifest = Manifest(
            epoch,
            self.attempt,
            self.job,
            self.pipeline,
            saved,
            handles,
            tuple(finished),
            ended,
            _now(),
            self._in_full,
        )
        path = manifest_of(self.path, epoch)
        write_durably(path, manifest.encode(), self._before_manifest)
        reach(Failpoint.MANIFEST_NAMED)
        return manifest

    def mark_committed(self, epoch: int) -> None:
        """Note that every sink has committed an epoch, and drop epochs that no restart needs."""
        write_durably(marker_of(self.path, epoch), b"")
        reach(Failpoint.EPOCH_MARKED)
        drop(self.path, complete_epochs(self.path)[:-KEPT])

    def context(self, sink: str) -> CheckpointContext:
        """Return what a sink needs to know, with a folder of its own."""
        folder = self.path / "sinks" / quote(sink, safe=" ")
        make_folder(folder)
        return CheckpointContext(self._owner, self.attempt, folder, self._newest_before)

    def _newest(self) -> Manifest | None:
        """Return the newest manifest that is whole, or None without any; set damaged ones aside.

        Raises
        ------
        CheckpointError
            All of them are damaged: a run from the beginning would show rows twice.
        """
        numbers = complete_epochs(self.path)[::-1]
        damaged: list[Path] = []
        for number in numbers:
            path = manifest_of(self.path, number)
            content = path.read_bytes()
            try:
                check_whole(content)
            except CheckpointError as error:
                self.notes.append(f"epoch {number} of {self.path} is damaged and was set aside: {error}")
                damaged.append(path)
                continue
            newest = Manifest.decode(content)
            for path in damaged:
                path.rename(path.with_suffix(".damaged"))
            return newest
        if numbers:
            raise CheckpointError(
                f"every manifest in {self.path} is damaged",
                expected="a whole manifest to continue from",
                found=f"damaged manifests of the epochs {', '.join(map(str, numbers))}",
                hint="restore one from a backup; from_checkpoint='ignore' reads all rows again and shows them twice",
            )
        return None

    def _before_manifest(self) -> None:
        reach(Failpoint.MANIFEST_WRITTEN)
        newest = _attempt_in(self.path)
        if newest != self.attempt:
            raise CheckpointError(
                f"another run has taken over the checkpoint folder {self.path}",
                expected=f"no run after attempt {self.attempt}",
                found=f"attempt {newest}",
                hint="end this run; the file lock in the folder must stay, and a file system that keeps locks",
            )

    def _new_owner(self) -> str:
        """Return a name under which sinks keep what belongs to this folder, and which no other job has."""
        return f"{re.sub(r'[^A-Za-z0-9_]+', '-', self.job)[:40]}-{secrets.token_hex(4)}"

    def _count_attempt(self) -> int:
        attempt = _attempt_in(self.path) + 1
        write_durably(self.path / "attempt", str(attempt).encode())
        reach(Failpoint.ATTEMPT_COUNTED)
        return attempt


def _attempt_in(path: Path) -> int:
    """Return the number of the newest run in a folder; 0 for none."""
    file = path / "attempt"
    return int(file.read_text()) if file.exists() else 0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _check_same(saved: tuple[str, ...], pipeline: tuple[str, ...], path: Path) -> None:
    """Check that the pipeline is the one that wrote the checkpoints, perhaps with more sinks for rows put aside.

    Raises
    ------
    CheckpointError
        It is another one; the error shows the lines that differ.
    """
    known = {line for line in saved if _is_aside(line)}
    if saved == tuple(line for line in pipeline if not _is_aside(line) or line in known):
        return
    from difflib import ndiff

    lines = [line for line in ndiff(saved, pipeline) if line[:2] in ("- ", "+ ")]
    raise CheckpointError(
        f"the checkpoints in {path} are of another pipeline",
        expected="the pipeline that wrote them",
        found="these lines, - as it was and + as it is:\n" + "\n".join(f"    {line}" for line in lines),
        hint="undo the change; or remove what the sinks show, and start from the beginning: from_checkpoint='ignore'",
    )


def _is_aside(line: str) -> bool:
    """Return whether a line describes a sink of late rows, dead letters or bad rows."""
    return line.lstrip().startswith(("late rows of ", "dead letters of ", "bad rows of "))
