"""What is measured: the device, the code that figures belong to, and chains of steps with their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream import Builder, Pipeline, Settings, Source
from arrowstream.backends.base import DeviceEvaluator
from arrowstream.backends.registry import backends
from arrowstream.core.batch import Batch, to_record
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.device import Device
from arrowstream.plan.compile import compile_plan
from arrowstream.plan.physical import SegmentStage
from arrowstream.testing import TestSink

ROOT = Path(__file__).parents[2]
CODE = (ROOT / "arrowstream" / "gpu", ROOT / "arrowstream" / "plan" / "placement")


@dataclass(frozen=True, slots=True)
class Subject:
    """A GPU backend that is measured.

    Parameters
    ----------
    backend
        Its name.
    device
        Its device.
    """

    backend: str
    device: Device


@dataclass(frozen=True, slots=True)
class Chain:
    """Steps that are measured together.

    Parameters
    ----------
    name
        What they do.
    steps
        Adds the steps to a builder.
    row_bytes
        Bytes of a row that are uploaded, and bytes of a row that are brought back for each row that came.
    """

    name: str
    steps: Callable[[Builder], Builder]
    row_bytes: tuple[float, float]


CHAINS = (
    Chain(
        "map + filter",
        lambda b: b.with_columns(y=pl.col("x") * 2.0 + pl.col("y")).filter(pl.col("y") > 1.0),
        (16.0, 16.0 * 0.75),
    ),
    Chain(
        "filter that keeps 1 %",
        lambda b: b.filter((pl.col("x") > 0.99) & (pl.col("k") >= 0)),
        (16.0, 0.04),
    ),
    Chain(
        "8 maps",
        lambda b: b.with_columns(
            **{f"c{n}": (pl.col("x") * n + pl.col("y")) * pl.col("x") - pl.col("k") for n in range(8)}
        ),
        (24.0, 64.0),
    ),
    Chain(
        "text starts with",
        lambda b: b.filter(pl.col("s").str.starts_with("user_9")),
        (13.0, 0.4),
    ),
)


def rows(count: int, seed: int = 0) -> pa.RecordBatch:
    """Return seeded rows: ``x`` and ``y`` in [0, 1), ``k`` of 1,000 keys, ``s`` a short text."""
    random = np.random.default_rng(seed)
    keys = random.integers(0, 1_000, count)
    frame = pl.DataFrame({"x": random.random(count), "y": random.random(count), "k": keys})
    return to_record(frame.with_columns(s="user_" + pl.col("k").cast(pl.String)))


def segment(chain: Chain) -> SegmentStage:
    """Return the one stage that a chain's steps are fused into, with its evaluators."""
    first = pl.DataFrame(rows(1))
    builder = chain.steps(Pipeline.builder().source(Source.from_frame(first)))
    plan = compile_plan(builder.sink(TestSink()).graph, first.schema, backends(Settings()))
    (stage,) = plan.stages
    assert isinstance(stage, SegmentStage)
    return stage


def resident(subject: Subject, stage: SegmentStage, record: pa.RecordBatch) -> Batch:
    """Return a batch whose columns that the stage reads are on the device."""
    evaluate = stage.evaluators[subject.backend]
    assert isinstance(evaluate, DeviceEvaluator)
    batch = Batch(record)
    evaluate.bring(batch)
    subject.device.run(subject.device.synchronize)
    return batch


def source_hash() -> str:
    """Return a hash of the code that the figures belong to.

    Examples
    --------
    >>> len(source_hash())
    16
    """
    found = hashlib.sha256()
    for folder in CODE:
        for path in sorted(folder.rglob("*.py")):
            found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def description(device: Device) -> list[str]:
    """Return the device, its driver and the versions of its libraries, a line each."""
    runtime = cuda.cupy.cuda.runtime
    found = runtime.getDeviceProperties(device.number)
    versions = {"pylibcudf": cuda.plc, "rmm": cuda.rmm, "cupy": cuda.cupy}
    return [
        f"{found['name'].decode()}, {found['totalGlobalMem'] / 2**30:.0f} GiB, "
        f"compute capability {found['major']}.{found['minor']}",
        f"CUDA driver {runtime.driverGetVersion()}, runtime {runtime.runtimeGetVersion()}, "
        + ", ".join(f"{name} {library.__version__}" for name, library in versions.items()),
    ]
