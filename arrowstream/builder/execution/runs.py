"""`Pipeline.run` and its relatives: runs that are waited for, and what is known of them meanwhile."""

from __future__ import annotations

import asyncio
import logging
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

import polars as pl

from arrowstream.builder.served_metrics import ServesMetrics
from arrowstream.config.settings import Settings
from arrowstream.core.checks import PathLike, check_whole
from arrowstream.core.clock import Clock
from arrowstream.core.duration import Duration, seconds
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.core.waiting import call_on, in_cell
from arrowstream.metrics.snapshot import Metrics
from arrowstream.plan.graph import Graph
from arrowstream.plan.outline import Outline
from arrowstream.runtime.background.foreground import Foreground
from arrowstream.runtime.background.latest import LatestRun
from arrowstream.runtime.background.running import Running
from arrowstream.runtime.background.watched import Watched
from arrowstream.runtime.checkpoints.options import CheckpointOptions, FromCheckpoint
from arrowstream.runtime.failure.cleanup import releasing
from arrowstream.runtime.options import Options, Prepared
from arrowstream.runtime.report import Progress, RunReport
from arrowstream.runtime.run import Run
from arrowstream.runtime.run_blocking import run_blocking
from arrowstream.runtime.signals import SignalHandling, check_main_thread, ended_by_signals

_log = logging.getLogger(__name__)

ShowProgress = bool | Callable[[Progress], None]


@explain_calls
class Runs(ServesMetrics):
    """A pipeline that can run."""

    def __init__(self, graph: Graph, clock: Clock, settings: Settings) -> None:
        self._graph = graph
        self._clock = clock
        self._settings = settings
        self.checkpoint: CheckpointOptions | None = None
        """The checkpoints of runs that do not ask for others, as a job file has them."""
        self.hide: Callable[[str], str] = str
        """Masks secrets in what the live page shows, as a job knows them."""
        self._runs: dict[Run, asyncio.AbstractEventLoop] = {}
        self._metrics = Metrics.of(graph.name)
        self._latest: weakref.ref[Watched] | None = None
        """The run that has begun last, as others see it: nothing of it is kept for this."""
        self._viewers: list[LatestRun] = []

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self._graph.name

    @abstractmethod
    def _prepared(self) -> Prepared:
        """Return what a run needs."""

    @abstractmethod
    def outline(self) -> Outline:
        """Return the plan as nodes and edges."""

    @abstractmethod
    def _passing(self) -> Mapping[str, pl.Schema]:
        """Return the schema of the rows that pass at each node of the outline, as far as they are known."""

    @abstractmethod
    def _progress_bar(self) -> AbstractContextManager[Callable[[Progress], None]]:
        """Return the bar on a terminal, as a function that is called with the progress."""

    async def run(
        self,
        *,
        progress: ShowProgress = False,
        duration: Duration | None = None,
        limit: int | None = None,
        signals: bool | SignalHandling = False,
        checkpoint: PathLike | None = None,
        every: Duration | None = None,
        from_checkpoint: FromCheckpoint = "newest",
    ) -> RunReport:
        """Run until the stream ends, or one of the arguments ends it.

        Parameters
        ----------
        progress
            True for a progress bar on a terminal, or a function that is called with a `Progress` from time to time.
        duration
            Stop gently after this duration (``"10s"``, seconds, a timedelta).
        limit
            Stop gently at exactly this number of `rows_out`, which a split's sinks share and a fan-out's all get.
        signals
            Whether SIGINT and SIGTERM end the run, on the main thread. The first stops it gently, and the report's
            `stopped` names the signal if rows were left in a source; the second ends it at once, without a commit. A
            commit that has begun is always completed. By default, signals are not handled.
        checkpoint
            Folder for the state of the pipeline: however a run ended, the next one with the same folder continues
            it; see ``docs/guide/checkpoints.md``.
        every
            Time between two checkpoints, after each of which the sinks show their rows; by default 10 s.
        from_checkpoint
            ``"newest"`` continues from the newest checkpoint, if any; ``"ignore"`` starts from the beginning.

        Returns
        -------
        RunReport
            Rows, seconds, stages and losses of the run.

        Raises
        ------
        RunInterrupted
            A second signal ended the run.
        StageError
            A stage failed; everything else was cancelled, and nothing half-written is visible.
        SchemaError, PlanError
            The first batch of a source without a schema does not fit the pipeline, or checkpoints are impossible.
        CheckpointError
            The checkpoint folder is in use, damaged, or of another pipeline.
        MissingExtra
            ``progress=True`` without rich, or the setting `export_prometheus` without prometheus-client.
        """
        with ExitStack() as stack:
            options = self._options(
                stack, progress, duration, limit, signals, checkpoint, every, from_checkpoint
            )
            return await self._execute(options, signals)

    def _options(
        self,
        stack: ExitStack,
        progress: ShowProgress,
        duration: Duration | None,
        limit: int | None,
        signals: bool | SignalHandling,
        checkpoint: PathLike | None,
        every: Duration | None,
        from_checkpoint: FromCheckpoint,
    ) -> Options:
        """Return the options of a run, checked; what it needs around it is entered into `stack`."""
        # A run that cannot start is never going to read a channel; another run of this pipeline may.
        idle = not self._runs
        with releasing(self._graph.sources if idle else (), self._graph.sinks if idle else ()):
            if signals is not False:
                check_main_thread()
            if limit is not None:
                check_whole("limit", limit, least=0)
            asked = CheckpointOptions.of(checkpoint, every, from_checkpoint, limit, self.checkpoint)
            options = Options.under(
                self._settings, limit, None if duration is None else seconds(duration), asked
            )
            if self._settings.export_prometheus:
                stack.enter_context(
                    self.serve_metrics(self._settings.prometheus_port, self._settings.prometheus_host)
                )
            if progress is True:
                progress = stack.enter_context(self._progress_bar())
        return replace(options, on_progress=progress or None)

    def run_sync(
        self,
        *,
        progress: ShowProgress = False,
        duration: Duration | None = None,
        limit: int | None = None,
        signals: bool | SignalHandling = False,
        checkpoint: PathLike | None = None,
        every: Duration | None = None,
        from_checkpoint: FromCheckpoint = "newest",
    ) -> RunReport:
        """Run from code that is not async; inside a running loop, on a thread with a separate loop.

        Ctrl-C ends the run at once and raises KeyboardInterrupt, as in any program: nothing is committed, unless the
        commit has begun, which is then completed. With ``signals=True`` the first Ctrl-C stops the run gently.

        In a cell of a notebook or of IPython, the run is one of `start`, and an interrupt stops it gently: the call
        returns its report. A second interrupt ends it at once.

        Parameters
        ----------
        progress, duration, limit, signals, checkpoint, every, from_checkpoint
            As for `run`, which says what is returned and what may be raised.
        """
        if signals is False and in_cell():
            running = self.start(
                progress=progress,
                duration=duration,
                limit=limit,
                checkpoint=checkpoint,
                every=every,
                from_checkpoint=from_checkpoint,
            )
            with running:  # so that an interrupt just before it waits does not leave the run to itself
                return running.wait()
        return run_blocking(
            lambda: self.run(
                progress=progress,
                duration=duration,
                limit=limit,
                signals=signals,
                checkpoint=checkpoint,
                every=every,
                from_checkpoint=from_checkpoint,
            )
        )

    def start(
        self,
        *,
        progress: ShowProgress = False,
        duration: Duration | None = None,
        limit: int | None = None,
        checkpoint: PathLike | None = None,
        every: Duration | None = None,
        from_checkpoint: FromCheckpoint = "newest",
    ) -> Running:
        """Run in the background, on a thread with an event loop of its own; return once the run has begun.

        What steps, sources and sinks call runs on that thread and its worker threads. Several runs may go on at the
        same time; a warning is logged if they write to the same file. Signals are the program's own;
        ``running.stop()`` ends a run gently.

        Parameters
        ----------
        progress, duration, limit, checkpoint, every, from_checkpoint
            As for `run`. What is wrong with them is raised here.

        Returns
        -------
        Running
            The run: metrics, last rows and history while it goes on; its report or its error at the end.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2, 3]})))
        >>> with builder.sink(Sink.to_fn(len)).build().start() as running:
        ...     report = running.wait()
        >>> report.rows_out, running.state
        (3, 'done')
        """
        with ExitStack() as stack:
            options = self._options(
                stack, progress, duration, limit, False, checkpoint, every, from_checkpoint
            )
            run = Run(self._clock, options)
            around = stack.pop_all()

        async def execute() -> RunReport:
            with around:
                self._show(running)
                return await self._execute_run(run, False)

        self._warn_of_runs()
        running = Running(self.name, run, execute, self.outline, self._passing)
        try:
            return running.begin()
        except BaseException:  # it may not have come to leave what is around it
            around.close()
            raise

    def stop(self) -> None:
        """Stop every run of this pipeline gently, from any thread: batches in flight are delivered.

        In flight are the batch in each step and those in the queue before it (setting `default_buffer_size`). If they
        take too long, make batches smaller, or cancel the task of `run`, which aborts the sinks.
        """
        for run, loop in list(self._runs.items()):
            call_on(loop, run.stop)

    def metrics(self) -> Metrics:
        """Return frozen metrics of the latest current run, or of the run that ended last; from any thread."""
        runs = list(self._runs)
        return runs[-1].metrics(self.name) if runs else self._metrics

    @contextmanager
    def viewer(self) -> Iterator[LatestRun]:
        """Yield what shows the latest run of this pipeline, and each one that begins inside of the block."""
        watched = None if self._latest is None else self._latest()
        viewer = LatestRun(self.name, self.outline, watched, self.hide)
        self._viewers.append(viewer)
        try:
            yield viewer
        finally:
            self._viewers.remove(viewer)

    def _warn_of_runs(self) -> None:
        """Warn of runs that go on and write to the same places, as after a cell that was executed twice."""
        places = [sink.label for sink in self._graph.sinks if sink.place is not None]
        if self._runs and places:
            _log.warning(
                "pipeline %s is started while another run of it goes on, and both write %s: of a file that is "
                "replaced, the rows of the run that ends last stay; running.stop() ends a run",
                self.name,
                " and ".join(dict.fromkeys(places)),
            )

    def _show(self, watched: Watched) -> None:
        """Show a run that begins to all who look."""
        self._latest = weakref.ref(watched)
        for viewer in tuple(self._viewers):
            viewer.see(watched)

    async def _execute(self, options: Options, signals: bool | SignalHandling) -> RunReport:
        run, loop = Run(self._clock, options), asyncio.get_running_loop()
        watched = Foreground(self.name, run, self.outline, self._passing, loop)
        self._show(watched)
        try:
            report = await self._execute_run(run, signals)
        except BaseException as error:
            watched.end(error)
            raise
        watched.end(None)
        return report

    async def _execute_run(self, run: Run, signals: bool | SignalHandling) -> RunReport:
        self._runs[run] = asyncio.get_running_loop()
        try:
            work = run.execute(self._prepared())
            if signals is False:
                return await work
            return await ended_by_signals(run, work, SignalHandling() if signals is True else signals)
        finally:
            self._metrics = run.metrics(self.name)
            del self._runs[run]
