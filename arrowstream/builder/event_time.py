"""The steps of the builder with event time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from arrowstream.builder.base import GraphBuilder
from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.io.sink import SinkSpec
from arrowstream.operators.with_event_time import Watermarks

if TYPE_CHECKING:
    from arrowstream.operators.window import WindowFull, Windows
    from arrowstream.operators.windows.timeless_rows import NullTimes


@explain_calls
@dataclass(frozen=True, slots=True)
class EventTimeSteps(GraphBuilder):
    """Steps with event time: watermarks and windows."""

    def with_event_time(
        self,
        column: str,
        lateness: Duration = 0.0,
        idle: Duration | None = None,
        *,
        advance_when_idle: bool = False,
        max_jump: Duration | None = None,
    ) -> Self:
        """Derive watermarks from the event time in `column`, for windows.

        A watermark follows each batch: the latest event time so far minus `lateness`.

        Parameters
        ----------
        column
            The event time: a Datetime, a Date, or whole microseconds since 1970 (UTC).
        lateness
            The most event time by which a row may be out of order (``"5s"``, seconds, a timedelta).
        idle
            Time without a row after which other streams no longer wait for this one where streams meet; by default
            they always do. A batch without rows does not end the silence.
        advance_when_idle
            Whether event time advances with the clock while no row comes: each `idle` of silence adds `idle`. Where
            streams meet, it advances once all of them are idle. By default windows stay open until the next row, or
            the end of the stream. Rows older than what the silence has added are late.
        max_jump
            The most by which one row may move event time, such as ``"1h"``; None for no limit. A row further ahead
            of the latest event time stays a row, but moves no watermark; the report counts such rows and names the
            first, which is also logged. The first row of the stream sets event time, whatever it is.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            `lateness`, `idle` or `max_jump` isn't a duration, `max_jump` is 0, or `advance_when_idle` comes without
            `idle`.
        SchemaError
            The column is missing, or does not hold times.

        Notes
        -----
        Runs as a stage. Costs some 20 us a batch, to find the latest time in it; holds that time and no rows.

        The ends of batches decide when a watermark is made, and so which of the rows that are out of order by more
        than `lateness` are late for a window. After ``.batch(rows=...)`` that depends on the rows alone. Which rows
        are too far ahead never depends on the cut: each row is compared with the event time that the rows before it
        have left.

        After a gap in the data that is longer than `max_jump`, no row moves event time any more: choose it longer
        than the longest gap, such as a night, or let event time advance during the gap by `advance_when_idle`. 1,000
        such rows one after the other are logged.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> frame = pl.DataFrame({"at": ["31.01.2026 12:00:01", "31.01.2026 12:00:07", "31.01.2026 12:00:13"]})
        >>> result = (
        ...     Pipeline.builder()
        ...     .source(Source.from_frame(frame))
        ...     .with_columns(at=pl.col("at").str.to_datetime("%d.%m.%Y %H:%M:%S"))
        ...     .with_event_time("at", lateness="5s")
        ...     .window(size="10s", on="at")
        ...     .agg(pl.len())
        ...     .collect_sync()
        ... )
        >>> result["len"].to_list()
        [2, 1]
        """
        return self._then(
            Watermarks.of(column, lateness, idle, advance_when_idle=advance_when_idle, max_jump=max_jump)
        )

    def window(
        self,
        size: Duration | None = None,
        *,
        every: Duration | None = None,
        offset: Duration | None = None,
        timezone: str | None = None,
        session: Duration | None = None,
        rows: int | None = None,
        on: str | None = None,
        by: str | Iterable[str] | None = None,
        allowed_lateness: Duration = 0,
        late: SinkSpec | None = None,
        null_times: NullTimes = "error",
        max_bytes: int | None = None,
        on_full: WindowFull = "error",
    ) -> Windows[Self]:
        """Open windows of event time, sessions or rows, for `.agg(...)`.

        Results are those of Polars' ``group_by([window, *by]).agg(...)`` over all rows at once, whatever the
        aggregation, and however the stream is cut into batches. A sum, mean, variance or standard deviation of
        floats may differ in its last digits: values are added in another order. A row comes out for every window
        that has rows and every key in it: ``window_start`` and ``window_end`` (of the type of `on`; Int64 for
        integers), which windows of `rows` do not have, then the keys, then the aggregates.

        Parameters
        ----------
        size
            Length of a window in event time (``"10s"``, seconds, a timedelta), also in days ``"1d"``, weeks
            ``"1w"``, months ``"1mo"``, quarters ``"1q"`` and years ``"1y"``. A window has the rows from its start
            up to, not including, its end; windows start at multiples of `every` since 1970 UTC, those of weeks on
            Mondays, those of months on the first day of a month.
        every
            From one start to the next; `size` by default, so that every row is in one window. If it is
            shorter, windows overlap, and a row is in several. Months go with months, quarters and years only.
        offset
            By how much windows start later: ``size="1d", offset="6h"`` for days from 06:00 to 06:00. Whole days for
            windows of months, and with `timezone`.
        timezone
            The zone of days, weeks and months, such as ``"Europe/Berlin"``, whatever the zone of `on`: windows
            start at its midnights, so that a day has 23 or 25 hours where the clocks change. UTC by default. Times
            without a zone are in UTC, and then ``window_start`` and ``window_end`` are too: a day in Berlin starts at
            22:00 or 23:00.
        session
            Instead of `size`: a window for each stretch of activity of a key. A gap of this length or more between
            two rows ends one; its ``window_end`` is its last row's time plus the gap.
        rows
            Instead of `size`: windows of this number of rows of a key, in the order in which they come. The
            last window of a key may be smaller.
        on
            The column of event times: Datetime of any unit and zone (without a zone it counts as UTC), Date,
            or integers of microseconds since 1970 UTC. Windows of `rows` have none.
        by
            The columns to group by, a name or several; null is a key.
        allowed_lateness
            Event time for which a window still takes rows after the watermark has passed its end.
        late
            The sink of late rows; without one they are only counted in the report. A file sink without `mode` keeps
            the rows of earlier runs.
        null_times
            What becomes of rows without an event time: ``"error"`` ends the run; ``"drop"`` leaves them out, and the
            report counts them; ``"late"`` counts them as late rows, which go to `late` if that is given.
        max_bytes
            The most bytes of memory that open windows take; None for no limit. Merging and closing windows may take
            more for a moment.
        on_full
            The reaction to the limit: ``"error"``, all batches fail from then on, or ``"spill"``: state goes to
            files, as for `reduce`, and windows come out a few at a time; the rows of one must fit into memory.
            Sessions can't be spilled, and no window closes early to make room.

        Returns
        -------
        Windows
            The windows without aggregates yet; `.agg(...)` returns the builder with this step.

        Raises
        ------
        PlanError
            Not exactly one of `size`, `session` and `rows` is given, or an argument does not go with it.
        StageError
            While running: a row has no event time and `null_times` is ``"error"``, a bound of its window does not fit
            into the type of `on`, state exceeds `max_bytes`, or the disk is full.

        Notes
        -----
        Watermarks are the source's: ``Source.from_frame(...).with_event_time("ts", lateness="5s")``. Without any,
        no row is late, and all windows come out when the stream ends.

        Windows of event time come out once the watermark is past their end and `allowed_lateness`, otherwise at the
        end of the stream. They come in the order of their start, within a window in the order in which keys first
        came. A row whose windows are all closed is late: it is counted, goes to the sink `late` as it came in, and
        changes nothing. A job with checkpoints that a row without an event time has ended goes on with another
        `null_times`.

        Where windows overlap, a row that comes too late for some of its windows only counts in the others, and is
        not late. A watermark follows each batch, so which rows come too late depends on where the stream is cut
        where it gets its event time; ``.batch(rows=10_000).with_event_time(...)`` makes that the same for the same
        rows.

        Sessions are checked four times in a gap of event time, so they come out up to a quarter of a gap after
        that, those found together in the order of their start. A row from before the
        watermark and `allowed_lateness` is late for every session.

        A source that is idle closes no window: where streams meet, the others' times go on without it, and windows
        close by those; where it is the only one, its windows stay open until a later row, or the end of the stream.
        With ``with_event_time(..., idle="30s", advance_when_idle=True)`` silence closes windows, too.

        Windows of `rows` come out as soon as they are full, in that order; at the end of the stream, in the order
        of their first rows. They hold every watermark back.

        Sums, counts, means, variances, extremes, first and last values, `any`, `all` and `n_unique`, and arithmetic
        on them, keep a few values for each window and key; any other aggregation keeps the values of the columns it
        reads until the window closes: those of the largest rows alone if all filter by one comparison such as
        ``pl.col("price") == pl.col("price").max()``. Rows are collected, up to a million or 64 MiB of them, and then
        grouped together, which takes far less time than batch by batch; state is merged so seldom that the cost of a
        row does not grow with the number of open windows and keys. Closing a window costs in proportion to its rows
        and keys.

        Examples
        --------
        >>> from datetime import datetime
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> bids = pl.DataFrame(
        ...     {
        ...         "ts": [datetime(2026, 1, 1, 0, 0, second) for second in (1, 4, 11, 12)],
        ...         "item": ["a", "b", "a", "a"],
        ...         "price": [10, 20, 30, 50],
        ...     }
        ... )
        >>> builder = Pipeline.builder().source(Source.from_frame(bids))
        >>> builder.window(size="10s", on="ts", by="item").agg(pl.col("price").mean(), n=pl.len()).collect_sync()
        shape: (3, 5)
        ┌─────────────────────┬─────────────────────┬──────┬───────┬─────┐
        │ window_start        ┆ window_end          ┆ item ┆ price ┆ n   │
        │ ---                 ┆ ---                 ┆ ---  ┆ ---   ┆ --- │
        │ datetime[μs]        ┆ datetime[μs]        ┆ str  ┆ f64   ┆ u32 │
        ╞═════════════════════╪═════════════════════╪══════╪═══════╪═════╡
        │ 2026-01-01 00:00:00 ┆ 2026-01-01 00:00:10 ┆ a    ┆ 10.0  ┆ 1   │
        │ 2026-01-01 00:00:00 ┆ 2026-01-01 00:00:10 ┆ b    ┆ 20.0  ┆ 1   │
        │ 2026-01-01 00:00:10 ┆ 2026-01-01 00:00:20 ┆ a    ┆ 40.0  ┆ 2   │
        └─────────────────────┴─────────────────────┴──────┴───────┴─────┘
        >>> builder.window(rows=3).agg(pl.col("price").sum()).collect_sync()["price"].to_list()
        [60, 50]
        >>> from arrowstream import Sink
        >>> late = []
        >>> source = Source.from_frame([bids[1:], bids[:1]]).with_event_time("ts", lateness="1s")
        >>> windows = Pipeline.builder().source(source).window("10s", on="ts", late=Sink.to_fn(late.append))
        >>> windows.agg(n=pl.len()).collect_sync()["n"].to_list(), late[0].to_pylist()[0]["price"]
        ([1, 2], 10)
        """
        from arrowstream.operators.window import windows

        return windows(
            partial(self._then, late=late),
            size,
            every=every,
            offset=offset,
            timezone=timezone,
            session=session,
            rows=rows,
            on=on,
            by=by,
            allowed_lateness=allowed_lateness,
            null_times=null_times,
            max_bytes=max_bytes,
            on_full=on_full,
        )
