"""The device of the process: opened once, with memory that is counted over pipelines that take turns."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import polars as pl
import pytest
from gpu.device_backend import batch, prepared

from arrowstream.config.settings import Settings
from arrowstream.core.batch import Batch
from arrowstream.gpu.breaker import FAILURES
from arrowstream.operators.with_columns import WithColumns

pytestmark = pytest.mark.once

FRAME = pl.DataFrame({"x": [1.5, None, 3.0]})
DOUBLED = WithColumns.of(y=pl.col("x") * 2.0)


def test_threads_that_ask_at_the_same_time_get_one_device(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arrowstream.gpu import device as device_module

    monkeypatch.setattr(device_module, "_OPENED", {})
    together = Barrier(4)

    def ask(number: int) -> Any:
        together.wait(60)
        return device_module.device_of_process(0)

    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(ask, range(4)))
    for device in found:
        device.close()
    assert len(found) == 1


def test_memory_is_counted_on_when_limits_take_turns(backend: Any, machine: Any) -> None:
    device = backend._device()
    taken = {}
    for limit in (1, 2, 1, 2):
        device.limit_memory(limit)
        taken.setdefault(limit, machine.resource)
        assert machine.resource is taken[limit]
    assert taken[1] is not taken[2]


def test_a_new_run_tries_a_device_that_failed_in_an_earlier_one(backend: Any, machine: Any) -> None:
    segment = prepared(backend.with_settings(Settings(gpu_memory_pool_mb=64)), FRAME, DOUBLED)
    for _ in range(FAILURES):
        machine.fail_next()
        assert not segment(batch(FRAME)).has("gpu")
    assert not segment(batch(FRAME)).has("gpu")
    segment.begin_run()
    assert segment(batch(FRAME)).has("gpu")


def test_records_of_many_columns_are_uploaded(backend: Any, machine: Any) -> None:
    wide = pl.DataFrame({f"a column whose name is rather long {number}": [number] for number in range(1_000)})
    total = prepared(backend, wide, WithColumns.of(total=pl.sum_horizontal(pl.all())))
    found: Batch = total(batch(wide))
    assert found.has("gpu")
    assert found.polars()["total"].to_list() == [sum(range(1_000))]
