"""A join of a stream with the versions that another stream has at its times, while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.notes import ReaderNote
from arrowstream.operators.base import MultiInputProcess
from arrowstream.operators.joins.asof import END, Asof
from arrowstream.operators.joins.pending_rows import PendingRows
from arrowstream.operators.joins.port_times import PortTimes
from arrowstream.operators.joins.side_rows import SideRows
from arrowstream.operators.joins.stream_columns import StreamColumns
from arrowstream.operators.joins.timely_rows import TimelyRows
from arrowstream.operators.joins.versions import Versions
from arrowstream.operators.windows.timeless_rows import NullTimes
from arrowstream.state.arrays import Array
from arrowstream.state.memory import PIECE, StateMemory
from arrowstream.state.snapshot import SnapshotFormat
from arrowstream.state.time_queue import TimeQueue

_FORMAT = SnapshotFormat("asof join", 1)
_ROWS, _VERSIONS = 0, 1
_LEAST_OLD = 262_144
"""Versions that may go before the others are numbered anew, which costs a copy of them."""


class AsofJoining(MultiInputProcess):
    """The process of a `StreamAsofJoin`.

    Rows wait in the order of their time until no version at or before it can come. With ``"forward"`` and
    ``"nearest"`` some wait on, for a version after them.

    Parameters
    ----------
    asof
        How versions are chosen.
    late
        The columns of late rows of either side.
    null_times
        What is done with rows without a time.
    schemas
        The schema of rows and of versions.
    memory
        The memory that holds both.
    """

    __slots__ = (
        *(
            "_asof",
            "_final",
            "_memory",
            "_most",
            "_passed_us",
            "_pending",
            "_ports",
        ),
        *("_saved_form", "_schemas", "_timely", "_versions", "_waiting"),
    )

    def __init__(
        self,
        asof: Asof,
        late: StreamColumns,
        null_times: NullTimes,
        schemas: Sequence[pl.Schema],
        memory: StateMemory,
    ) -> None:
        self._asof = asof
        self._schemas = schemas
        self._memory = memory
        self._ports = PortTimes(2)
        self._versions = Versions(schemas[_VERSIONS], asof.types, memory)
        self._waiting = TimeQueue(memory)
        self._pending = PendingRows(schemas[_ROWS], memory)
        self._saved_form = SideRows(schemas)
        self._final: int | None = None
        """The tick before which no version comes any more; None before the first watermark of the versions."""
        self._most = _LEAST_OLD
        """The number of versions at which those that no row needs any more go."""
        self._passed_us: int | None = None
        self._timely = TimelyRows("join_asof()", asof.times, late, null_times, (asof.tolerance or 0) + 1)

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return self._timely.notes

    def process(self, batch: Batch, port: int = 0) -> Iterator[Element]:
        self._memory.check()
        self._ports.wake(port)
        rows, times = self._timely.sift(batch, port, self._first_tick(port))
        if not rows.height:
            return
        if port == _VERSIONS:
            keyed = self._asof.with_keys(port, rows)
            if keyed is not None:
                rows, times = rows.filter(pl.Series(keyed)), times[keyed]
            if rows.height:
                self._versions.append(rows, self._asof.keys_of(port, rows), times)
        elif self._final is not None and int(times.max()) < self._final:
            yield from self._joined(rows, times)
        else:
            self._waiting.append(rows, times)
            yield from self._decide()

    def on_watermark(self, time_us: int, port: int = 0) -> Iterator[Element]:
        advanced = self._ports.reach(port, time_us)
        yield from self._advance(advanced, time_us if port == _VERSIONS else None)

    def on_idle(self, port: int = 0) -> Iterator[Element]:
        advanced = self._ports.sleep(port)
        yield from self._advance(advanced, advanced)
        if self._ports.is_idle:
            yield Idle()

    def on_end(self, port: int) -> Iterator[Element]:
        advanced = self._ports.end(port)
        if port == _VERSIONS:
            self._final = END
        yield from self._advance(advanced, advanced)
        if self._ports.is_idle:
            yield Idle()

    def finish(self) -> Iterator[Element]:
        self._final = END
        yield from self._decide()

    def take_late(self) -> Batch | None:
        return self._timely.take_late()

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        self._memory.check_whole()
        keys = self._saved_keys if self._asof.types else ()
        values = {"ports": self._ports.values(), "final": self._final, "passed_us": self._passed_us}
        return _FORMAT.write(map(Batch, self._saved()), keys, ordered=True, **values)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, saved = _FORMAT.read(batches)
        self._ports.restore(values["ports"])
        self._final, self._passed_us = values["final"], values["passed_us"]
        for batch in saved:
            for port, rows, _ in self._saved_form.apart(batch.polars()):
                times = self._asof.ticks(port, rows)
                if port == _VERSIONS:
                    self._versions.append(rows, self._asof.keys_of(port, rows), times)
                else:
                    # Those that waited for a version after them are looked at again.
                    self._waiting.append(rows, times)

    def _saved(self) -> Iterator[pl.DataFrame]:
        for start in range(0, self._versions.log.stop, PIECE):
            stop = min(start + PIECE, self._versions.log.stop)
            yield self._saved_form.of(_VERSIONS, self._versions.log.frame(start, stop))
        for rows in (*self._pending.frames(), *self._waiting.frames()):
            yield self._saved_form.of(_ROWS, rows)

    def _saved_keys(self, saved: pl.DataFrame) -> pl.DataFrame:
        ((port, rows, _),) = self._saved_form.apart(saved)
        return self._asof.keys_of(port, rows)

    def _first_tick(self, port: int) -> int | None:
        """Return the tick before which a row of a side is late; None if none is."""
        if port == _VERSIONS:
            # A row of before this may have come out without it.
            return self._final
        reached = self._ports.time_us
        return None if reached is None else self._asof.times[port].first_tick(reached)

    def _advance(self, time_us: int | None, versions_us: int | None) -> Iterator[Element]:
        """Let rows go whose versions are known; forget versions, and pass on how far all rows before have gone."""
        if versions_us is not None:
            final = self._asof.times[_VERSIONS].first_tick(versions_us)
            if self._final is None or final > self._final:
                self._final = final
        yield from self._decide()
        if self._versions.log.stop > self._most:
            self._forget()
        if self._ports.time_us is None:
            return
        reached_us, first = self._ports.time_us, self._first_held()
        if first is not None:
            reached_us = min(reached_us, self._asof.times[_ROWS].to_us(first))
        if self._passed_us is None or reached_us > self._passed_us:
            self._passed_us = reached_us
            yield Watermark(reached_us)

    def _first_held(self) -> int | None:
        return min(
            (first for first in (self._waiting.first, self._pending.first) if first is not None), default=None
        )

    def _decide(self) -> Iterator[Batch]:
        """Let rows go whose versions are known."""
        if self._final is None:
            return
        for rows in self._waiting.take(self._final):
            yield from self._joined(rows, self._asof.ticks(_ROWS, rows))
        if not len(self._pending):
            return
        ready = self._pending.ready(self._versions.newest, self._final)
        gone = [np.zeros(0, np.int64)]
        for start in range(0, len(ready), PIECE):
            numbers = ready[start : start + PIECE]
            chosen, known = self._choose(self._pending.slots[numbers], self._pending.times[numbers])
            going = known <= self._final
            if going.any():
                gone.append(numbers[going])
                yield from self._out(self._pending.rows(numbers[going]), chosen[going])
        self._pending.leave(np.concatenate(gone))

    def _joined(self, rows: pl.DataFrame, times: Array) -> Iterator[Batch]:
        """Yield rows from before `_final` with their versions; keep those whose version is not known."""
        assert self._final is not None
        keyed = self._asof.with_keys(_ROWS, rows)
        waits = self._asof.strategy != "backward" and self._final < END
        slots = self._versions.slots(self._asof.keys_of(_ROWS, rows), rows.height, add=waits)
        if keyed is not None:
            slots = np.where(keyed, slots, -1)
        chosen, known = self._choose(slots, times)
        going = (known <= self._final) | (slots < 0)
        if going.all():
            yield from self._out(rows, chosen)
            return
        stay = ~going
        self._pending.append(rows.filter(pl.Series(stay)), times[stay], slots[stay], known[stay])
        if going.any():
            yield from self._out(rows.filter(pl.Series(going)), chosen[going])

    def _choose(self, slots: Array, times: Array) -> tuple[Array, Array]:
        assert self._final is not None
        return self._asof.choose(self._versions, slots, times, self._final)

    def _out(self, rows: pl.DataFrame, chosen: Array) -> Iterator[Batch]:
        out = self._asof.joined(rows, self._versions.log.gather(chosen), chosen)
        if out.height:
            yield Batch(out)

    def _forget(self) -> None:
        """Forget the versions that no row needs any more: each key keeps the newest before the time of all rows."""
        slots, times, numbers = self._versions.sorted()
        kept = np.zeros(len(slots), np.bool_)
        if self._ports.time_us is not None:
            low = self._asof.times[_ROWS].first_tick(self._ports.time_us)
            kept = times >= low
            if self._asof.strategy != "forward":
                last = np.append((slots[1:] != slots[:-1]) | (times[1:] > low), True)
                near = True if self._asof.tolerance is None else times >= low - self._asof.tolerance
                kept |= last & near
        else:
            kept[:] = True
        living = self._pending.living()
        kept_numbers = numbers[kept]
        if len(living):
            needed = self._versions.before(self._pending.slots[living], self._pending.times[living])
            kept_numbers = np.union1d(kept_numbers, needed[needed >= 0])
        kept_numbers = np.sort(kept_numbers)
        log = self._versions.log
        pieces = (
            self._asof.keys_of(_VERSIONS, log.gather(kept_numbers[at : at + PIECE]))
            for at in range(0, len(kept_numbers), PIECE)
        )
        self._versions.keep(kept_numbers, pieces)
        for start in range(0, len(living), PIECE):
            some = living[start : start + PIECE]
            keys = self._asof.keys_of(_ROWS, self._pending.rows(some))
            self._pending.slots[some] = self._versions.slots(keys, len(some), add=True)
        self._most = _LEAST_OLD + 2 * len(kept_numbers)
