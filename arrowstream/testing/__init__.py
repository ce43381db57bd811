"""A test kit for pipelines: sources and sinks in memory, and a manual clock.

Examples
--------
>>> import polars as pl
>>> from arrowstream import Pipeline
>>> source, sink = TestSource.from_list([1, 2, 3, 4, 5]), TestSink()
>>> pipeline = Pipeline.builder().source(source).map(value=pl.col("value") * 2).sink(sink).build()
>>> report = pipeline.run_sync()
>>> sink.received()
[2, 4, 6, 8, 10]
"""

from arrowstream.core.batch import Barrier, Batch, Idle, Watermark
from arrowstream.testing.clock import ManualClock
from arrowstream.testing.cuts import check_cut_independence
from arrowstream.testing.frames import assert_frames_equal
from arrowstream.testing.sink import TestSink
from arrowstream.testing.source import Abort, Aborted, Pause, TestSource

__all__ = [
    "Abort",
    "Aborted",
    "Barrier",
    "Batch",
    "Idle",
    "ManualClock",
    "Pause",
    "TestSink",
    "TestSource",
    "Watermark",
    "assert_frames_equal",
    "check_cut_independence",
]
