"""Every error arrowstream raises, in one tree.

::

    ArrowstreamError
    ├── SchemaError           names or types do not fit                     (build, or first batch)
    ├── PlanError             the pipeline cannot be built as written       (build)
    │   ├── QueryError        a SQL query is wrong: line, column, what to write instead
    │   ├── UnknownName       an object or class has nothing of this name   (also an AttributeError)
    │   │   └── NoSuchStep    a builder has nothing of this name
    │   └── WrongCall         a call has no such argument, or lacks one     (also a TypeError)
    ├── JobError              a TOML job is wrong: file, line, what to do   (command line)
    ├── SettingsError         a setting is wrong: its file and line or variable, what was expected
    ├── MissingExtra          an optional library is not installed          (also an ImportError)
    ├── ChannelError
    │   ├── ChannelClosed     this end was closed by its own user
    │   └── PeerGone          the other end went away before the stream ended
    ├── CheckpointError       a checkpoint cannot be used: damaged, in use, or of another pipeline
    ├── RunCancelled          a run in the background was ended at once: nothing more is committed
    ├── RunInterrupted        a second SIGINT or SIGTERM ended the run: nothing is committed
    └── StageError            a stage failed while running; wraps the cause
        ├── SourceError       reading failed: where, which row, what was found
        │   └── UnreadableData  the data cannot be read, whatever the pipeline is
        │       └── BadMessage  a message is not what its format says
        ├── SinkError         writing failed: nothing is left under a final name
        │   ├── UndeliveredRows   some rows of a batch were written, others were not
        │   └── TakenOver         another run of the pipeline writes there now
        ├── DatabaseBusy      another transaction held a lock for too long: trying again may succeed
        ├── NoArray           map_zero_copy has no array of this name       (also a KeyError)
        ├── SnapshotError     state cannot be restored: another step or version wrote it
        └── StageTimeout      a batch took longer than the time limit of its step

The end of a stream is not an error: a receiver's iteration stops.
A message says what failed, where, what was expected, what was found, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from signal import Signals
from typing import Any

from arrowstream.shown import by_display


class ArrowstreamError(Exception):
    """Base class of all errors of this package.

    Parameters
    ----------
    what
        What failed, in one clause.
    stage
        Name of the stage in which it failed, as `explain()` prints it.
    expected, found
        What was needed, and what was found instead.
    hint
        What the user can do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        stage: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.stage = stage
        self.expected = expected
        self.found = found
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        lines = [f"{self.what} (stage {self.stage})" if self.stage else self.what]
        lines += [
            f"  {label}: {value}"
            for label, value in (("expected", self.expected), ("found", self.found), ("hint", self.hint))
            if value
        ]
        return _printable("\n".join(lines))

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own calls the class with `args`, which is not what each of these classes takes.
        return _restored, (type(self), self.args), self.__dict__

    def _repr_html_(self) -> Any:
        return by_display("errors.error_html", self)

    def _render_traceback_(self) -> Any:
        """Return the lines that IPython shows in place of all frames: the user's frames and the message."""
        return by_display("traceback.short_traceback", self)


def _restored(kind: type[ArrowstreamError], arguments: tuple[Any, ...]) -> ArrowstreamError:
    """Return an error that was pickled or copied, without its attributes."""
    return kind.__new__(kind, *arguments)


def _printable(text: str) -> str:
    """Return `text` with escapes for characters that cannot be printed, as in names of files that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()


class SchemaError(ArrowstreamError):
    """Column names or types do not fit; raised at `build()` or at a source's first batch."""


class PlanError(ArrowstreamError):
    """The pipeline cannot be built as written."""


class QueryError(PlanError):
    """A SQL query cannot be read, or cannot run as a pipeline; the message starts with its line and column.

    Parameters
    ----------
    what, expected, found, hint
        As for every error.
    line, column
        Where in the query the clause is that the error is about, counted from 1.
    """

    def __init__(
        self,
        what: str,
        *,
        line: int,
        column: int,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.line = line
        self.column = column
        super().__init__(f"line {line}, column {column}: {what}", expected=expected, found=found, hint=hint)


class UnknownName(PlanError, AttributeError):
    """An object or class of this package does not have an attribute of this name; the hint names the equivalent."""


class NoSuchStep(UnknownName):
    """A builder does not have a step or method of this name; the hint names the equivalent."""


class WrongCall(PlanError, TypeError):
    """A function of this package was called with an unknown argument, too many of them, or without a required one."""


class JobError(ArrowstreamError):
    """A TOML job cannot be read; the message starts with ``file:line``."""


class SettingsError(ArrowstreamError):
    """A setting is unknown or does not fit; the message starts with ``file:line``, or the variable."""


class MissingExtra(ArrowstreamError, ImportError):
    """An optional library is missing; the hint names the extra to install."""


class ChannelError(ArrowstreamError):
    """A channel cannot be used in this way, or not any more."""


class ChannelClosed(ChannelError):
    """An end of a channel was used after its user had closed it."""


class PeerGone(ChannelError):
    """The other end of a channel closed or failed before the stream had ended."""


class RunInterrupted(ArrowstreamError):
    """A second signal ended a run with ``signals=True`` at once; it has committed nothing.

    With checkpoints, the next run goes on from the last complete one; a commit of it that had begun was completed.

    Parameters
    ----------
    number
        The second signal, such as ``signal.SIGTERM``.
    """

    def __init__(self, number: Signals) -> None:
        self.number = number
        super().__init__(f"a second signal, {number.name}, ended the run: nothing more is committed")


class RunCancelled(ArrowstreamError):
    """A run in the background was ended at once; it has committed nothing after its last checkpoint, if any."""


class CheckpointError(ArrowstreamError):
    """A checkpoint folder cannot be used: it is damaged, in use, or of another pipeline."""


class StageError(ArrowstreamError):
    """A stage failed while the pipeline ran.

    Parameters
    ----------
    position
        Source rows of the failing batch, such as ``"flights.csv rows 100-200"``: counted from 0, excluding the
        end. A row that cannot be read is written as ``"row 101 (line 102)"``, counted from 1.

    Notes
    -----
    The original exception is ``__cause__``.
    """

    def __init__(
        self,
        what: str,
        *,
        stage: str | None = None,
        position: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.position = position
        super().__init__(what, stage=stage, expected=expected, found=found, hint=hint)

    def __str__(self) -> str:
        head, *rest = super().__str__().split("\n")
        return "\n".join(
            [head, *([f"  position: {_printable(self.position)}"] if self.position else []), *rest]
        )


class SourceError(StageError):
    """Reading from a source failed; `position` names the file and row if they are known."""


class UnreadableData(SourceError):
    """Data of a source cannot be read though the pipeline is right: a row, a damaged file, a store that is away."""


class BadMessage(UnreadableData):
    """A message cannot be read: its bytes are not what the format or the schema says.

    Parameters
    ----------
    what, expected, found, hint
        As for every error.
    index
        Place of the message among those that were read together, counted from 0.
    """

    def __init__(
        self,
        what: str,
        *,
        index: int,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.index = index
        super().__init__(what, expected=expected, found=found, hint=hint)


class SinkError(StageError):
    """Writing to a sink failed; nothing half-written stays under a final name."""


class UndeliveredRows(SinkError):
    """A sink could not write some rows of a batch; it has written the others, which must not be written again.

    Parameters
    ----------
    what, expected, found, hint
        As for every error.
    parts
        First row, number of rows and reason of each run of rows that were not written, in order.
    """

    def __init__(
        self,
        what: str,
        *,
        parts: Sequence[tuple[int, int, str]],
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.parts = tuple(parts)
        super().__init__(what, expected=expected, found=found, hint=hint)

    @property
    def rows(self) -> int:
        """Number of rows that were not written."""
        return sum(length for _, length, _ in self.parts)


class TakenOver(SinkError):
    """Another run of the same pipeline writes where this one has written."""


class DatabaseBusy(StageError):
    """Another transaction of a database held a lock for too long, or won over this one; trying again may succeed."""


class NoArray(StageError, KeyError):
    """A function of `map_zero_copy` asked for a column that is missing or has no array."""


class SnapshotError(StageError):
    """A snapshot of state cannot be restored, as another kind of step or another version wrote it."""


class StageTimeout(StageError):
    """A step took longer for one batch than its time limit allows."""
