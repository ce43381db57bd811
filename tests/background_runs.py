"""Pipelines for tests of runs in the background, which the test feeds frame by frame."""

import threading
from collections.abc import Callable
from typing import Any

import polars as pl

from arrowstream import ErrorHandler, Pipeline, Running, Sender, Source, channel
from arrowstream.testing import TestSink

SCHEMA = {"x": pl.Int64()}
LONG = 60.0


class Fed:
    """A pipeline that the test feeds, frame by frame."""

    def __init__(self, sink: Any = None, *handlers: ErrorHandler) -> None:
        self.tx: Sender[pl.DataFrame]
        self.tx, rx = channel(capacity=64)
        self.sink = TestSink() if sink is None else sink
        source = Source.from_channel(rx, schema=SCHEMA)
        builder = Pipeline.builder(name="fed").source(source).filter(pl.col("x") % 2 == 0)
        ended = builder.sink(self.sink)
        for handler in handlers:
            ended = ended.on_error(handler)
        self.pipeline = ended.build()

    def start(self) -> Running:
        """Start it, and wait until its sink is open: what is sent before passes before anybody looks."""
        running = self.pipeline.start()
        until(lambda: "sink" in running.metrics().stages)
        return running

    def send(self, *values: int) -> None:
        self.tx.send_sync(pl.DataFrame({"x": list(values)}, schema=SCHEMA))


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    waiting = threading.Event()
    for _ in range(6_000):
        if is_so():
            return
        waiting.wait(0.01)
    raise AssertionError("it never came so")


def failing(batch: Any) -> None:
    raise ValueError("no room")
