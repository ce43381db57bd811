"""The GPU backend on the fake device of a test, and segments that it has prepared."""

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import pytest

pytest.importorskip("pylibcudf", exc_type=ImportError)
from arrowstream.core.batch import Batch, to_record
from arrowstream.core.rows import forms
from arrowstream.expressions.program import Refusal
from arrowstream.gpu.backend import GpuBackend
from arrowstream.gpu.device import Device
from arrowstream.gpu.rows import DeviceRows
from arrowstream.gpu.segment import DeviceSegment
from arrowstream.operators.base import Expressions
from arrowstream.plan.lowering.lower import lower
from arrowstream.plan.segment import Segment


@contextmanager
def fake_backend() -> Iterator[GpuBackend]:
    """The backend with a device of its own; its form of rows is forgotten afterwards."""
    device = Device()
    try:
        yield GpuBackend(lambda: device)
    finally:
        forms.FORMS.pop("gpu", None)
        forms._BY_TYPE.pop(DeviceRows, None)
        device.close()


def segment_of(frame: pl.DataFrame, *steps: Expressions) -> Segment:
    bare = Segment(steps, frame.schema, frame.schema)
    return Segment(steps, frame.schema, bare.apply_lazy(frame.clear().lazy()).collect_schema())


def prepared(backend: GpuBackend, frame: pl.DataFrame, *steps: Expressions) -> DeviceSegment:
    segment = segment_of(frame, *steps)
    found = backend.prepare(segment, lower(segment))
    assert not isinstance(found, Refusal), found
    assert isinstance(found, DeviceSegment)
    return found


def batch(frame: pl.DataFrame) -> Batch:
    """A batch in Arrow form, as connectors give."""
    return Batch(to_record(frame))
